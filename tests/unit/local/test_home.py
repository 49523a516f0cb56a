"""The home as a folder: opening, damage, killed writers, other processes. What is acknowledged is there, once, whatever happened."""

from __future__ import annotations

import errno
import inspect
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atrains._local import services, streams
from atrains._local.store import Store, open_home
from atrains._wire import endpoints
from atrains._wire.events import EventKind, RecordBlock, ScalarBlock, Span
from atrains.errors import HomeError, ServerError, ValidationError

Scalars = Callable[..., ScalarBlock]
Logs = Callable[[int, int], RecordBlock]
TABLES = ("tasks", "metrics", "streams", "spans", "projects")


def index_of(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.read() as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def iterations_of(store: Store, task: str) -> list[int]:
    return [iteration for block in store.read_scalars(task) for iteration in block.iterations]


def record_of(store: Store, task: str) -> dict[str, Any]:
    record: dict[str, Any] = services.call(store, endpoints.TASKS_GET_BY_ID, {"task": task})["task"]
    return record


def script(body: str, *arguments: object) -> list[str]:
    """A Python process that has `home`, `task`, `journal` and `block(task, journal, first, count)`."""
    return [sys.executable, "-c", PRELUDE + inspect.getsource(block) + textwrap.dedent(body), *map(str, arguments)]


PRELUDE = """from __future__ import annotations
import os, sys
from array import array
from pathlib import Path
from atrains._local.store import open_home
from atrains._wire.events import ScalarBlock, Span
home, task, journal = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
"""


def block(task: str, journal: str, first: int, count: int) -> ScalarBlock:
    iterations, values = array("q", range(first, first + count)), array("d", range(count))
    return ScalarBlock(task, Span(journal, "s", first, first + count), [("loss", journal)], None, iterations, 1.5, values)


def test_a_new_home_is_private_and_named_by_its_version(home: Path, store: Store) -> None:
    assert '"format": 1' in (home / "home.json").read_text()
    assert {path.name for path in home.iterdir()} >= {"home.json", "index.db", "tasks"}
    assert (home.stat().st_mode & 0o777, (home / "tasks").stat().st_mode & 0o777) == (0o700, 0o700)


def test_a_task_is_a_folder_that_can_be_read_without_the_index(store: Store, task: str, scalars: Scalars) -> None:
    store.add_events(scalars(0, 10))
    folder = store.task_folder(task)
    assert {path.name for path in folder.iterdir()} == {"task.json", "events", "files"}
    text = (folder / "task.json").read_text()
    assert f'"id": "{task}"' in text
    assert '"project_name": "parent/child"' in text
    assert [len(block) for block in streams.read_scalars(folder, task)] == [10]


@pytest.mark.parametrize("task_id", ["", "../other", "a/b", "x" * 65, "a\n"])
def test_a_folder_outside_the_home_cannot_be_asked_for(store: Store, task_id: str) -> None:
    with pytest.raises(ValidationError, match="no task id"):
        store.task_folder(task_id)


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"format": 2}', "format version 2"), ("{", "cannot be read"), ("{}", "cannot be read"), ("[]", "cannot be read")],
)
def test_a_home_of_another_version_is_left_alone(home: Path, content: str, said: str) -> None:
    home.mkdir()
    (home / "home.json").write_text(content)
    with pytest.raises(HomeError, match=said) as caught:
        open_home(home)
    assert "ATRAINS_HOME" in str(caught.value)
    assert not (home / "index.db").exists()


def test_an_index_of_a_later_version_is_left_alone(home: Path) -> None:
    open_home(home).close()
    connection = sqlite3.connect(home / "index.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HomeError, match="version 99"):
        open_home(home)


def test_a_place_that_cannot_be_a_home_says_what_and_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError) as caught:
        open_home(tmp_path / "file" / "home")
    assert caught.value.errno == errno.ENOTDIR
    assert str(tmp_path / "file") in str(caught.value)
    assert "ATRAINS_HOME" in str(caught.value)


def test_a_damaged_index_says_how_it_is_repaired(home: Path, store: Store, task: str) -> None:
    store.close()
    for path in home.glob("index.db*"):
        path.unlink()
    (home / "index.db").write_bytes(b"no database " * 1000)
    with pytest.raises(HomeError, match=r"delete index\.db"):
        open_home(home)


def test_a_home_that_is_removed_in_use_is_an_error_and_no_crash(home: Path, store: Store, task: str, scalars: Scalars) -> None:
    store.add_events(scalars(0, 10))
    shutil.rmtree(home)
    for call in (lambda: store.add_events(scalars(10, 10)), lambda: record_of(store, task), store.rebuild):
        with pytest.raises(HomeError, match="removed while it was in use"):
            call()


def test_a_closed_home_says_so(store: Store, task: str) -> None:
    store.close()
    store.close()
    with pytest.raises(HomeError, match="closed"):
        record_of(store, task)


def test_a_task_folder_that_is_removed_takes_no_events(store: Store, task: str, scalars: Scalars) -> None:
    shutil.rmtree(store.task_folder(task))
    with pytest.raises(ServerError) as caught:
        store.add_events(scalars(0, 10))
    assert caught.value.subcode == 131
    with pytest.raises(ServerError) as caught:
        record_of(store, task)
    assert caught.value.subcode == 101


def test_a_rebuilt_index_equals_the_one_that_grew(home: Path, store: Store, task: str, scalars: Scalars, logs: Logs) -> None:
    other = services.call(store, endpoints.TASKS_CREATE, {"name": "other", "type": "testing", "parent": task})["id"]
    services.call(store, endpoints.TASKS_STARTED, {"task": task})
    for first in (0, 20, 10):
        store.add_events(scalars(first, 10))
        store.add_events(logs(first, 10))
    services.call(store, endpoints.TASKS_RESET, {"task": other})
    services.call(store, endpoints.TASKS_COMPLETED, {"task": task})
    store.add_events(scalars(30, 10))
    grown, record = index_of(store), record_of(store, task)

    def without_order(index: dict[str, list[tuple[Any, ...]]]) -> dict[str, Any]:
        # Neighbouring spans may have been joined in another order; what they cover is the same.
        covered = sorted((*row[:4], place) for row in index["spans"] for place in range(row[4], row[5]))
        return {**index, "spans": covered}

    assert store.rebuild() == 2
    assert without_order(index_of(store)) == without_order(grown)
    assert record_of(store, task) == record
    store.close()
    for path in home.glob("index.db*"):
        path.unlink()
    again = open_home(home)
    assert record_of(again, task) == record
    projects = services.call(again, endpoints.PROJECTS_GET_ALL, {})["projects"]
    assert [project["name"] for project in projects] == ["parent", "parent/child"]
    assert again.add_events(scalars(20, 10)) == 10
    assert len(iterations_of(again, task)) == 40
    again.close()


def test_a_folder_without_a_usable_record_is_left_out_by_name(store: Store, task: str, caplog: pytest.LogCaptureFixture) -> None:
    (store.home / "tasks" / "stray").mkdir()
    broken = store.home / "tasks" / "broken"
    broken.mkdir()
    (broken / "task.json").write_text("{")
    assert store.rebuild() == 1
    assert "stray" in caplog.text
    assert "broken" in caplog.text


def test_folders_of_another_home_join_the_project_of_their_name(home: Path, store: Store, task: str, tmp_path: Path) -> None:
    other_home = open_home(tmp_path / "other")
    services.call(other_home, endpoints.PROJECTS_CREATE, {"name": "parent/child"})
    shutil.copytree(store.task_folder(task), other_home.task_folder(task))
    assert other_home.rebuild() == 1
    (project,) = services.call(other_home, endpoints.PROJECTS_GET_ALL, {"name": "^parent/child$"})["projects"]
    assert record_of(other_home, task)["project"] == project["id"]
    other_home.close()


def test_a_chunk_file_cut_at_any_byte_keeps_its_whole_chunks_and_grows_again(store: Store, task: str, scalars: Scalars) -> None:
    path = streams.chunk_file(store.task_folder(task), EventKind.SCALARS)
    ends = []
    for first in (0, 5, 10):
        store.add_events(scalars(first, 5))
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends)
        assert len(iterations_of(store, task)) == 5 * whole
        for first in (0, 5, 10):
            store.add_events(scalars(first, 5))
        assert path.read_bytes()[: ends[whole - 1] if whole else 0] == content[: ends[whole - 1] if whole else 0]
        assert iterations_of(store, task) == list(range(15))
        assert record_of(store, task)["last_iteration"] == 14


def test_chunks_that_the_index_missed_are_taken_in_before_the_next(store: Store, task: str, scalars: Scalars) -> None:
    path = streams.chunk_file(store.task_folder(task), EventKind.SCALARS)
    store.add_events(scalars(0, 10))
    with store.read() as connection:
        copy = sqlite3.connect(":memory:")
        connection.backup(copy)
    store.add_events(scalars(10, 10))
    expected, content = index_of(store), path.read_bytes()
    with store.read() as connection:  # the index as a process left it that was killed between appending and committing
        copy.backup(connection)
    copy.close()
    path.write_bytes(content + content[:20])
    assert store.index_is_behind()
    assert store.add_events(scalars(10, 10)) == 10
    assert path.read_bytes() == content
    assert index_of(store) == expected


def test_a_record_that_the_index_missed_is_taken_in_at_the_next_opening(home: Path, store: Store, task: str) -> None:
    class Killed(BaseException):
        pass

    def die_before_the_commit() -> None:
        with store.change() as connection:
            record = store.record(task)
            record["status"] = "failed"
            store.save(connection, record)
            raise Killed

    with pytest.raises(Killed):
        die_before_the_commit()
    query = {"id": [task], "only_fields": ["status"]}
    assert services.call(store, endpoints.TASKS_GET_ALL, query)["tasks"][0]["status"] == "created"
    other = open_home(home)
    assert services.call(store, endpoints.TASKS_GET_ALL, query)["tasks"][0]["status"] == "failed"
    assert not other.index_is_behind()
    other.close()


def test_an_index_that_lost_several_commits_is_rebuilt(home: Path, store: Store, task: str, scalars: Scalars) -> None:
    with store.read() as connection:
        copy = sqlite3.connect(":memory:")
        connection.backup(copy)
    store.add_events(scalars(0, 10))
    services.call(store, endpoints.TASKS_STARTED, {"task": task})
    created = services.call(store, endpoints.TASKS_CREATE, {"name": "lost", "type": "training"})["id"]
    expected = index_of(store)
    with store.read() as connection:  # as after a power cut
        copy.backup(connection)
    copy.close()
    store.close()
    again = open_home(home)
    assert index_of(again) == expected
    assert record_of(again, created)["name"] == "lost"
    again.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_writer_leaves_what_it_acknowledged_and_nothing_torn(home: Path, store: Store, task: str, seed: int) -> None:
    size = 500
    writer = subprocess.Popen(
        script(
            """
            store = open_home(home)
            for first in range(0, 10**9, 500):
                store.add_events(block(task, journal, first, 500))
                os.write(1, b"%d\\n" % (first + 500))
            """,
            home, task, "killed",
        ),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.05))
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read()
    writer.stdout.close()
    writer.wait()
    acknowledged = int(rest.split()[-1]) if rest.split() else size

    found = iterations_of(store, task)
    assert found == list(range(len(found)))
    assert len(found) in {acknowledged, acknowledged + size}
    for first in range(0, acknowledged + size, size):
        assert store.add_events(block(task, "killed", first, size)) == size
    assert iterations_of(store, task) == list(range(acknowledged + size))
    (metric,) = next(iter(record_of(store, task)["last_metrics"].values())).values()
    assert metric["count"] == acknowledged + size
    grown = index_of(store)
    store.rebuild()
    assert index_of(store) == grown


def test_processes_that_make_one_home_and_write_one_task_at_once_lose_nothing(home: Path, store: Store, task: str) -> None:
    body = """
        store = open_home(home)
        for first in range(0, 4000, 100):
            store.add_events(block(task, journal, first, 100))
        store.close()
    """
    writers = [subprocess.Popen(script(body, home, task, f"j{number}")) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    blocks = list(store.read_scalars(task))
    for number in range(3):
        own = [iteration for block in blocks if block.span.journal == f"j{number}" for iteration in block.iterations]
        assert own == list(range(4000))
    grown = index_of(store)
    assert sum(row[3] for row in grown["streams"]) == 12_000
    store.rebuild()
    assert index_of(store) == grown


def test_one_new_home_can_be_made_by_many_processes_at_once(tmp_path: Path) -> None:
    body = """
        from atrains._local import services
        from atrains._wire import endpoints
        store = open_home(home)
        services.call(store, endpoints.TASKS_CREATE, {"name": "made", "type": "training"})
        store.close()
    """
    makers = [subprocess.Popen(script(body, tmp_path / "new", "-", "-")) for _ in range(6)]
    assert [maker.wait(60) for maker in makers] == [0] * 6
    store = open_home(tmp_path / "new")
    assert len(services.call(store, endpoints.TASKS_GET_ALL, {})["tasks"]) == 6
    assert not store.index_is_behind()
    store.close()


def test_a_full_disk_is_an_error_that_leaves_nothing_torn(home: Path, store: Store, task: str) -> None:
    body = """
        import resource, signal
        from atrains.errors import HomeError
        store = open_home(home)
        store.add_events(block(task, journal, 0, 1000))
        chunk = store.task_folder(task) / "events" / "scalars"
        before = chunk.read_bytes()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, unlimited[1]))
        try:
            store.add_events(block(task, journal, 1000, 100_000))
        except HomeError as error:
            print(error.errno, error)
        assert chunk.read_bytes() == before
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        assert store.add_events(block(task, journal, 1000, 100_000)) == 100_000
        store.close()
    """
    done = subprocess.run(script(body, home, task, "full"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{errno.EFBIG} ")
    assert "ATRAINS_HOME" in done.stdout
    assert iterations_of(store, task) == list(range(101_000))


def test_threads_share_a_home(store: Store, task: str, scalars: Scalars) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for first in range(0, 400, 10):
                store.add_events(scalars(first, 10, f"j{number}"))
                record_of(store, task)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(iterations_of(store, task)) == 8 * 400


def test_forked_children_and_their_parent_write_the_same_home(home: Path, task: str) -> None:
    body = """
        import threading
        store = open_home(home)
        ready = threading.Event()
        def write_on():
            global journal
            for first in range(0, 20_000, 100):
                store.add_events(block(task, journal, first, 100))
                ready.set()
        writer = threading.Thread(target=write_on)
        writer.start()
        ready.wait()
        children = []
        for number in range(5):
            child = os.fork()
            if child == 0:
                journal = f"child{number}"
                for first in range(0, 1000, 100):
                    store.add_events(block(task, journal, first, 100))
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
        writer.join()
        store.close()
    """
    done = subprocess.run(script(body, home, task, "parent"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    store = open_home(home)
    assert len(iterations_of(store, task)) == 25_000
    grown = index_of(store)
    store.rebuild()
    assert index_of(store) == grown
    store.close()


def test_a_writer_waits_for_one_in_another_process_and_readers_do_not(home: Path, store: Store, task: str, scalars: Scalars) -> None:
    body = """
        with open_home(home).change():
            print("held", flush=True)
            sys.stdin.readline()
    """
    holder = subprocess.Popen(script(body, home, task, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdout.readline()
    writer = threading.Thread(target=store.add_events, args=(scalars(0, 10),))
    writer.start()
    assert record_of(store, task)["last_iteration"] == 0
    assert writer.is_alive()
    holder.stdin.write(b"\n")
    holder.stdin.close()
    writer.join(20)
    assert record_of(store, task)["last_iteration"] == 9
    assert holder.wait(20) == 0
    holder.stdout.close()


def test_opening_an_old_home_takes_milliseconds(home: Path, store: Store, task: str, scalars: Scalars) -> None:
    store.add_events(scalars(0, 10))
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        open_home(home).close()
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.05  # some 1 ms; the promise is 10


def test_the_home_brings_no_slow_module(home: Path) -> None:
    body = """
        store = open_home(home)
        store.close()
        slow = {"aiohttp", "pyhocon", "tenacity", "aiofiles", "rich", "psutil", "numpy", "anyio", "hashlib"}
        print(sorted(slow & set(sys.modules)))
    """
    done = subprocess.run(script(body, home, "-", "-"), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
