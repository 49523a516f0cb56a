"""What a container may use of its machine: the limits of control groups, in either version. Reads files, nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_GROUPS: Final = Path("/proc/self/cgroup")
_UNLIMITED: Final = 1 << 60
"""Version 1 writes a number near 2**63 where there is no limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The narrowest limits that hold for this process; each None where there is none.

    Attributes:
        memory: The group that limits memory, and its bytes.
        cpu: The group that limits processor time, and how many cores' worth of it.
        is_first_version: Whether the groups are of version 1.
    """

    memory: tuple[Path, int] | None = None
    cpu: tuple[Path, float] | None = None
    is_first_version: bool = False

    def free_memory(self) -> int | None:
        """Bytes that are left below the limit; None without one. What the group holds of files can be given up, and counts as free."""
        if self.memory is None:
            return None
        folder, limit = self.memory
        used = _number(folder / ("memory.usage_in_bytes" if self.is_first_version else "memory.current"))
        files = _stat(folder / "memory.stat").get("total_inactive_file" if self.is_first_version else "inactive_file", 0)
        return None if used is None else max(0, limit - max(0, used - files))

    def cpu_seconds(self) -> float | None:
        """Processor time that the limited group has used; None without a limit."""
        if self.cpu is None:
            return None
        folder = self.cpu[0]
        if not self.is_first_version:
            used = _stat(folder / "cpu.stat").get("usage_usec")
            return None if used is None else used / 1e6
        found = _number(folder / "cpuacct.usage")
        return None if found is None else found / 1e9


def find_limits(root: Path = _ROOT, groups: Path = _GROUPS) -> Limits:
    """The limits of this process; none where there are no control groups.

    Args:
        root: Where the groups are mounted.
        groups: What names those of this process.
    """
    try:
        lines = [line.split(":", 2) for line in groups.read_text(encoding="utf-8").splitlines()]
    except OSError:  # another system
        return Limits()
    paths = {name: path for _, names, path in (line for line in lines if len(line) == 3) for name in names.split(",")}
    if (root / "cgroup.controllers").exists():
        return Limits(*_second_version(root, paths.get("", "/")))
    return _first_version(root, paths)


def _second_version(root: Path, path: str) -> tuple[tuple[Path, int] | None, tuple[Path, float] | None]:
    memory: tuple[Path, int] | None = None
    cpu: tuple[Path, float] | None = None
    for folder in _upwards(root, path):
        limit = _number(folder / "memory.max")
        if limit is not None and (memory is None or limit < memory[1]):
            memory = folder, limit
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period) and (cpu is None or int(quota) / int(period) < cpu[1]):
            cpu = folder, int(quota) / int(period)
    return memory, cpu


def _first_version(root: Path, paths: dict[str, str]) -> Limits:
    memory: tuple[Path, int] | None = None
    cpu: tuple[Path, float] | None = None
    for folder in _upwards(root / "memory", paths.get("memory", "/")):
        limit = _number(folder / "memory.limit_in_bytes")
        if limit is not None and limit < _UNLIMITED and (memory is None or limit < memory[1]):
            memory = folder, limit
    mount = next((folder for name in ("cpu,cpuacct", "cpu") if (folder := root / name).is_dir()), root / "cpu")
    for folder in _upwards(mount, paths.get("cpu", "/")):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period and (cpu is None or quota / period < cpu[1]):
            cpu = folder, quota / period
    return Limits(memory, cpu, is_first_version=True)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The group of a path and those that it lies in. A container often sees its own as the root, under another path than it has outside."""
    folder = root / path.strip("/")
    while folder != root:
        if folder.is_dir():
            yield folder
        folder = folder.parent
    yield root


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # the root has none of these files, and others need not
        return ""


def _number(path: Path) -> int | None:
    with contextlib.suppress(ValueError):  # "max"
        return int(_text(path))
    return None


def _stat(path: Path) -> dict[str, int]:
    words = (line.split() for line in _text(path).splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) == 2 and line[1].isdigit()}
