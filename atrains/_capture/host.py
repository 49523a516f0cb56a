"""Which process this is, on which machine, since when: enough to tell it from a later one with its number. psutil only without /proc."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


class ProcessIdentity(NamedTuple):
    """What tells one process from another one that has its number later.

    Attributes:
        pid: The process number.
        start_time: When the process began, in seconds: since the boot on Linux, where the wall clock may jump, since the epoch elsewhere.
            For comparison only. None when it cannot be found out.
        boot_id: Changes with each boot of the machine. None where the system has no such thing.
        host: The name of the machine.
    """

    pid: int
    start_time: float | None
    boot_id: str | None
    host: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process; takes no time worth mentioning, and is not kept, since a fork changes it."""
        pid = os.getpid()
        return cls(pid=pid, start_time=start_time_of(pid), boot_id=boot_id(), host=host_name())


def start_time_of(pid: int) -> float | None:
    """When a process began, as in `ProcessIdentity.start_time`; None when there is no such process or it cannot be looked at."""
    if not sys.platform.startswith("linux"):
        return _start_time_from_psutil(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program, in parentheses, may itself hold blanks and parentheses; field 22 counts from 1.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):  # the process is gone, or /proc is not mounted
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def boot_id() -> str | None:
    """The id of this boot of the machine; None where the system has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip() or None
    except OSError:  # not Linux, or a sandbox that hides it; the time of the boot is no substitute: it moves with the clock
        return None


def host_name() -> str:
    """The name of the machine, `unknown` when it has none."""
    if hasattr(os, "uname"):
        return os.uname().nodename or "unknown"
    import socket

    return socket.gethostname() or "unknown"


def _start_time_from_psutil(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except (psutil.Error, ValueError):  # no such process, or one that we may not look at; a negative pid is a ValueError
        return None
