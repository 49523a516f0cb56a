"""The memory of which task a name last ran as: what is asked for is found, what is old goes, and no run pays for those before it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from atrains._engine.sessions import SessionKey, recall, remember

DAY = 24.0


def key(name: str) -> SessionKey:
    return SessionKey("local:/home", "project", name, "training")


def test_each_name_has_its_last_task(tmp_path: Path) -> None:
    for number in range(1000):
        remember(tmp_path, key(f"name {number}"), f"task {number}", window_hours=DAY)
    remember(tmp_path, key("name 7"), "another", window_hours=DAY)
    assert recall(tmp_path, key("name 7"), window_hours=DAY) == "another"
    assert [recall(tmp_path, key(f"name {number}"), window_hours=DAY) for number in (0, 500, 999)] == ["task 0", "task 500", "task 999"]
    assert recall(tmp_path, SessionKey("local:/other", "project", "name 7", "training"), window_hours=DAY) is None


def test_a_run_reads_and_writes_a_small_part_of_what_is_remembered(tmp_path: Path) -> None:
    for number in range(2000):
        remember(tmp_path, key(f"name {number}"), f"task {number}", window_hours=DAY)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.json")]
    assert max(sizes) < sum(sizes) / 50


def test_what_is_older_than_the_window_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(tmp_path, key("a name"), "a task", window_hours=DAY)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    assert recall(tmp_path, key("a name"), window_hours=DAY) is None
    assert recall(tmp_path, key("a name"), window_hours=2 * DAY) == "a task"
    before = sum(path.stat().st_size for path in tmp_path.rglob("*.json"))
    remember(tmp_path, key("a name"), "the next", window_hours=DAY)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.json")) < before + 50


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"atrains.Task": {}}'])
def test_a_damaged_memory_costs_a_new_task_and_no_run(tmp_path: Path, content: bytes) -> None:
    remember(tmp_path, key("a name"), "a task", window_hours=DAY)
    [file] = tmp_path.rglob("*.json")
    file.write_bytes(content)
    assert recall(tmp_path, key("a name"), window_hours=DAY) is None
    remember(tmp_path, key("a name"), "the next", window_hours=DAY)
    assert recall(tmp_path, key("a name"), window_hours=DAY) == "the next"
    assert [*tmp_path.rglob("*.*.*")] == []  # nothing half written is left
