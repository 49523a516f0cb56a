"""Recorder: all that an automatic connection may know of the task that it records to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from atrains._wire.parameters import HyperParameter, StoredItem


class Recorder(Protocol):
    """A task, as the connections of `_connect` see it. Nothing of it does I/O or waits; all of it may be called from any thread."""

    def held_parameters(self, section: str) -> Mapping[str, StoredItem] | None:
        """What the task held in a section when its run began, for the code to take; None in a run that no agent started."""

    def record_parameters(self, items: Sequence[HyperParameter]) -> None:
        """Have parameters stored, in one edit with whatever else changes now."""

    def refuse_parameter(self, section: str, name: str, text: str, wanted: str) -> None:
        """Say that the code cannot take a value that the task holds, and keeps its own."""

    def remark(self, text: str) -> None:
        """Say something about the run, in one line."""
