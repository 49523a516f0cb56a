"""Other interpreters on this machine that can run atrains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NEEDED: Final = ("aiofiles", "aiohttp", "anyio", "jwt", "orjson", "psutil", "pyhocon", "rich", "tenacity")
_QUESTION: Final = f"""
import sys
from importlib.util import find_spec

missing = [name for name in {_NEEDED} if find_spec(name) is None]
sys.exit(f"{{sys.executable}} lacks {{', '.join(missing)}}" if missing else print("%d.%d" % sys.version_info[:2]))
"""


def interpreters(wanted: tuple[str, ...]) -> dict[str, str]:
    """This interpreter, those that ATRAINS_TEST_PYTHONS names, and for versions that are still wanted what is found, by version.

    Looked for are `python3.x` on PATH and what pyenv has installed; either counts only with the dependencies of atrains.
    """
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for path in filter(None, os.environ.get("ATRAINS_TEST_PYTHONS", "").split(os.pathsep)):
        answer = _ask(path)
        if answer.returncode:
            raise RuntimeError(f"ATRAINS_TEST_PYTHONS names {path}, which cannot be used: {answer.stderr}")
        found.setdefault(answer.stdout.strip(), path)
    for version in wanted:
        usable = (path for path in candidates(version) if version not in found and _ask(path).stdout.strip() == version)
        path = next(usable, None)
        if path is not None:
            found[version] = path
    return found


def candidates(version: str) -> Iterator[str]:
    """Where an interpreter of this version may be, whatever packages it has."""
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(place / "bin" / "python") for place in sorted(pyenv.glob(f"versions/{version}*"), reverse=True))


def _ask(path: str) -> subprocess.CompletedProcess[str]:
    # Without what points this interpreter to its packages, which are none of the other one's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([path, "-c", _QUESTION], capture_output=True, text=True, check=False, timeout=60, env=environment)
