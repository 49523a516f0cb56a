"""What a script pays before its first line and after its last: importing, the first init in a new home, closing a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from figures import Figures

PIECES = {
    "python": "",
    "asyncio": "import asyncio",
    "import": "from atrains import Task",
    "init": "from atrains import Task\nTask.init('benchmark', 'start')",  # in a home that is not there yet
}
_TIMED = "import time\nbegin = time.perf_counter()\n{piece}\nprint(time.perf_counter() - begin)"


def startup(scale: float) -> Figures:
    """The median of nine fresh processes for each piece, taken in turns: inside the process, and from outside from start to end.

    They begin in a repository of one commit: what is recorded of the program shall not depend on the state of this checkout.
    """
    repository = Path(os.environ["ATRAINS_HOME"]) / "repository"
    _make_repository(repository)
    inside: dict[str, list[float]] = {name: [] for name in PIECES}
    outside: dict[str, list[float]] = {name: [] for name in PIECES}
    for _ in range(9 if scale >= 0.1 else 1):
        for name, piece in PIECES.items():
            with TemporaryDirectory(dir=os.environ["ATRAINS_HOME"]) as home:
                begin = time.perf_counter()
                answer = subprocess.run(
                    [sys.executable, "-c", _TIMED.format(piece=piece)],
                    cwd=repository,
                    env={**os.environ, "ATRAINS_HOME": home},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                outside[name].append(time.perf_counter() - begin)
                inside[name].append(float(answer.stdout))
    medians = {f"{name} inside": median(took) for name, took in inside.items()}
    return medians | {f"{name} outside": median(took) for name, took in outside.items()}


def _make_repository(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text("print('trained')\n", encoding="utf-8")
    if shutil.which("git") is None:
        return
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "begun"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def closing(scale: float) -> Figures:
    """Closing a run that reported nothing, and one that asked for its logger and reported one point."""
    del scale
    from atrains import Task

    took = {}
    for name in ("empty", "one point"):
        task = Task.init("benchmark", f"close {name}", reuse_last_task_id=False)
        if name == "one point":
            task.get_logger().report_scalar("train", "loss", 0.25, 1)
        begin = time.perf_counter()
        task.close()
        took[name] = time.perf_counter() - begin
    return took
