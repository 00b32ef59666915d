"""One RabbitMQ server."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.ports import HOST
from mageflow_conformance.waiting import eventually_sync

HELLO = b"AMQP\x00\x00\x09\x01"
FRAME_HEAD = 7  # bytes: the frame's type, its channel, and the size of what follows
PATIENCE = 1.0  # seconds
SETTLES = 10.0  # seconds
# Its node neither listens for others nor looks for them: so it takes no second port, and needs no
# epmd, which would outlive it. Each Erlang that it starts obeys the first of these, too. Asked for
# the port that it does not have, it says this one.
ALONE = "-start_epmd false -dist_listen false"
NO_PORT = 1
# As many schedulers as on a small machine, and none bound to a core, where that of another server
# may be bound as well.
LIGHT = "+S 2:2 +stbt u"
# What a shell may have set for a RabbitMQ or an Erlang of its own.
FOREIGN = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")


@dataclass(kw_only=True, eq=False)
class RabbitServer(LocalServer):
    """A real server on a free port of the loopback, in a folder of its own, without plugins.

    config: further lines of its rabbitmq.conf, as in {"consumer_timeout": "2000"}; reading any
    takes it a second or so.

    Durable queues and the persistent messages in them are kept over restarts, and over kills but
    for quorum queues that are younger than a second: see `settle`. It runs as the user
    of this process. Nothing but AMQP reaches it: rabbitmqctl does not.
    """

    config: Mapping[str, str] = field(default_factory=dict)

    kind: ClassVar[str] = "RabbitMQ"
    program: ClassVar[str] = "rabbitmq-server"
    taken: ClassVar[str] = "eaddrinuse"
    ready: ClassVar[float] = 60.0

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    @property
    def version(self) -> str:
        # Among the properties: the name's length, the name, the kind of value, its length, it.
        found = re.search(rb"\x07versionS\0\0\0(.)", said := greeting(self.port), re.DOTALL)
        assert found is not None, said
        return said[found.end() :][: found[1][0]].decode()

    @property
    def _node(self) -> str:
        """Another for each server, as its folder is; its first part is told to clients."""
        return f"{self.folder.name}@localhost"

    def _command(self, program: str) -> list[str]:
        if self.config:
            lines = [f"{name} = {value}\n" for name, value in self.config.items()]
            (self.folder / "rabbitmq.conf").write_text("".join(lines), "utf-8")
        return [program, "-noinput"]

    def _environment(self) -> Mapping[str, str]:
        folder = str(self.folder)
        name = f"-sname {self._node} -setcookie {self.folder.name} -erl_epmd_port {NO_PORT}"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        return inherited | {
            "HOME": folder,
            # Makes the script become the server, whose pid then is that of the process here. It
            # would go on as the server's parent otherwise, and leave it behind when it is killed.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_FLAGS": ALONE,
            "ERL_CRASH_DUMP": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{name} {LIGHT}",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
        }

    def settle(self, *queues: str) -> None:
        """Wait until the quorum queues that there are have been written down, which it does once a
        second: killed before that it has them without a leader for ever after, and answers nobody
        who uses one (seen with 3.10). queues: names of others, of which it would know nothing."""

        def settled() -> bool:
            return self._has_settled() and all(map(self._has_written, queues))

        eventually_sync(settled, within=SETTLES, about="queues on disk")

    def _has_written(self, queue: str) -> bool:
        tables = self.folder.glob("*/rabbit_durable_queue.*")
        if any(queue.encode() in table.read_bytes() for table in tables):
            return True
        # There first, and then the decision: what stands without one is dropped at the next start.
        decided = re.compile(re.escape(queue.encode()) + b".*committed", re.DOTALL)
        return any(decided.search(log.read_bytes()) for log in self.folder.glob("*/LATEST.LOG"))

    def _has_settled(self) -> bool:
        for names in self.folder.glob("*/quorum/*/names.dets"):
            written = names.read_bytes()
            queues = [each.name for each in names.parent.iterdir() if each.is_dir()]
            if any(queue.encode() not in written for queue in queues):
                return False
        return True

    def is_ready(self) -> bool:
        """Whether this server greets its clients."""
        try:
            return self.folder.name.encode() in greeting(self.port)
        except OSError:
            return False


def greeting(port: int) -> bytes:
    """The method Connection.Start of AMQP 0-9-1, with what a server says of itself."""
    with (
        socket.create_connection((HOST, port), PATIENCE) as connection,
        connection.makefile("rb") as frames,
    ):
        connection.sendall(HELLO)
        head = frames.read(FRAME_HEAD)
        return frames.read(int.from_bytes(head[-4:], "big"))
