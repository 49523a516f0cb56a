"""What is printed on standard error, and what happens where that cannot be written to."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from atrains._config import settings
from atrains._engine import notices


class Broken(io.StringIO):
    """A stream in the midst of a line, as a signal handler may find it."""

    def write(self, _: str, /) -> int:
        raise RuntimeError("reentrant call inside a stream")


def begin_without_logging(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """The logger of a program that did not configure logging, once its first task began; in the test itself, since pytest configures it."""
    logger = logging.getLogger("atrains")
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logger, "handlers", [])
    notices.show_warnings()
    return logger


def test_warnings_are_printed_where_nobody_configured_logging(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    warnings = begin_without_logging(monkeypatch)
    warnings.warning("atrains: %d lost", 3)
    warnings.info("not this")
    notices.show_warnings()
    warnings.error("atrains: once")
    assert capsys.readouterr().err == "atrains: 3 lost\natrains: once\n"
    notices.hide_warnings()
    warnings.error("where atrains is switched off")
    notices.show_warnings()
    warnings.error("on again")
    monkeypatch.setattr(logging.root, "handlers", [logging.NullHandler()])
    warnings.error("shown by what the program configured")
    assert capsys.readouterr().err == "on again\n"


def test_a_stream_that_cannot_be_written_to_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings = begin_without_logging(monkeypatch)
    for stream in (Broken(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        warnings.warning("atrains: something")
        warnings.warning("atrains: %d", "no number")
        notices.say(settings()._replace(quiet=False), "a line")
