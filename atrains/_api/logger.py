"""The Logger: what a task reports, from any thread and either world.

Every `report_*` is a plain call that writes to the journal and returns.
"""

from __future__ import annotations

import contextlib
import logging
import math
import struct
import sys
import time
from array import array
from collections.abc import Iterable, Iterator, Sized
from importlib import import_module
from typing import Any, Final, SupportsFloat, SupportsIndex

from atrains import types
from atrains._api import current
from atrains._api.outgoing import as_text, clean_name, joined, shortened
from atrains._api.plots import PlotReports
from atrains._engine import ledger
from atrains._engine.console import unseen
from atrains._engine.nonfinite import Replacement, replacements
from atrains._wire.events import SINGLE_VALUE_ITERATION, SINGLE_VALUE_TITLE, EventKind
from atrains.errors import TaskClosedError, ValidationError

_MAX_TEXT: Final = 1 << 20
"""Characters of one console event. Server: the official clients split longer ones too."""
_MAX_ROWS: Final = 1 << 20
_LEVELS: Final = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class Logger(PlotReports):
    """Reports the scalars, plots and console lines of one task; get it with `task.get_logger()`.

    A call never waits for a disk or a server, and what it reported is kept once it has returned, even if the process is killed. What
    cannot be stored (a value that is no number, NaN, an iteration of more than 64 bit) is counted in `task.stats()` and named once in the
    log; it never raises. When what is not delivered yet has filled the journal, `journal.overflow` decides: by default the oldest
    undelivered events are dropped and counted; with `block` the call waits, and with `raise` it raises `JournalFullError`.

    Example:
        >>> logger = task.get_logger()
        >>> logger.report_scalar("loss", "train", value=0.25, iteration=10)
    """

    __slots__ = ()

    SeriesInfo = types.SeriesInfo
    """One curve of `report_line_plot`, also found here by those who know it so."""

    def __reduce__(self) -> tuple[object, ...]:
        if self._reference is None:
            raise TypeError("this Logger belongs to no task and cannot be pickled; pass the task")
        return _unpickle, self._reference()

    def __copy__(self) -> Logger:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Logger:
        return self

    @classmethod
    def current_logger(cls) -> Logger | None:
        """The logger of the current task, or None when there is no task."""
        task = current.current_task()
        return None if task is None else task.get_logger()

    def report_scalar(self, title: str, series: str, value: SupportsFloat | SupportsIndex, iteration: int) -> None:
        """Report one point; never waits (unless `journal.overflow` says so), and survives a killed process once it returned.

        Args:
            title: The graph.
            series: The curve in it.
            value: A finite number, or what converts to one.
            iteration: The x coordinate, a signed 64 bit integer; the initial iteration of the task is added.

        Raises:
            TaskClosedError: the task was closed.
        """
        # 0.5 us: one dict lookup, one counter, one pack_into. Converted before a slot is claimed: a bad value must not leave a
        # half-written slot behind.
        try:
            value = float(value)
            iteration = int(iteration) + self._offset
            number = self._ids.get((title, series)) or self._register(title, series)
            stored = self._append(number, iteration, value)
        except TaskClosedError:
            raise
        except Exception as error:  # converting a user's object may raise anything; reporting never does  # noqa: BLE001
            if (single := _single(value)) is not None:
                self.report_scalar(title, series, single, iteration)
            else:
                self._refuse_scalar(title, series, value, iteration, error)
            return
        if not stored:
            self._refuse(EventKind.SCALARS, 1)

    def report_scalars(self, title: str, series: str, *, values: Iterable[float], iterations: Iterable[int]) -> None:
        """Report many points of one curve at once, from arrays.

        Args:
            title: The graph.
            series: The curve in it.
            values: The values, in one dimension: an array of numpy, a tensor, a column of pandas or polars, `array.array`, a list or any
                iterable of numbers. What is missing or masked is left out and counted.
            iterations: The x coordinates, one for each value; `range` will do.

        Raises:
            TaskClosedError: the task was closed.
        """
        try:
            self._register(title, series)
            numbers = _column("d", values)
            steps = _column("q", iterations, self._offset)
            if len(numbers) != len(steps):
                raise ValidationError(f"{len(numbers)} values but {len(steps)} iterations")
        except TaskClosedError:
            raise
        except Exception as error:  # converting a user's object may raise anything; reporting never does  # noqa: BLE001
            self._drop(EventKind.SCALARS, ledger.BAD_INPUT, joined(title, series), as_text(error), _count(values))
            return
        now = time.time()
        for begin in range(0, len(numbers), _MAX_ROWS):
            part, part_steps = numbers[begin : begin + _MAX_ROWS], steps[begin : begin + _MAX_ROWS]
            header = {
                "kind": "scalars",
                "task": self._task,
                "title": clean_name(title),
                "series": clean_name(series),
                "time": now,
                "rows": len(part),
            }
            self._record(EventKind.SCALARS, header, [memoryview(part_steps), memoryview(part)], f"{title}/{series}")

    def report_single_value(self, name: str, value: SupportsFloat | SupportsIndex) -> None:
        """Report a value that belongs to the whole run rather than to an iteration; the last one of a name counts.

        Raises:
            TaskClosedError: the task was closed.
        """
        self.report_scalar(SINGLE_VALUE_TITLE, name, value, SINGLE_VALUE_ITERATION - self._offset)

    def report_text(
        self,
        msg: str,
        level: int | str = logging.INFO,
        print_console: bool = True,  # the documented signature
        *args: object,
        **_: object,
    ) -> None:
        """Report text to the task's console.

        Args:
            msg: The text.
            level: A level of `logging`, or its name.
            print_console: Whether to print it to standard output as well.
            *args: Put into the text with `%`.

        Raises:
            TaskClosedError: the task was closed.
        """
        self._check_open()
        text = as_text(msg)
        if args:
            # A text that does not fit its arguments is worth more than an exception in the middle of a run.
            with contextlib.suppress(Exception):
                text = text % args
        if print_console:
            # A terminal that is closed, broken or of another alphabet must not cost the report.
            with contextlib.suppress(OSError, ValueError), unseen():
                print(text, file=sys.stdout)  # asked for  # noqa: T201
        text = text.replace("\b", "").encode("utf-8", "replace").decode("utf-8")
        name = _level_name(level)
        for begin in range(0, max(len(text), 1), _MAX_TEXT):
            event = {
                "timestamp": self._stamp(),
                "level": name,
                "msg": text[begin : begin + _MAX_TEXT],
                "worker": self._worker,
            }
            self._record(EventKind.LOGS, {"kind": "logs", "task": self._task, "event": event}, [], "console")

    @contextlib.contextmanager
    def capture_logging(self) -> Iterator[None]:
        """Report what reaches the root logger within a block to the task's console as well, each record with its level.

        Records that other tasks' asyncio contexts log are left out. For one logger, or for longer, use `atrains.LogHandler`.

        Example:
            >>> with logger.capture_logging():
            ...     logging.getLogger("training").warning("the rate is 0")
        """
        from atrains._api.handler import CapturingHandler

        handler, root = CapturingHandler(self, self._task), logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    @classmethod
    def set_reporting_nan_value(cls, value: float | None, warn_period: int = 1000) -> None:
        """Choose what is stored for NaN in scalars, by all loggers of this process, for what is delivered from now on.

        Args:
            value: A finite number; None, as it is without this call, to leave such points out and count them in `task.stats()`.
            warn_period: After how many of them it is said again in the log.

        Raises:
            ValidationError: a value that is not finite, or a period below 1.
        """
        replacements.nan = _replacement(value, warn_period)

    @classmethod
    def set_reporting_inf_value(cls, value: float | None, warn_period: int = 1000) -> None:
        """Choose what is stored for infinities in scalars: as `set_reporting_nan_value`.

        Raises:
            ValidationError: as there.
        """
        replacements.inf = _replacement(value, warn_period)

    def get_flush_period(self) -> float | None:
        """The seconds between two deliveries of what was reported; None when there is none without `flush`."""
        return self._outlet.flush_period

    def set_flush_period(self, period: float | None) -> None:
        """Set how often what is reported is delivered, by all tasks of this process that report to the same home.

        Args:
            period: Seconds; None or 0 to deliver only at `flush`, at `close` and when much was reported.

        Raises:
            ValidationError: a negative number.
        """
        seconds = None if period is None else float(period)
        if seconds is not None and not seconds >= 0:
            raise ValidationError(f"the flush period is a number of seconds, or None for none, not {period!r}")
        self._outlet.flush_period = seconds or None
        self._wake()

    def flush(self) -> bool:
        """Start delivering what was reported, without waiting for it; `task.flush()` waits."""
        self._wake()
        return True

    def close(self) -> None:
        """Refuse what comes after this; called by the task."""
        self._closed = True
        self._ids = {}

    def set_offset(self, offset: int) -> None:
        """Add `offset` to the iterations of what is reported from now on; called by the task."""
        self._offset = offset

    # ---- off the hot path

    def _register(self, title: str, series: str) -> int:
        self._check_open()
        number = self._outlet.journal.register_series(self._task, clean_name(title), clean_name(series))
        self._ids[title, series] = number
        return number

    def _refuse_scalar(self, title: object, series: object, value: object, iteration: object, error: Exception) -> None:
        if isinstance(error, struct.error | OverflowError) and isinstance(value, float):
            reason, detail = ledger.BAD_ITERATION, f"iteration {shortened(iteration)} does not fit in 64 bit"
        elif isinstance(error, OSError):
            reason, detail = ledger.NO_ROOM, str(error)
        elif isinstance(value, float):
            reason, detail = ledger.BAD_INPUT, f"iteration {shortened(iteration)}: {as_text(error)}"
        else:
            reason, detail = ledger.NOT_A_NUMBER, f"value {shortened(value)}: {as_text(error)}"
        self._drop(EventKind.SCALARS, reason, joined(title, series), detail)


def _single(value: Any) -> int | float | None:
    """The number in an array or a tensor of one, which `float` may not take; None of anything else."""
    if getattr(value, "shape", ()) == () or not hasattr(value, "item"):
        return None
    try:
        number = value.item()
    except Exception:  # more than one, or whatever a user's object does  # noqa: BLE001
        return None
    return number if isinstance(number, int | float) else None


def _count(values: object) -> int:
    """How many points somebody meant to report."""
    size = getattr(values, "size", None)  # of an array in any number of dimensions
    return size if isinstance(size, int) else len(values) if isinstance(values, Sized) else 1


def _replacement(value: float | None, warn_period: int) -> Replacement:
    if value is not None and not math.isfinite(value):
        raise ValidationError(f"what stands for a value that is not finite is a finite number, not {value!r}")
    if warn_period < 1:
        raise ValidationError(f"warn_period is a number of values, 1 or more, not {warn_period!r}")
    return Replacement(None if value is None else float(value), warn_period)


def _level_name(level: int | str) -> str:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    try:
        number = int(number)
    except (TypeError, ValueError, OverflowError):
        return "info"
    return next((name for limit, name in _LEVELS if number >= limit), "debug" if number else "notset")


def _column(code: str, data: Iterable[Any], offset: int = 0) -> array[Any]:
    """Doubles or 64 bit integers, in C order, as one array; at the speed of memory for arrays, tensors and columns of any number type.

    Raises:
        ValidationError: more than one dimension, no numbers, iterations that do not fit.
    """
    if isinstance(data, array) and data.typecode == code and not offset:
        return data
    numbers = None if isinstance(data, list | tuple | range | array) or not hasattr(data, "__array__") else _as_numpy(data)
    if numbers is None:
        return array(code, (item + offset for item in data) if offset else data)
    if numbers.ndim != 1:
        raise ValidationError(f"an array of shape {numbers.shape}; report one curve, in one dimension, at a time")
    if numbers.dtype.kind in "cmM":
        raise ValidationError(f"an array of {numbers.dtype}, not of numbers")
    if code == "q":
        _check_steps(numbers)
    elif hasattr(numbers, "filled"):  # masked: what is hidden is not reported
        numbers = numbers.astype("f8").filled(math.nan)
    numbers = numbers.astype("<f8" if code == "d" else "<i8", order="C")
    if offset:
        numbers = numbers + offset
    column: array[Any] = array(code)
    if numbers.size:  # nothing of the kind can be cast of none
        column.frombytes(memoryview(numbers).cast("B"))
    return column


def _as_numpy(data: Any) -> Any:
    """An array of numpy of what has such a form; None where numpy is not installed, and polars and its like go on without."""
    try:
        import numpy as np
    except ModuleNotFoundError:
        return None
    if hasattr(data, "detach"):  # a tensor: off the graph and to this machine first
        data = data.detach().cpu()
    found = np.asanyarray(data)
    if found.dtype.kind == "O" and hasattr(data, "astype"):  # numbers that may be missing, as pandas has them
        found = np.asanyarray(data.astype("float64"))
    return found


def _check_steps(steps: Any) -> None:
    """Refuse iterations that a cast to 64 bits would make others of.

    Raises:
        ValidationError: some are missing, no numbers, or beyond 64 bits.
    """
    is_hidden = getattr(steps, "mask", False)
    is_whole = steps.dtype.kind in "bi"
    if getattr(is_hidden, "any", lambda: is_hidden)() or not (is_whole or ((steps >= -(2.0**63)) & (steps < 2.0**63)).all()):
        raise ValidationError("iterations that are missing, no numbers, or do not fit in 64 bit")


def _unpickle(task: str, place: str, offset: int) -> Logger:
    """The logger of a pickle. A logger needs its task's home, which is found as by a script: this waits for it."""
    blocking = import_module("atrains").Task  # through the front door: what can wait is above this layer
    logger: Logger = blocking._from_pickle(task, place, offset).get_logger()  # noqa: SLF001
    return logger
