"""The label enumeration of a task: which class has which number. A part of AsyncTask; the rules are in `_wire.labels`."""

from __future__ import annotations

import logging
from typing import TypeVar

from atrains._async.base import TaskPart
from atrains._engine.notices import say
from atrains._wire.labels import check_labels, names_by_number, number_of_classes

LabelsT = TypeVar("LabelsT", bound=dict[str, int])

_log = logging.getLogger("atrains")


class Labels(TaskPart):
    """Labels and what follows from them. The reads are as of the last `reload`."""

    async def connect_label_enumeration(self, enumeration: LabelsT) -> LabelsT:
        """Connect the names of the classes and their numbers.

        Under an agent the dictionary is cleared and refilled with what the task holds, if it holds any labels.

        Args:
            enumeration: Names and integers, such as `{"background": 0, "person": 1}`.

        Returns:
            `enumeration`.

        Raises:
            UnsupportedTypeError: it is no dictionary, or a name is no text or a number no integer; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        labels = check_labels(enumeration)
        if self._takes_values_from_home:
            await self.reload()
            if held := self.get_labels_enumeration():
                enumeration.clear()
                enumeration.update(held)
                return enumeration
            say(self._settings, f"task {self.id} holds no labels: those of the code are stored")
        await self.set_model_label_enumeration(labels)
        return enumeration

    async def set_model_label_enumeration(self, enumeration: dict[str, int] | None = None) -> None:
        """Set the label enumeration, in place of the one before.

        Args:
            enumeration: Names and integers, such as `{"background": 0, "person": 1}`; None or an empty one for no labels.

        Raises:
            UnsupportedTypeError: it is no dictionary, or a name is no text or a number no integer; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        labels = check_labels({} if enumeration is None else enumeration)
        await self.reload()
        before = self._record.get("execution") or {}
        # Server: of `execution` only the given keys change, so that an artifact recorded meanwhile stays.
        await self._edit("set the labels of", execution={"model_labels": labels})
        if not set(before) <= set(self._record.get("execution") or {}):  # this one replaced all of it
            await self._edit("set the labels of", execution={**before, "model_labels": labels})

    def get_labels_enumeration(self) -> dict[str, int]:
        """Get the label enumeration: the number of each name. Empty when there is none."""
        return dict((self._record.get("execution") or {}).get("model_labels") or {})

    def get_label_num_description(self) -> dict[int, str]:
        """Get the names of each number; several of one number are joined with commas."""
        return names_by_number(self.get_labels_enumeration())

    def get_num_of_classes(self) -> int:
        """Get the number of classes: the highest number of a label and one for number 0, the background.

        Returns:
            0 where there are no labels. A warning is logged then, and where numbers are missing or used twice.
        """
        number, doubt = number_of_classes(self.get_labels_enumeration())
        if doubt is not None:
            _log.warning("atrains: task %s: %s", self.id, doubt)
        return number
