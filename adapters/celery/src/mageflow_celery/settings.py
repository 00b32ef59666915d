"""What stands under `celery` in the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mageflow_core.settings import Names

Kind = Literal["redis", "rabbitmq"]
Pool = Literal["prefork", "threads", "solo"]

KINDS: dict[str, Kind] = {  # by what the URL says
    "redis": "redis",
    "rediss": "redis",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
}


class CelerySettings(BaseModel):
    """For the Celery app that is made where none is given, and for workers that MageFlow starts. As
    `Mageflow(celery={"url": …})`, as `MAGEFLOW_CELERY_URL` and so on, or in a table `[celery]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str = "redis://localhost:6379/0"
    """Where the broker is: Redis or RabbitMQ."""

    queue: Annotated[str, Field(min_length=1)] | None = None
    """The queue of tasks that name none; by default the namespace with `.celery` behind it. All
    processes of an app have to agree on it."""

    serves: Names | None = None
    """The queues that a worker serves; by default `queue` alone."""

    pool: Pool = "prefork"
    """What runs tasks in a worker that MageFlow starts: child processes, each of which runs one at
    a time; threads, for tasks that mostly wait; or the worker itself, one at a time."""

    processes: Annotated[int, Field(ge=1)] | None = None
    """The most child processes of a prefork worker that MageFlow starts; by default as many as the
    machine has cores. Fewer where `slots` is less."""

    redeliver_after: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3600.0
    """Seconds after which Redis hands a job to another worker that was not acknowledged: Celery's
    visibility timeout. To be longer than any task takes: MageFlow itself finds out much earlier
    that a worker is lost, and what comes twice is only work."""

    queue_type: Literal["quorum", "classic"] = "quorum"
    """Of queues that are made on RabbitMQ. Classic ones know priorities, and are lost with the
    node that they are on."""

    @model_validator(mode="after")
    def _kind_is_known(self) -> CelerySettings:
        self.kind  # noqa: B018 - raises what is wrong
        return self

    @property
    def kind(self) -> Kind:
        scheme, said, _ = self.url.partition("://")
        kind = KINDS.get(scheme.lower()) if said else None
        if kind is None:
            known = ", ".join(f"{scheme}://" for scheme in KINDS)
            raise ValueError(f"the URL has to begin with one of {known}")
        return kind
