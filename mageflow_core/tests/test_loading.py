"""Loading what is installed by name, from distributions made up on the spot."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from stevedore import ExtensionManager, _cache
from stevedore.exception import MultipleMatches, NoMatches

from mageflow_core import loading
from mageflow_core.backends.loader import load_backend
from mageflow_core.errors import ConfigurationError, SettingsError, UnknownBackend, UnknownStore
from mageflow_core.loading import BACKENDS, STORES, Installed, installed, load
from mageflow_core.stores.loader import load_store

OURS = version("mageflow-core")


class Site:
    """A folder on the path that distributions are installed into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self, dist: str, entries: dict[str, str], group: str = BACKENDS, number: str = "1.0"
    ) -> Path:
        info = self.folder / f"{dist.replace('-', '_')}-{number}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {dist}\nVersion: {number}\n"
        (info / "METADATA").write_text(metadata, "utf-8")
        return self.point(info, entries, group)

    def point(self, info: Path, entries: dict[str, str], group: str = BACKENDS) -> Path:
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]), "utf-8")
        return info

    def module(self, name: str, code: str) -> None:
        (self.folder / f"{name}.py").write_text(code, "utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Fresh: neither stevedore's caches nor imported modules of another test are seen."""
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.setattr(_cache._c, "_internal", {})
    monkeypatch.setattr(_cache._c, "_disable_caching", True)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


def refusal(group: str, name: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(group, name)
    return str(caught.value)


# --- what is there ---------------------------------------------------------------------------


def test_a_class_is_loaded_by_its_name_and_not_instantiated(site: Site) -> None:
    site.module("fake_a", "class A:\n    def __init__(self):\n        raise AssertionError\n")
    site.install("fake-a", {"fake": "fake_a:A"})
    found = load(BACKENDS, "fake")
    assert isinstance(found, type)
    assert found is sys.modules["fake_a"].A


def test_a_class_that_counts_as_false_is_loaded_too(site: Site) -> None:
    code = "class Meta(type):\n    def __bool__(cls):\n        return False\n"
    site.module("fake_a", code + "class A(metaclass=Meta): pass\n")
    site.install("fake-a", {"fake": "fake_a:A"})
    assert load(BACKENDS, "fake") is sys.modules["fake_a"].A


def test_only_the_one_that_is_asked_for_is_imported(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    site.module("fake_b", "raise RuntimeError\n")
    site.install("fake-a", {"fake": "fake_a:A", "broken": "fake_b:B"})
    load(BACKENDS, "fake")
    assert "fake_b" not in sys.modules


def test_groups_have_names_of_their_own(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    site.install("fake-a", {"fake": "fake_a:A"}, STORES)
    assert load(STORES, "fake").__name__ == "A"
    with pytest.raises(UnknownBackend):
        load(BACKENDS, "fake")


def test_installed_names_distribution_version_and_place_and_imports_nothing(site: Site) -> None:
    site.install("fake-b", {"zebra": "fake_b:B"}, number="2.1")
    site.install("fake-a", {"ant": "fake_a:A"})
    found = installed(BACKENDS)
    assert found["zebra"] == Installed("fake-b", "2.1", "fake_b:B")
    assert found["ant"] == Installed("fake-a", "1.0", "fake_a:A")
    assert list(found) == sorted(found)
    assert str(found["ant"]) == "fake-a 1.0 (fake_a:A)"
    assert not {"fake_a", "fake_b"} & set(sys.modules)


def test_the_core_brings_a_backend_and_a_store() -> None:
    assert installed(BACKENDS)["asyncio"].dist == "mageflow-core"
    assert installed(STORES)["memory"].dist == "mageflow-core"


def test_what_is_no_class_is_refused_with_its_distribution(site: Site) -> None:
    site.module("fake_a", "def make(): pass\n")
    site.install("fake-a", {"fake": "fake_a:make"})
    message = refusal(BACKENDS, "fake")
    assert message.startswith("backend 'fake' is function, not a class, in fake-a 1.0")


# --- what is not there -----------------------------------------------------------------------


def test_an_unknown_backend_names_what_is_installed(site: Site) -> None:
    site.install("fake-a", {"fake": "fake_a:A"})
    with pytest.raises(UnknownBackend) as caught:
        load(BACKENDS, "zzz")
    message = str(caught.value)
    assert "no backend 'zzz' is installed; installed: " in message
    assert all(name in message for name in installed(BACKENDS))
    assert "did you mean" not in message
    assert "pip install" not in message


def test_an_unknown_store_names_what_is_installed(site: Site) -> None:
    site.install("fake-a", {"fakedb": "fake_a:A"}, STORES)
    with pytest.raises(UnknownStore) as caught:
        load(STORES, "fakdb")
    message = str(caught.value)
    assert "no store 'fakdb' is installed" in message
    assert "did you mean 'fakedb'?" in message
    assert "memory" in message


@pytest.mark.parametrize("name", ["asyncioo", "AsyncIO", "asynco"])
def test_a_name_that_is_close_to_an_installed_one_is_told_so(name: str, site: Site) -> None:
    message = refusal(BACKENDS, name)
    assert message.endswith("did you mean 'asyncio'?")


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry point is installed, whatever the machine has."""
    monkeypatch.setattr(loading, "entry_points", lambda **_: [])
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {BACKENDS: [], STORES: []})


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("name", ["taskiq", "celery", "hatchet", "temporal"])
def test_a_backend_of_the_project_comes_with_the_command_that_installs_it(name: str) -> None:
    message = refusal(BACKENDS, name)
    assert message.endswith(f"to install it: pip install mageflow-{name}=={OURS}")
    assert "did you mean" not in message


@pytest.mark.usefixtures("nothing")
def test_a_misspelt_backend_of_the_project_comes_with_match_and_command() -> None:
    message = refusal(BACKENDS, "Taskik")
    assert "did you mean 'taskiq'?" in message
    assert f"pip install mageflow-taskiq=={OURS}" in message


def test_an_installed_backend_of_the_project_is_not_advised_to_be_installed(site: Site) -> None:
    site.install("mageflow-celery", {"celery": "fake_a:A"})
    message = refusal(BACKENDS, "celry")
    assert "did you mean 'celery'?" in message
    assert "pip install" not in message


@pytest.mark.usefixtures("nothing")
def test_where_nothing_at_all_is_installed_the_core_is_named() -> None:
    assert "installed: none; mageflow-core itself is not installed" in refusal(STORES, "memory")


@pytest.mark.usefixtures("nothing")
def test_without_a_version_of_the_core_the_command_names_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(loading, "version", absent)
    assert refusal(BACKENDS, "taskiq").endswith("pip install ./adapters/taskiq")


def test_a_url_in_the_place_of_a_name_is_shown_without_its_password() -> None:
    message = refusal(BACKENDS, "redis://me:s3cr3t@host")
    assert "redis://me:***@host" in message
    assert "s3cr3t" not in message


def test_the_error_of_an_unknown_name_comes_without_those_of_the_machinery(site: Site) -> None:
    with pytest.raises(UnknownBackend) as caught:
        load(BACKENDS, "zzz")
    assert caught.value.__context__ is None


# --- conflicts -------------------------------------------------------------------------------


def test_two_distributions_that_claim_one_name_are_both_named(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    site.module("fake_b", "class B: pass\n")
    site.install("fake-b", {"fake": "fake_b:B"}, number="2.0")
    site.install("fake-a", {"fake": "fake_a:A"})
    assert refusal(BACKENDS, "fake") == (
        "the backend name 'fake' is claimed by fake-a 1.0 (fake_a:A) and fake-b 2.0 (fake_b:B): "
        "uninstall all but one"
    )


def test_two_distributions_that_claim_one_name_are_listed_once(site: Site) -> None:
    site.install("fake-a", {"fake": "fake_a:A"})
    site.install("fake-b", {"fake": "fake_b:B"})
    assert installed(BACKENDS)["fake"].dist in {"fake-a", "fake-b"}


def test_one_class_from_two_distributions_is_no_conflict(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    site.install("fake-a", {"fake": "fake_a:A"})
    site.install("fake-renamed", {"fake": "fake_a:A"})
    assert load(BACKENDS, "fake").__name__ == "A"


def test_a_conflict_about_one_name_does_not_touch_another(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    site.install("fake-a", {"fake": "fake_a:A", "fine": "fake_a:A"})
    site.install("fake-b", {"fake": "fake_b:B"})
    assert load(BACKENDS, "fine").__name__ == "A"


# --- broken adapters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import fake_dependency_that_is_not_there", ModuleNotFoundError),
        ("from os import not_there", ImportError),
        ("raise RuntimeError('no licence')", RuntimeError),
        ("1 +", SyntaxError),
        ("raise LookupError", LookupError),
        ("from stevedore.exception import NoMatches\nraise NoMatches", NoMatches),
        ("from stevedore.exception import MultipleMatches\nraise MultipleMatches", MultipleMatches),
    ],
)
def test_an_error_inside_an_installed_adapter_is_raised_as_it_is(
    code: str, error: type[Exception], site: Site
) -> None:
    site.module("fake_a", code)
    site.install("fake-a", {"fake": "fake_a:A"})
    with pytest.raises(error) as caught:
        load(BACKENDS, "fake")
    assert not isinstance(caught.value, ConfigurationError)
    assert caught.value.__context__ is None


def test_a_missing_dependency_of_an_adapter_is_the_one_that_is_named(site: Site) -> None:
    site.module("fake_a", "import fake_dependency")
    site.install("mageflow-taskiq", {"fake": "fake_a:A"})
    with pytest.raises(ModuleNotFoundError) as caught:
        load(BACKENDS, "fake")
    assert caught.value.name == "fake_dependency"


def test_a_class_that_the_module_lacks_is_an_attribute_error(site: Site) -> None:
    site.module("fake_a", "")
    site.install("fake-a", {"fake": "fake_a:A"})
    with pytest.raises(AttributeError):
        load(BACKENDS, "fake")


# --- caches ----------------------------------------------------------------------------------


def test_what_is_installed_after_the_first_load_of_a_process_is_found(site: Site) -> None:
    site.module("fake_a", "class A: pass\n")
    with pytest.raises(UnknownBackend):
        load(BACKENDS, "fake")
    site.install("fake-a", {"fake": "fake_a:A"})
    assert load(BACKENDS, "fake").__name__ == "A"


def test_an_entry_point_that_stevedores_disk_cache_hides_is_found(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cache on disk, and an entry point added within the grain of the times it goes by
    monkeypatch.setattr(_cache._c, "_disable_caching", False)
    monkeypatch.setattr(_cache._c, "_dir", str(tmp_path / "cache"))
    site.module("fake_a", "class A: pass\nclass New: pass\n")
    info = site.install("fake-a", {"fake": "fake_a:A"})
    times = {path: path.stat().st_mtime_ns for path in [site.folder, info / "entry_points.txt"]}
    load(BACKENDS, "fake")
    site.point(info, {"fake": "fake_a:A", "new": "fake_a:New"})
    site.module("fake_later", "")  # imports write into the folder too
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    # When another process of this machine would come
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.setattr(_cache._c, "_internal", {})
    # Then stevedore does not see it, and load does
    assert "new" not in ExtensionManager(BACKENDS, on_load_failure_callback=ignore).names()
    assert load(BACKENDS, "new").__name__ == "New"


def ignore(*_: Any) -> None:
    """For the other entry points of the machine, which may not load."""


def test_stevedore_is_imported_at_the_first_load_only() -> None:
    code = (
        "import json, sys, mageflow_core.loading, mageflow_core.backends.loader\n"
        "import mageflow_core.stores.loader\n"
        "print(json.dumps(sorted({'stevedore', 'pydantic_settings'} & set(sys.modules))))"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    assert json.loads(answer.stdout) == []


# --- by name and by URL ----------------------------------------------------------------------


def test_the_embedded_backend_is_loaded_by_its_name() -> None:
    assert load_backend("asyncio").__module__.startswith("mageflow_core.backends")


@pytest.mark.parametrize("url", ["memory://", "MEMORY://", "memory://x?y=z"])
def test_a_store_is_loaded_by_the_scheme_of_its_url(url: str) -> None:
    assert load_store(url).__module__.startswith("mageflow_core.stores.memory")


def test_a_store_of_another_scheme_is_unknown_and_its_url_not_shown() -> None:
    with pytest.raises(UnknownStore) as caught:
        load_store("memry://me:s3cr3t@host")
    assert "no store 'memry' is installed" in str(caught.value)
    assert "did you mean 'memory'?" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["memory", "", "me:s3cr3t@host"])
def test_a_store_that_is_no_url_is_an_error_of_the_settings(url: str) -> None:
    with pytest.raises(SettingsError, match="expected a URL such as memory://") as caught:
        load_store(url)
    assert "s3cr3t" not in str(caught.value)
