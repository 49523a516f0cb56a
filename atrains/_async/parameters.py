"""Hyperparameters: what the code connects is stored as text by section and name. A part of AsyncTask."""

from __future__ import annotations

from typing import TypeVar

from atrains._async.base import TaskPart
from atrains._wire import endpoints
from atrains._wire.parameters import flatten
from atrains.errors import UnsupportedTypeError

T = TypeVar("T")


class Parameters(TaskPart):
    """Connecting dictionaries."""

    async def connect(self, mutable: T, *, name: str | None = None) -> T:
        """Store what the run is configured with.

        Args:
            mutable: A dictionary of parameters, nested as deep as you like; inner names are joined with `/`.
            name: The section to store it under; `General` by default.

        Returns:
            `mutable`.

        Raises:
            UnsupportedTypeError: the object is of another kind, or holds a value that is no parameter; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        if not isinstance(mutable, dict):
            raise UnsupportedTypeError(
                f"cannot connect a {type(mutable).__name__} to task {self.id}: "
                "pass a dict of parameters (other kinds of objects are not supported yet)"
            )
        items = flatten(mutable, section=name or "General")
        if items:
            await self._change(
                endpoints.TASKS_EDIT_HYPER_PARAMS,
                "store the parameters of",
                hyperparams=[item.as_request() for item in items],
                replace_hyperparams="none",
                force=True,
            )
            await self.reload()
        return mutable
