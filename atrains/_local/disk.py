"""Getting what was written through to the disk: what a power cut cannot take any more. Opt-in, and never on an event loop."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def sync_file(path: str | Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, whoever wrote it and through whichever mapping.

    Raises:
        OSError: it is not there, or the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        if sys.platform == "darwin":  # fsync leaves it in the cache of the drive there
            import fcntl

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        elif sys.platform == "win32":
            os.fsync(descriptor)
        else:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
