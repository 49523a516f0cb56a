"""The settings of a process: loaded once, changed by `set_credentials` only before they are in use, inherited by children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atrains import _config
from atrains._config import mark_connected, reset, reset_in_child, set_credentials, settings
from atrains.errors import ConfigurationError, UsageError, ValidationError

pytestmark = pytest.mark.usefixtures("process")
CHILD = """
from atrains._config import settings
print(settings().api.api_host, settings().api.secret_key.reveal(), settings().target.source)
"""


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=Path(_config.__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_settings_are_loaded_once_however_many_threads_ask() -> None:
    barrier = threading.Barrier(8)
    seen: list[object] = []

    def ask() -> None:
        barrier.wait()
        seen.append(settings())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in seen}) == 1


def test_set_credentials_is_used_and_can_be_changed_until_connected() -> None:
    set_credentials(api_host="http://one:8008/", web_host="http://web", key="k", secret="s")
    assert settings().api.api_host == "http://one:8008"
    assert settings().api.web_host == "http://web"
    set_credentials(host="http://two:8008", api_host="http://ignored:8008")
    assert (settings().api.api_host, settings().api.web_host) == ("http://two:8008", "http://two:8080")
    assert settings().api.access_key.reveal() == "k"
    mark_connected("http://two:8008")
    with pytest.raises(UsageError, match=r"connected to http://two:8008 already; call it before Task.init"):
        set_credentials(key="late")
    assert settings().api.access_key.reveal() == "k"


@pytest.mark.parametrize("name", ["api_host", "web_host", "files_host", "host"])
def test_a_host_that_is_no_url_is_refused_at_the_call(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"set_credentials: {name}: 'localhost:8008' is not the URL"):
        set_credentials(**{name: "localhost:8008"})
    with pytest.raises(ValidationError, match=rf"{name} is of type int"):
        set_credentials(**{name: 8008})


def test_a_key_that_is_no_text_is_refused_and_not_shown() -> None:
    with pytest.raises(ValidationError, match=r"secret is of type int; expected text$"):
        set_credentials(secret=1234567)


def test_local_by_call() -> None:
    set_credentials(host="local")
    assert (settings().target.kind, settings().target.source) == ("local", "Task.set_credentials")
    assert not [name for name in os.environ if name.startswith("TRAINS_")]


def test_a_failed_load_can_be_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_QUIET", "perhaps")
    with pytest.raises(ConfigurationError):
        settings()
    monkeypatch.setenv("ATRAINS_QUIET", "yes")
    assert settings().quiet


def test_child_processes_inherit_what_was_used_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARML_API_HOST", "http://variable:8008")
    set_credentials(api_host="http://given:8008", key="k", secret="handed down")
    settings()
    assert "TRAINS_API_HOST" not in os.environ
    assert _run(CHILD) == "http://variable:8008 handed down CLEARML_API_HOST"
    reset()
    assert "TRAINS_API_SECRET_KEY" not in os.environ


def test_what_was_left_for_children_does_not_win_over_a_later_call(caplog: pytest.LogCaptureFixture) -> None:
    set_credentials(api_host="http://one:8008")
    settings()
    set_credentials(api_host="http://two:8008")
    assert (settings().api.api_host, os.environ["TRAINS_API_HOST"]) == ("http://two:8008", "http://two:8008")
    assert not caplog.records


def test_nothing_is_left_for_children_when_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    set_credentials(api_host="http://one:8008")
    settings()
    assert "TRAINS_API_HOST" not in os.environ


def test_reset_forgets_all_and_a_forked_child_keeps_what_its_parent_had() -> None:
    set_credentials(api_host="http://one:8008")
    before = settings()
    mark_connected()
    reset_in_child()
    assert settings() is before
    with pytest.raises(UsageError):
        set_credentials(key="late")
    reset()
    assert settings().target.kind == "local"
    set_credentials(key="in time")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_loads_is_not_stuck() -> None:
    code = """
import os, signal
from atrains._config import process, reset_in_child, settings
process._process.lock.acquire()   # as a loading thread would hold it
child = os.fork()
if child == 0:
    signal.alarm(10)
    reset_in_child()
    os._exit(0 if settings().target.kind == "local" else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert _run(code) == "0"


def test_without_files_no_parser_and_nothing_slow_is_imported() -> None:
    code = """
import sys
from atrains._config import settings
settings()
print([name for name in ("pyhocon", "pyparsing", "aiohttp", "asyncio", "rich", "psutil", "socket", "platform") if name in sys.modules])
"""
    assert _run(code) == "[]"


def test_loading_without_files_takes_under_five_milliseconds() -> None:
    code = """
import time
from atrains._config import load_settings
took = []
for _ in range(5):
    start = time.perf_counter(); load_settings(); took.append(time.perf_counter() - start)
print(min(took) < 0.005)
"""
    assert _run(code) == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX account")
def test_a_user_without_a_home_directory_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it answers for an account that has no entry
    monkeypatch.delenv("HOME")
    with pytest.raises(ConfigurationError, match="ATRAINS_HOME"):
        settings()
    monkeypatch.setenv("ATRAINS_HOME", "/srv/runs")
    assert settings().home.path == Path("/srv/runs")
