"""The packages of a conda environment, by what conda itself keeps of them: `conda-meta/<name>-<version>-<build>.json`. Blocking."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from atrains._capture.requirements import Installed, normalised

_METADATA: Final = re.compile(rb"site-packages/([^/\"]+?)-([^/\"-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info[/\"]")
"""Where the list of a package's files names the metadata by which Python knows it; after egg-info also the version of Python."""
_PATIENCE: Final = 0.0005
"""Seconds of rest after a file, for the program's own threads: it may list thousands of files."""


def conda_lines(prefix: Path, packages: Iterable[Installed], until: float) -> list[str]:
    """The lines of those packages that conda has installed, by the names that its channels know them by (`pytorch`, not `torch`).

    Args:
        prefix: The folder of the environment.
        packages: What a program uses.
        until: When to give up, by the monotonic clock.

    Returns:
        The lines, sorted; none where this is no environment of conda.

    Raises:
        TimeoutError: not everything was looked through.
    """
    # What pip has put over a package of conda has another version than conda knows, or it is as good as that.
    wanted = {(normalised(one.name), one.version) for one in packages if one.folder is None and not one.url}
    lines: list[str] = []
    names = {name for name, _ in wanted}
    # The likely ones first; then those that are called otherwise, until all are found.
    files = sorted((prefix / "conda-meta").glob("*.json"), key=lambda file: normalised(_place(file)[0]) not in names)
    for file in files:
        if not wanted:
            break
        if time.monotonic() > until:
            raise TimeoutError("the packages of conda were not all looked through in time")
        name, version = _place(file)
        listed = _METADATA.findall(file.read_bytes())
        found = {(normalised(metadata.decode("utf-8", "replace")), number.decode("utf-8", "replace")) for metadata, number in listed}
        if not wanted.isdisjoint(found):
            lines.append(f"{name} == {version}")
            wanted -= found
        time.sleep(_PATIENCE)
    return sorted(lines)


def _place(file: Path) -> tuple[str, str]:
    """The name and the version of a package. A name may hold hyphens; version and build do not."""
    name, version, _ = [*file.stem.rsplit("-", 2), "", ""][:3]
    return name, version
