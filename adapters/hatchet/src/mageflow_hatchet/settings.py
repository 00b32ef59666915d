"""What stands under `hatchet` in the settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from hatchet_sdk import ClientConfig
from hatchet_sdk.config import ClientTLSConfig
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from mageflow_core.errors import SettingsError
from mageflow_core.settings import Names

Tls = Literal["none", "tls", "mtls"]


class HatchetSettings(BaseModel):
    """For the client that is made where none is given, and for workers. As
    `Mageflow(hatchet={"token": …})`, as `MAGEFLOW_HATCHET_TOKEN` and so on, or in a table
    `[hatchet]`. What is not said here is as Hatchet's own client has it: from the variables
    `HATCHET_CLIENT_TOKEN` and so on, and from the token itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token: SecretStr | None = None
    """The API token of a tenant."""

    host_port: Annotated[str, Field(min_length=1)] | None = None
    """Where the engine listens for gRPC, as `localhost:7077`; by default as the token says."""

    server_url: Annotated[str, Field(min_length=1)] | None = None
    """Where its REST API is, as `http://localhost:8888`; by default as the token says. Flows run
    without it; a worker that ends tells there that it takes no more."""

    tls: Tls | None = None
    """Whether gRPC is encrypted: `none`, `tls` or `mtls`; by default `tls`."""

    queue: Annotated[str, Field(min_length=1)] | None = None
    """What the workflows of tasks that name no queue begin with in Hatchet; by default the
    namespace. All processes of an app have to agree on it."""

    serves: Names | None = None
    """The queues that a worker serves; by default `queue` alone."""

    def config(self) -> ClientConfig:
        """Of Hatchet's client. Raises `SettingsError`."""
        said: dict[str, Any] = {}
        if self.token is not None:
            said["token"] = self.token.get_secret_value()
        if self.host_port is not None:
            said["host_port"] = self.host_port
        if self.server_url is not None:
            said["server_url"] = self.server_url
        if self.tls is not None:
            said["tls_config"] = ClientTLSConfig(strategy=self.tls)
        try:
            return ClientConfig(**said)
        except (ValidationError, ValueError, KeyError) as error:
            raise SettingsError(_why(error)) from None  # its cause has the token in it


def _why(error: Exception) -> str:
    said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
    advice = "set hatchet.token, MAGEFLOW_HATCHET_TOKEN or HATCHET_CLIENT_TOKEN to an API token"
    what = "has no token" if "is required" in said else f"has settings that cannot be: {said}"
    return f"Hatchet's client {what}; {advice} as the engine's dashboard or hatchet-admin makes one"
