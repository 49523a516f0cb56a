"""The packages that somebody asked for before the run began: kept for the process, and put into the requirements of its main task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

_wishes: Final[dict[str, str | None]] = {}


def force(name: str, version: str | None) -> None:
    """Want a package, or those of a file of requirements, whatever the program imports. The last wish for a name counts."""
    # A file is read later, when the working directory may be another one.
    _wishes[os.path.abspath(name) if os.path.isfile(name) else name] = version


def forget() -> None:
    """Want nothing any more."""
    _wishes.clear()


def forced() -> Mapping[str, str | None]:
    """What is wanted by now: versions by name, None for the installed one."""
    return dict(_wishes)
