"""What stands under `taskiq` in the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mageflow_core.settings import Names

Kind = Literal["redis-stream", "redis-list", "rabbitmq", "nats"]

# What a URL's scheme says where `broker` does not.
KINDS: dict[str, Kind] = {
    "redis": "redis-stream",
    "rediss": "redis-stream",
    "unix": "redis-stream",
    "amqp": "rabbitmq",
    "amqps": "rabbitmq",
    "nats": "nats",
    "tls": "nats",
}
ENGINES: dict[Kind, str] = {
    "redis-stream": "redis",
    "redis-list": "redis",
    "rabbitmq": "rabbitmq",
    "nats": "nats",
}


class TaskiqSettings(BaseModel):
    """For the broker that is made where none is given. As `Mageflow(taskiq={"url": …})`, as
    `MAGEFLOW_TASKIQ_URL` and so on, or in a table `[taskiq]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str = "redis://localhost:6379/0"
    """Where the engine is. Several NATS servers are separated by commas."""

    broker: Kind | None = None
    """What of it is used; by default streams of Redis, and what else the URL says."""

    queue: Annotated[str, Field(min_length=1)] | None = None
    """The queue of tasks that name none; by default the namespace with `.taskiq` behind it. All
    processes of an app have to agree on it."""

    serves: Names | None = None
    """The queues that a worker serves; by default `queue` alone. Redis and RabbitMQ only."""

    redeliver_after: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0
    """Seconds after which Redis streams and NATS hand a job to another worker that was not
    acknowledged. To be longer than any task takes: MageFlow itself finds out much earlier that a
    worker is lost, and what comes twice is only work."""

    queue_type: Literal["quorum", "classic"] = "quorum"
    """Of queues that are made on RabbitMQ. Classic ones know priorities, and are lost with the
    node that they are on."""

    @model_validator(mode="after")
    def _kind_fits_the_url(self) -> TaskiqSettings:
        self.kind  # noqa: B018 - raises what is wrong
        return self

    @property
    def kind(self) -> Kind:
        scheme = self.url.partition("://")[0].lower()
        meant = KINDS.get(scheme) if "://" in self.url else None
        if meant is None:
            known = ", ".join(f"{scheme}://" for scheme in KINDS)
            raise ValueError(f"the URL has to begin with one of {known}")
        kind = self.broker or meant
        if ENGINES[kind] != ENGINES[meant]:
            raise ValueError(f"broker is {kind!r}, and the URL begins with {scheme}://")
        if kind == "nats" and self.serves is not None:
            raise ValueError("NATS serves one queue: leave `serves` out, and set `queue`")
        return kind
