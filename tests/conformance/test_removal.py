"""Putting tasks away, and deleting them for good."""

from __future__ import annotations

import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from atrains import Task
from atrains.errors import NotFoundError, StorageError, TaskClosedError, TaskStatusError, ValidationError
from tests.conformance.conftest import is_ours, make_queue, own

World = Any

SEEN_ELSEWHERE = """
import sys
from atrains import Task
from atrains.errors import NotFoundError
try:
    task = Task.get_task(sys.argv[1])
except NotFoundError:
    print("gone")
else:
    print(task.status, task.get_archived(), sorted(task.get_tags()), task.get_last_iteration())
"""


def seen_elsewhere(task_id: str) -> str:
    """What another process knows of a task."""
    done = subprocess.run([sys.executable, "-c", SEEN_ELSEWHERE, task_id], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def file_of(url: str) -> Path:
    return Path(url.removeprefix("file://"))


def files_below(folder: Path) -> list[str]:
    """The names of the files that a folder holds."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


def put_folder_in_place_of(file: Path) -> None:
    file.unlink()
    (file / "a folder").mkdir(parents=True)


async def a_run(world: World, name: str, **arguments: Any) -> Any:
    return await world(world.Task.init("project", name, reuse_last_task_id=False, **arguments))


# ---- archive


async def test_a_task_is_put_away_and_taken_out_again(world: World) -> None:
    task = await world(world.Task.create("project", "a task"))
    await world(task.set_system_tags(["mine"]))
    await world(task.set_tags(["good"]))
    assert task.get_archived() is False
    await world(task.set_archived(True))
    assert task.get_archived() is True
    await world(task.set_archived(True))  # a second time changes nothing
    assert seen_elsewhere(task.id) == "created True ['good'] 0"
    assert sorted(task.get_system_tags()) == ["archived", "mine"]
    await world(task.set_archived(False))
    assert task.get_archived() is False
    assert (await world(world.Task.get_task(task.id))).get_system_tags() == ["mine"]


async def test_of_two_tasks_of_one_name_the_archived_one_is_not_found(world: World) -> None:
    kept = await world(world.Task.create("project", "one name"))
    away = await world(world.Task.create("project", "one name"))
    await world(away.set_archived(True))
    assert (await world(world.Task.get_task(project_name="project", task_name="one name"))).id == kept.id


async def test_an_archived_task_leaves_its_queue(world: World) -> None:
    queue = await make_queue(world, own("a queue"))
    task = await world(world.Task.create("project", "a task"))
    await world(world.Task.enqueue(task, queue_id=queue))
    await world(task.set_archived(True))
    assert await world(task.get_status()) == "created"
    assert (await world(world.Task.dequeue(task))).updated == 0


async def test_any_status_can_be_archived(world: World) -> None:
    task = await a_run(world, "a run")
    await world(task.close())
    await world(task.publish())
    await world(task.set_archived(True))
    assert seen_elsewhere(task.id).startswith("published True")


# ---- delete


async def test_a_deleted_task_is_gone_with_its_files(world: World) -> None:
    task = await a_run(world, "a run")
    task.get_logger().report_scalar("loss", "train", 0.5, 7)
    await world(task.upload_artifact("table", {"a": 1}))
    artifact = task.artifacts["table"]
    await world(task.close())
    deletion = await world(task.delete())
    assert deletion
    assert (deletion.task, deletion.files, deletion.kept, dict(deletion.failed)) == (task.id, (artifact.url,), (), {})
    assert seen_elsewhere(task.id) == "gone"
    with pytest.raises(StorageError):
        await world(artifact.get())
    with pytest.raises(NotFoundError, match=task.id):
        await world(world.Task.get_task(task.id))


async def test_files_elsewhere_are_deleted_too(world: World, tmp_path: Path) -> None:
    destination = tmp_path / "elsewhere"
    task = await a_run(world, "a run", output_uri=destination)
    for name in ("one", "two", "three"):
        await world(task.upload_artifact(name, {"name": name}))
    await world(task.close())
    assert len(files_below(destination)) == 3
    asked: list[tuple[str, str]] = []

    def choose(kind: str, url: str) -> bool:
        asked.append((kind, url))
        return "two" not in url

    urls = {name: artifact.url for name, artifact in task.artifacts.items()}
    file_of(urls["three"]).unlink()  # what is not there any more is no failure
    deletion = await world(task.delete(callback=choose))
    assert sorted(asked) == sorted(("artifact", url) for url in urls.values())
    assert (set(deletion.files), deletion.kept) == ({urls["one"], urls["three"]}, (urls["two"],))
    assert files_below(destination) == ["two.json"]


async def test_a_callback_may_take_its_time_and_call_tasks(world: World, tmp_path: Path) -> None:
    """It runs in a thread of its own, in the context of the caller: the loop that serves everybody goes on."""
    task = await a_run(world, "a run", output_uri=tmp_path / "elsewhere")
    await world(task.upload_artifact("table", {"a": 1}))
    await world(task.close())
    seen: list[str] = []
    around: ContextVar[str] = ContextVar("around")
    around.set("the caller's")

    def choose(kind: str, url: str) -> bool:
        del kind, url
        found = Task.get_task(task.id)
        assert found is not None
        seen.extend((found.status, around.get()))
        return True

    assert await world(task.delete(callback=choose))
    assert seen == ["completed", "the caller's"]


async def test_what_a_callback_raises_leaves_the_task_as_it_is(world: World, tmp_path: Path) -> None:
    task = await a_run(world, "a run", output_uri=tmp_path / "elsewhere")
    await world(task.upload_artifact("table", {"a": 1}))
    await world(task.close())
    with pytest.raises(ZeroDivisionError):
        await world(task.delete(callback=lambda *_: 1 // 0))
    assert await world(task.get_status()) == "completed"
    assert await world(task.delete())


async def test_files_can_be_kept(world: World, tmp_path: Path) -> None:
    task = await a_run(world, "a run", output_uri=tmp_path / "elsewhere")
    await world(task.upload_artifact("table", {"a": 1}))
    await world(task.close())
    url = task.artifacts["table"].url
    deletion = await world(task.delete(delete_artifacts_and_models=False))
    assert (deletion.files, deletion.kept) == ((), (url,))
    assert file_of(url).name in files_below(tmp_path)


async def test_files_in_the_folder_of_a_task_are_not_kept_without_it(world: World) -> None:
    task = await a_run(world, "a run")
    if not await is_ours(world, task):
        pytest.skip("a file server of its own keeps them")
    await world(task.upload_artifact("table", {"a": 1}))
    await world(task.close())
    with pytest.raises(ValidationError, match="in its folder"):
        await world(task.delete(delete_artifacts_and_models=False))
    assert await world((await world(world.Task.get_task(task.id))).artifacts["table"].get()) == {"a": 1}


async def test_files_that_cannot_be_deleted_are_named(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for raises in (False, True):
        task = await a_run(world, "a run", output_uri=tmp_path / "elsewhere")
        await world(task.upload_artifact("table", {"a": 1}))
        await world(task.close())
        url = task.artifacts["table"].url
        put_folder_in_place_of(file_of(url))  # which is not removed as a file is
        if raises:
            with pytest.raises(StorageError, match=r"was deleted, but .*table"):
                await world(task.delete(raise_on_error=True))
        else:
            deletion = await world(task.delete())
            assert not deletion
            assert list(deletion.failed) == [url]
            assert f"was deleted, but {url}" in caplog.text
        assert seen_elsewhere(task.id) == "gone"


async def test_what_runs_or_is_published_is_kept_unless_forced(world: World) -> None:
    task = await world(world.Task.create("project", "a task"))
    await world(task.mark_started())
    with pytest.raises(TaskStatusError, match=r"it runs.*force=True"):
        await world(task.delete())
    await world(task.mark_stopped())
    await world(task.publish())
    with pytest.raises(TaskStatusError, match=r"published; archive it instead.*force=True"):
        await world(task.delete())
    assert seen_elsewhere(task.id).startswith("published")
    await world(task.delete(force=True))
    assert seen_elsewhere(task.id) == "gone"


async def test_every_call_on_a_deleted_task_says_so(world: World) -> None:
    task = await world(world.Task.create("project", "a task"))
    other = await world(world.Task.get_task(task.id))
    await world(task.delete())
    for known in (task, other):
        for call in (
            lambda known: known.reload(),
            lambda known: known.get_status(),
            lambda known: known.set_name("another"),
            lambda known: known.add_tags(["tag"]),
            lambda known: known.set_archived(True),
            lambda known: known.set_project(project_name="another project"),
            lambda known: known.mark_started(),
            lambda known: known.reset(),
            lambda known: known.upload_artifact("name", {"a": 1}),
            lambda known: known.connect({"a": 1}),
            lambda known: known.get_last_iteration(),
            lambda known: known.get_reported_scalars(),
            lambda known: known.get_last_scalar_metrics(),
            lambda known: known.get_reported_console_output(),
            lambda known: known.wait_for_status(timeout=1),
            lambda known: known.delete(),
        ):
            with pytest.raises(NotFoundError, match=task.id):
                await world(call(known))
    with pytest.raises(NotFoundError, match="deleted"):
        task.get_logger()
    await world(task.close())
    await world(task.close())


async def test_a_run_can_delete_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async with world.run_of("project", "a run") as task:
        logger = task.get_logger()
        logger.report_scalar("loss", "train", 0.5, 1)
        with pytest.raises(TaskStatusError, match="it runs"):
            await world(task.delete())
        await world(task.delete(force=True))
        with pytest.raises(TaskClosedError):
            logger.report_scalar("loss", "train", 0.5, 2)
    assert "not stored" not in capsys.readouterr().err
    another = await a_run(world, "another run")
    assert another.id != task.id
    assert await world(another.get_status()) == "in_progress"
