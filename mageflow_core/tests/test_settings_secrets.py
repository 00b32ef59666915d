"""What settings never show, and the URLs that they take."""

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mageflow_core.errors import SettingsError
from mageflow_core.settings import Settings, safe_url
from mageflow_core.urls import scheme_of

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the working directory, with an environment and files of its own."""
    for name in os.environ:
        if name.upper().startswith("MAGEFLOW_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / ".git").mkdir()  # nothing above is looked at
    monkeypatch.chdir(folder)
    return folder


def refusal(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**arguments)
    return str(caught.value)


# --- secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://user@host", "redis://user@host"),
        (f"redis://:{SECRET}@host:1/2", "redis://:***@host:1/2"),
        (f"rediss://me:{SECRET}@host", "rediss://me:***@host"),
        (f"redis://me:a/{SECRET}@host", "redis://me:***@host"),
        (f"redis://me:a@{SECRET}@host", "redis://me:***@host"),
        (f"redis://:a://{SECRET}@host", "redis://:***@host"),
        (f"redis://h?db=1&password={SECRET}&a=b", "redis://h?db=1&password=***&a=b"),
        (f"redis://h:1?password=a@{SECRET}", "redis://***"),
        (f"redis://h?p%61ssword={SECRET}", "redis://h?p%61ssword=***"),
        (f"redis://:a?token={SECRET}@host", "redis://***"),
        (f"redis://me:{SECRET}", "redis://me:***"),
        (f"redis//:{SECRET}@host", "***"),
        (f"{SECRET}@host", "***"),
        ("just words", "just words"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown


# Letters that no other part of the URLs has, so that finding them means a leak.
PASSWORDS = st.text("QXZ", min_size=1).flatmap(
    lambda core: st.text(":/@?&=#;[]% ").map(lambda odd: odd + core)
)


@given(PASSWORDS)
def test_no_password_in_the_place_for_one_is_ever_shown(password: str) -> None:
    for url in [f"redis://:{password}@host:1/0", f"rediss://me:{password}@host?a=b&c=d"]:
        assert not set("QXZ") & set(safe_url(url))


@given(st.text())
def test_any_text_can_be_shown_safely(text: str) -> None:
    assert isinstance(safe_url(text), str)
    if not set("@=") & set(text) and "://" not in text:
        assert safe_url(text) == text


@pytest.mark.parametrize("form", [repr, str, "{}".format, "{!r:>200}".format])
def test_settings_show_no_password(form: Any) -> None:
    settings = Settings.load(store=f"redis://me:{SECRET}@host/0")
    assert settings.store == f"redis://me:{SECRET}@host/0"
    shown = form(settings)
    assert SECRET not in shown
    assert "redis://me:***@host/0" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        {"store": f"redis//me:{SECRET}@host"},
        {"store": [f"redis://me:{SECRET}@host"]},
        {"store": f"redis://me:{SECRET}@host", "slots": 0},
        {"namespace": f"redis://me:{SECRET}@host"},
        {"slots": {"store": f"redis://me:{SECRET}@host"}},
    ],
)
def test_errors_show_no_password_and_carry_none(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**arguments)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_password_in_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_STORE", f":{SECRET}@host")
    assert SECRET not in refusal()


# --- schemes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "scheme"),
    [("memory://", "memory"), ("REDISS://h", "rediss"), ("redis+socket:///x", "redis+socket")],
)
def test_the_scheme_of_a_url_is_given_in_lower_case(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


@pytest.mark.parametrize("url", ["", "memory", "redis:/x", "://x", " redis://x", "1a://", "a b://"])
def test_what_has_no_scheme_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="expected a URL such as"):
        scheme_of(url)
