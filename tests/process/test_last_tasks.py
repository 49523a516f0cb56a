"""The memory of the last task of each name, over several processes: kept by home, also where homes share the folder that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = "from atrains import Task\ntask = Task.init('myProject', 'myTask')\n"


def test_each_home_has_a_last_task_of_its_own_although_they_share_a_cache(run_script: Callable[..., Any], tmp_path: Path) -> None:
    def run(home: str, cache: str) -> str:
        finished = run_script(SCRIPT, ATRAINS_HOME=str(tmp_path / home), ATRAINS_CACHE_DIR=str(tmp_path / cache))
        assert finished.code == 0, finished.stderr
        task: str = finished.task_ids[0]
        return task

    first = [run(home, "cache") for home in ("one", "another")]
    assert len(set(first)) == 2
    assert [run(home, "cache") for home in ("one", "another")] == first
    assert run("one", "an empty one") != first[0], "a cache that was emptied costs a new task"
