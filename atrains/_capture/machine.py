"""What the machine and this process do right now: processor, memory, disk, network; from psutil. All calls block."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from atrains._capture.containers import find_limits

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


class Machine:
    """Samples of this machine. Rates are those since the sample before, so the first one has none.

    Args:
        folder: A place on the disk whose free room counts.
        global_memory: Whether `memory_used_gb` is that of the whole machine rather than of this process and its children.
    """

    def __init__(self, folder: Path, *, global_memory: bool = False) -> None:
        import psutil  # takes longer to import than a run to begin

        self._psutil: Any = psutil
        self._folder = folder
        self._global_memory = global_memory
        self._limits = find_limits()
        self._process = psutil.Process()
        self._before: dict[str, float] = {}
        self._moment = 0.0
        psutil.cpu_percent(percpu=True)  # measures from here on

    def sample(self) -> dict[str, float]:
        """The values of now, by the names of their curves; what this machine cannot tell is left out."""
        psutil = self._psutil
        found: dict[str, float] = {}
        now = time.monotonic()
        is_first, elapsed, self._moment = not self._moment, now - self._moment, now
        cores = psutil.cpu_percent(percpu=True)
        used = self._rate("cpu", self._limits.cpu_seconds(), elapsed)
        if self._limits.cpu is not None and used is not None:  # of what the container may use
            found["cpu_usage"] = 100.0 * used / self._limits.cpu[1]
        elif self._limits.cpu is None and cores and not is_first:
            found["cpu_usage"] = sum(cores) / len(cores)
        with contextlib.suppress(OSError, AttributeError):  # no sensors on this system
            heat = [sensor.current for sensor in psutil.sensors_temperatures().get("coretemp", ()) if sensor.current is not None]
            if heat:
                found["cpu_temperature"] = max(heat)
        free = self._limits.free_memory()
        available = psutil.virtual_memory().available
        found["memory_free_gb"] = (available if free is None else min(free, available)) / _GIB
        with contextlib.suppress(OSError):  # the folder was removed
            found["disk_free_percent"] = 100.0 - psutil.disk_usage(str(self._folder)).percent
        network, disks = self._counters(psutil.net_io_counters), self._counters(psutil.disk_io_counters)
        for name, counters, field in (
            ("network_tx_mbs", network, "bytes_sent"),
            ("network_rx_mbs", network, "bytes_recv"),
            ("io_read_mbs", disks, "read_bytes"),
            ("io_write_mbs", disks, "write_bytes"),
        ):
            rate = self._rate(name, getattr(counters, field, None), elapsed)
            if rate is not None:
                found[name] = rate / _MIB
        return found

    def used_memory(self) -> tuple[float, set[int]]:
        """GiB in use by this process and its children, and who they are; costs a look at every process of the machine.

        Of a child counts what it has more than its parent, as for the official clients: the rest is mostly the pages that a fork shares.
        """
        psutil = self._psutil
        with contextlib.suppress(psutil.Error):
            own = self._process.memory_info().rss
            pids, used = {self._process.pid}, own
            for child in self._process.children(recursive=True):
                with contextlib.suppress(psutil.Error):  # it ended meanwhile
                    used += max(0, child.memory_info().rss - own)
                    pids.add(child.pid)
            return (psutil.virtual_memory().used if self._global_memory else used) / _GIB, pids
        return psutil.virtual_memory().used / _GIB, set()

    @staticmethod
    def _counters(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, RuntimeError):  # containers do not show all of /proc
            return None

    def _rate(self, name: str, total: float | None, elapsed: float) -> float | None:
        """How much a counter grows a second."""
        if total is None:
            return None
        before = self._before.get(name)
        self._before[name] = total
        return None if before is None or elapsed <= 0 else max(0.0, total - before) / elapsed
