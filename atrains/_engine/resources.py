"""The resource monitor: reports what the machine does while a run is open. Driven by a `Runtime`; what is measured is in `_capture`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from atrains._config import MonitorSettings
from atrains._config.env import process_variables
from atrains._engine.held import reentrant_lock
from atrains._engine.ledger import NO_ROOM
from atrains._wire.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atrains._capture.gpus import Gpus
    from atrains._capture.machine import Machine
    from atrains._engine.outlet import Outlet

MACHINE_TITLE: Final = ":monitor:machine"
GPU_TITLE: Final = ":monitor:gpu"
"""Server: the iterations of these two titles, and of no others, do not count towards a task's `last_iteration`."""
_GPU: Final = "gpu_"
_PATIENCE: Final = 3
"""Failures of the GPUs in a row after which they are left alone."""
_DIGITS: Final = 3


class ResourceMonitor:
    """Samples of the machine, reported as curves over the seconds since the task began.

    The x axis is the same for the whole life of a task: at a server second 30 and iteration 30 would be one event. `step` blocks; it
    and `stop` may be called by any thread.

    Args:
        task: The id that is reported under.
        outlet: Where to.
        settings: How often.
        folder: A place on the disk whose free room counts.
        age: Seconds since the task began; more than 0 where an earlier run of it reported.
        remark: Told once, in words, when something cannot be measured any more.
    """

    def __init__(
        self, task: str, outlet: Outlet, settings: MonitorSettings, *, folder: Path, age: float, remark: Callable[[str], None]
    ) -> None:
        self.task = task
        self._outlet = outlet
        self._settings = settings
        self._folder = folder
        self._remark = remark
        now = time.monotonic()
        self._begun = now - age
        self._report_due = now + settings.first_report
        # A rate needs two samples, so the first is early; until then nothing is imported.
        self.due = max(now, self._report_due - 2 * settings.sample_period)
        self._lock = reentrant_lock()
        self._stepping = threading.Lock()
        self._stopped = False
        self._machine: Machine | None = None
        self._gpus: Gpus | None = None
        self._gpu_failures = 0
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is measured."""
        return self._stopped

    def stop(self) -> None:
        """Report nothing from now on; a step that is under way ends without a report."""
        with self._lock:
            self._stopped = True

    def step(self) -> None:
        """Take a sample, and report if that is due. Blocks for some milliseconds."""
        if self._stopped or not self._stepping.acquire(blocking=False):
            return  # a loop that ended has left a thread in it
        try:
            self._step()
        finally:
            self._stepping.release()

    def _step(self) -> None:
        self._add(self._sample())
        now = time.monotonic()
        if now >= self._report_due:
            self._report_due = max(self._report_due + self._settings.report_period, now)
            self._report(int(now - self._begun))
        self.due = min(self._report_due, now + self._settings.sample_period)

    def _sample(self) -> Mapping[str, float]:
        if self._machine is None:
            from atrains._capture.gpus import Gpus
            from atrains._capture.machine import Machine

            self._machine = Machine(self._folder, global_memory=self._settings.global_memory)
            self._gpus = Gpus.find(process_variables())
        found = self._machine.sample()
        return found | self._of_gpus(lambda gpus: gpus.sample())

    def _of_gpus(self, read: Callable[[Gpus], dict[str, float]]) -> dict[str, float]:
        if self._gpus is None:
            return {}
        try:
            found = read(self._gpus)
        except Exception as error:  # noqa: BLE001  # a driver that is updated, a device that falls off the bus: NVML has an error for each
            self._gpu_failures += 1
            if self._gpu_failures == _PATIENCE:
                self._gpus = None
                self._remark(f"the GPUs are not monitored any more, since NVML failed {_PATIENCE} times ({error})")
            return {}
        self._gpu_failures = 0
        return found

    def _add(self, sample: Mapping[str, float]) -> None:
        for name, value in sample.items():
            self._sums[name] += value  # type: ignore[assignment]  # a Counter of floats
            self._counts[name] += 1

    def _report(self, second: int) -> None:
        assert self._machine is not None
        values = {name: self._sums[name] / count for name, count in self._counts.items()}
        self._sums.clear()
        self._counts.clear()
        values["memory_used_gb"], pids = self._machine.used_memory()
        values |= self._of_gpus(lambda gpus: gpus.used_memory(pids))
        journal = self._outlet.journal
        with self._lock:
            if self._stopped:
                return
            for name, value in values.items():
                title = GPU_TITLE if name.startswith(_GPU) else MACHINE_TITLE
                number = journal.register_series(self.task, title, name)
                if not journal.scalars.append(number, second, round(value, _DIGITS)):
                    self._outlet.ledger.drop(self.task, EventKind.SCALARS, NO_ROOM, name=title, detail=journal.refusal[1])
