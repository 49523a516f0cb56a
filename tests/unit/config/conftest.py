"""A user's home directory of its own for each test, and a way to load settings as a process of that user would."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atrains._config import Credentials, Settings, load_settings, reset


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def write(user: Path) -> Callable[[str, str], Path]:
    def _write(name: str, text: str) -> Path:
        path = user / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def load(user: Path) -> Callable[..., Settings]:
    def _load(credentials: Credentials | None = None, **variables: str) -> Settings:
        return load_settings({"HOME": str(user), **variables}, credentials)

    return _load


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.name == "atrains" and record.levelno == logging.WARNING]


@pytest.fixture
def process(user: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as one that was just started by the user, with nothing configured."""
    for name in os.environ:
        if name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(user))
    reset()
    yield
    reset()
