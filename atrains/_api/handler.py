"""Records of `logging` as console lines of a task."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, Protocol

from atrains._api import current
from atrains.errors import TaskClosedError

if TYPE_CHECKING:
    from atrains._api.logger import Logger

_FORMAT: Final = logging.Formatter(logging.BASIC_FORMAT)


class _Task(Protocol):
    """A task of either world."""

    def get_logger(self) -> Logger:
        """Its logger."""
        ...


class LogHandler(logging.Handler):
    """Sends what is logged to the console of a task, each record with its level.

    A record is formatted by `setFormatter`, else as `LEVEL:name:message`. Nothing is printed, and nothing raises: what is logged after the
    task was closed, or by the report itself, is left out.

    Args:
        logger: A task or its logger; None for the current task of whoever logs.
        level: The lowest level that is taken.

    Example:
        >>> logging.getLogger("training").addHandler(LogHandler(task, level=logging.INFO))
    """

    def __init__(self, logger: Logger | _Task | None = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.formatter = _FORMAT
        self._logger = logger
        self._busy = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record."""
        if getattr(self._busy, "here", False):
            return  # logged by the report of another record, in this thread: it would go on for ever
        self._busy.here = True
        try:
            logger = self._find()
            if logger is not None:
                logger.report_text(self.format(record), record.levelno, print_console=False)
        except TaskClosedError:
            return
        except Exception:  # a format that does not fit its arguments, whatever an argument does: logging has its own way to say so  # noqa: BLE001
            self.handleError(record)
        finally:
            self._busy.here = False

    def _find(self) -> Logger | None:
        chosen = self._logger
        if chosen is None:
            task = current.current_task()
            return None if task is None else task.get_logger()
        return chosen.get_logger() if hasattr(chosen, "get_logger") else chosen


class CapturingHandler(LogHandler):
    """What `Logger.capture_logging` puts on the root logger: leaves out what the contexts of other tasks log."""

    def __init__(self, logger: Logger, task: str) -> None:
        super().__init__(logger)
        self._task = task

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is for this task."""
        task = current.context_task()
        if task is not None and task.reported_as != self._task:
            return False
        return bool(super().filter(record))
