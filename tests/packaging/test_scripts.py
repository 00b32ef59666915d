"""How the scripts install what tests need besides Python, on machines that are made up here."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "_packages.sh"
SYSTEMD = "/run/systemd/system"  # there where it runs
INSTALLING = 'source "$0"; install_server some-redis some-redis-server some-service'
INSTALLING_RABBIT = 'source "$0"; install_rabbit'
PLACES = (SYSTEMD, "/proc", "/usr/sbin")  # what the script looks at besides PATH
TOOLS = ("bash", "env", "sh", "id", "printf")


@dataclass
class Machine:
    """Has the programs that it is given, each of which notes how it was called."""

    folder: Path

    @property
    def systemd(self) -> Path:
        return Path(f"{self.folder}{SYSTEMD}")

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def has(self, name: str, then: str = ":") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.folder}/calls"\n{then}\n', "utf-8")
        path.chmod(0o755)

    @property
    def proc(self) -> Path:
        return self.folder / "proc"

    def runs(self, name: str, *, pid: int) -> None:
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "comm").write_text(f"{name}\n", "utf-8")

    def install(self, how: str = INSTALLING) -> subprocess.CompletedProcess[str]:
        text = SCRIPT.read_text("utf-8")
        for place in PLACES:
            assert place in text
            text = re.sub(f"(?<![\\w/]){place}(?![\\w/])", f"{self.folder}{place}", text)
        script = self.folder / "test"
        script.write_text(text, "utf-8")
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", how, str(script)],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": str(self.bin)},
        )

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text("utf-8").splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return one with little more than a shell, whose user is root."""
    made = Machine(tmp_path)
    made.bin.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (made.bin / name).symlink_to(found)
    (made.bin / "id").unlink()
    (made.bin / "id").write_text("#!/bin/sh\necho 0\n", "utf-8")
    (made.bin / "id").chmod(0o755)
    return made


def debian(machine: Machine, program: str = "some-redis-server", *, then: str = ":") -> None:
    """Installing any package brings the program, and does what else is told."""
    brings = f'[ "$1" = update ] || {{ echo "#!/bin/sh" >"{machine.bin}/{program}"; '
    brings += f'{shutil.which("chmod")} +x "{machine.bin}/{program}"; {then}; }}'
    machine.has("apt-get", f'echo "runlevel $RUNLEVEL" >>"{machine.folder}/calls"\n{brings}')
    machine.has("service")
    machine.has("update-rc.d")
    machine.has("systemctl")


def test_a_program_that_is_there_is_left_alone_with_its_service(machine: Machine) -> None:
    # Given
    machine.has("some-redis-server")
    debian(machine)
    # When
    done = machine.install()
    # Then
    assert (done.returncode, done.stderr, machine.calls) == (0, "", [])


def test_a_missing_program_is_installed_and_its_service_neither_runs_nor_will(
    machine: Machine,
) -> None:
    # Given
    debian(machine)
    # When
    done = machine.install()
    again = machine.install()
    # Then
    assert done.returncode == again.returncode == 0, done.stderr
    assert "installing some-redis, once" in done.stderr
    assert again.stderr == ""
    assert machine.calls == [
        "apt-get update",
        "runlevel 1",
        "apt-get install -y --no-install-recommends some-redis",
        "runlevel 1",
        "service some-service stop",
        "update-rc.d some-service disable",
    ]


def test_where_systemd_runs_the_service_is_masked_until_it_is_disabled(machine: Machine) -> None:
    # Given
    debian(machine)
    machine.systemd.mkdir(parents=True)
    # When
    done = machine.install()
    # Then
    assert done.returncode == 0, done.stderr
    assert machine.calls == [
        "systemctl mask --runtime --quiet some-service",
        "apt-get update",
        "runlevel 1",
        "apt-get install -y --no-install-recommends some-redis",
        "runlevel 1",
        "systemctl unmask --runtime --quiet some-service",
        "systemctl disable --now --quiet some-service",
    ]


def test_a_machine_without_apt_says_what_it_lacks(machine: Machine) -> None:
    # When
    done = machine.install()
    # Then
    assert done.returncode == 1
    assert "no apt-get here to install some-redis with" in done.stderr


def test_a_user_who_may_not_install_is_told_the_command(machine: Machine) -> None:
    # Given
    debian(machine)
    (machine.bin / "id").write_text("#!/bin/sh\necho 1000\n", "utf-8")
    machine.has("sudo", "exit 1")
    # When
    done = machine.install()
    # Then
    assert done.returncode == 1
    assert "run this once, then try again: sudo apt-get install -y some-redis" in done.stderr
    assert not any(call.startswith("apt-get") for call in machine.calls)


def test_the_reason_why_apt_fails_is_shown(machine: Machine) -> None:
    # Given
    machine.has("apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    # When
    done = machine.install()
    # Then
    assert done.returncode == 1
    assert "E: Unable to locate package" in done.stderr


def test_a_package_that_does_not_bring_its_program_is_an_error(machine: Machine) -> None:
    # Given
    debian(machine, program="another")
    # When
    done = machine.install()
    # Then
    assert done.returncode == 1
    assert "some-redis is installed and has no some-redis-server" in done.stderr


def epmd(machine: Machine, pid: int) -> str:
    """What makes one run, in words of a shell."""
    folder = machine.proc / str(pid)
    return f'{shutil.which("mkdir")} -p "{folder}"; echo epmd >"{folder}/comm"'


@pytest.fixture
def sudoer(machine: Machine) -> Machine:
    """Return one whose user is not root, so that what root does is seen: also `kill`."""
    (machine.bin / "id").write_text("#!/bin/sh\necho 1000\n", "utf-8")
    machine.has("sudo", 'shift; case "$1" in kill | true) ;; *) exec "$@" ;; esac')
    machine.has("stat", "echo rabbitmq")
    return machine


def test_rabbitmq_that_is_there_is_left_alone_with_its_epmd(machine: Machine) -> None:
    # Given
    sbin = Path(f"{machine.folder}/usr/sbin")
    sbin.mkdir(parents=True)
    machine.has("rabbitmq-server")
    (machine.bin / "rabbitmq-server").rename(sbin / "rabbitmq-server")  # not on a user's PATH
    debian(machine)
    machine.runs("epmd", pid=41)
    # When
    done = machine.install(INSTALLING_RABBIT)
    # Then
    assert (done.returncode, done.stderr, machine.calls) == (0, "", [])


def test_the_epmd_that_installing_rabbitmq_has_started_is_ended_and_no_other(
    sudoer: Machine,
) -> None:
    # Given
    debian(sudoer, "rabbitmq-server", then=epmd(sudoer, 42))
    sudoer.runs("epmd", pid=41)
    sudoer.runs("beam.smp", pid=43)
    # When
    done = sudoer.install(INSTALLING_RABBIT)
    # Then
    assert done.returncode == 0, done.stderr
    assert "service rabbitmq-server stop" in sudoer.calls
    assert [call for call in sudoer.calls if " kill " in call] == ["sudo -n kill 42"]


@pytest.mark.parametrize("there", [False, True])
def test_where_systemd_runs_epmd_is_disabled_as_well_unless_it_was_there(
    machine: Machine, there: bool
) -> None:
    # Given
    debian(machine, "rabbitmq-server")
    machine.systemd.mkdir(parents=True)
    if there:
        machine.has("epmd")
    # When
    done = machine.install(INSTALLING_RABBIT)
    # Then
    assert done.returncode == 0, done.stderr
    services = "rabbitmq-server" if there else "rabbitmq-server epmd.socket epmd.service"
    assert f"systemctl mask --runtime --quiet {services}" in machine.calls
    assert f"systemctl disable --now --quiet {services}" in machine.calls
