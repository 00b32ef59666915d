"""Jobs as messages of taskiq's, and what becomes of such a message."""

from __future__ import annotations

from collections.abc import Mapping

from taskiq import AsyncBroker, Context, TaskiqMessage
from taskiq.exceptions import NoResultError

from mageflow_core.backends import JOB, Deliveries, Delivery, Disposal, Handled, Job, pack

# Acknowledged by hand, whatever a worker was told; and never tried again by taskiq's middlewares.
FIXED = {"ack_type": "manual", "retry_on_error": "False"}


def message_of(job: Job, namespace: str, labels: Mapping[str, str]) -> TaskiqMessage:
    """A job as it travels: all of it is in the labels."""
    return TaskiqMessage(
        task_id=job.id,
        task_name=JOB + job.task,
        labels={**FIXED, **labels, **pack(job, namespace)},
        args=[],
        kwargs={},
    )


def outcome_of(handled: Handled) -> BaseException | None:
    """What taskiq is to take for the error of a job: `NoResultError` where this delivery says
    nothing of how it went."""
    if handled.disposal is Disposal.FAILED:
        return handled.error or RuntimeError("the task has failed")
    return None if handled.disposal is Disposal.DONE else NoResultError()


class TaskiqDeliveries(Deliveries):
    """Of one broker."""

    def __init__(self, broker: AsyncBroker) -> None:
        async def send_again(delivery: Delivery, labels: Mapping[str, str]) -> None:
            changed = {"labels": dict(labels), "labels_types": None}
            again = delivery.native.message.model_copy(update=changed)
            await broker.kick(broker.formatter.dumps(again))

        super().__init__(send_again, _acknowledge)

    async def run_of(self, context: Context) -> Handled:
        """`run`, of taskiq's own context of a job."""
        return await self.run(context.message.task_id, context.message.labels, context)


async def _acknowledge(context: Context) -> None:
    if context.is_ackable:
        await context.ack()
