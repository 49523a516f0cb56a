"""Artifacts on their way: where they go, whatever they are called, how an upload is followed, and what is recorded of it."""

# ruff: noqa: ASYNC240  # files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from pathlib import Path

import pytest

from atrains.errors import StorageError, TaskStatusError
from tests.conformance.artifacts import World, stored


async def test_an_artifact_can_be_given_away(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    file, folder = tmp_path / "weights.bin", tmp_path / "folder"
    file.write_bytes(b"1")
    folder.mkdir()
    (folder / "x").write_text("x")
    time.sleep(0.05)  # noqa: ASYNC251
    await world(task.upload_artifact("weights", file, None, True))
    await world(task.upload_artifact("folder", folder, None, True))
    await stored(world, task)
    assert not file.exists()
    assert not folder.exists()
    assert Path(await world(task.artifacts["weights"].get())).read_bytes() == b"1"


async def test_artifacts_go_where_output_uri_says(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run", output_uri=tmp_path / "share"))
    await world(task.upload_artifact("table", {"a": 1}))
    found = (await stored(world, task)).artifacts["table"]
    assert found.url.startswith(f"file://{tmp_path}/share/project/a run.{task.id}/artifacts/table/")
    assert await world(found.get()) == {"a": 1}


AWKWARD = [
    'quotes " and \'', "per%20cent % %22 %2F", "a/b\\c", "..", "../../up", ".", "line\nfeed\r\n", "tab\t", "ünï→😀", "n" * 300,
    "semi;colon=1",
    "a.slash.b", "0x2f", "#?&", " spaces ", "con", "-rf", "~", "$HOME", "*?",
]  # fmt: skip


async def test_awkward_names_of_artifacts_come_back(world: World) -> None:
    task = await world(world.Task.init("project", "names"))
    for name in [*AWKWARD, "a/slash/b", "a.slash.slash.slash.b"]:
        assert await world(task.upload_artifact(name, f"of {name}")), name
    found = (await stored(world, task)).artifacts
    assert set(found) == {*AWKWARD, "a/slash/b", "a.slash.slash.slash.b"}
    for name, artifact in found.items():
        assert await world(artifact.get()) == f"of {name}", name
    assert len({artifact.url for artifact in found.values()}) == len(found)


async def test_two_names_that_lead_to_one_place_are_kept_apart(world: World) -> None:
    task = await world(world.Task.init("project", "names"))
    names = ("a/b", "a.slash.b", "x:y", "x0x3ay", "/end/", "\\end", "end", "/", "_")
    for name in names:
        await world(task.upload_artifact(name, f"of {name}"))
    found = (await stored(world, task)).artifacts
    assert {name: await world(artifact.get()) for name, artifact in found.items()} == {name: f"of {name}" for name in names}


@pytest.mark.parametrize("name", ['a "quoted" one', "50% / %22 of\\it", "ünï→ ; = #?", "...", "n" * 300])
async def test_awkward_names_of_tasks_and_files(world: World, tmp_path: Path, name: str) -> None:
    task = await world(world.Task.init(f"project {name[:30]}", name))
    file = tmp_path / (name.replace("/", " ")[:100] + ".bin")
    file.write_bytes(b"content")
    assert await world(task.upload_artifact("it", file, wait_on_upload=True)) is True
    assert Path(await world((await stored(world, task)).artifacts["it"].get())).read_bytes() == b"content"


async def test_an_upload_can_be_followed_waited_for_and_awaited(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(3 << 20))
    seen: list[tuple[int, int, str]] = []
    assert await world(
        task.upload_artifact("large", file, progress=lambda sent, size: seen.append((sent, size, threading.current_thread().name)))
    )
    upload = task.uploads["large"]
    assert "large" in task.artifacts
    assert await world(upload.wait(30)) is True
    assert (upload.name, upload.state, upload.sent, upload.size, upload.error) == ("large", "stored", 3 << 20, 3 << 20, None)
    for _ in range(100):
        if seen and seen[-1][0] == 3 << 20:
            break
        await world.sleep(0.02)
    assert seen[-1][:2] == (3 << 20, 3 << 20)
    assert [sent for sent, _, _ in seen] == sorted(sent for sent, _, _ in seen)
    assert {thread.rpartition("-")[0] for _, _, thread in seen} == {"atrains-worker"}
    assert await world(upload.cancel()) is False
    assert task.artifacts["large"].hash == hashlib.sha256(bytes(3 << 20)).hexdigest()


async def test_a_later_upload_of_a_name_takes_the_place_of_an_earlier_one(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    handles = []
    for number in range(20):
        await world(task.upload_artifact("state", {"number": number}))
        handles.append(task.uploads["state"])
    found = (await stored(world, task)).artifacts["state"]
    assert await world(found.get()) == {"number": 19}
    assert handles[-1].state == "stored"
    assert {handle.state for handle in handles} <= {"stored", "replaced"}


async def test_who_reads_an_artifact_that_was_replaced_meanwhile_gets_the_new_one(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.upload_artifact("a", {"n": 1}, wait_on_upload=True))
    found = [(await world(world.Task.get_task(task.id))).artifacts["a"] for _ in range(2)]
    await world(task.upload_artifact("a", {"n": 23}, wait_on_upload=True))
    assert await world(found[0].get()) == {"n": 23}
    assert found[0].hash != found[1].hash
    copy = await world(found[1].get_local_copy(raise_on_error=True))
    assert json.loads(copy.read_bytes()) == {"n": 23}
    await world(task.close())


async def test_a_receipt_says_what_is_uploaded_and_flush_waits_only_if_told_so(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for number in range(30):
        await world(task.upload_artifact(f"a{number}", {"number": number}))
    assert await world(task.flush())
    receipt = await world(task.flush(wait_for_uploads=True))
    assert (receipt.uploads.stored, receipt.uploads.pending, dict(receipt.uploads.failed)) == (30, (), {})
    assert len((await world(world.Task.get_task(task.id))).artifacts) == 30


async def test_what_cannot_be_stored_fails_visibly_and_is_never_recorded_as_there(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = await world(world.Task.init("project", "a run"))
    file = tmp_path / "file.bin"
    target = tmp_path / "target"
    target.write_text("a file where a folder should be")
    file.write_bytes(b"1")
    await world(task.upload_artifact("kept", {"a": 1}, wait_on_upload=True))
    core = getattr(task, "_core", task)
    core._record["output"] = {"destination": f"file://{target}"}
    with caplog.at_level(logging.ERROR, logger="atrains"):
        assert await world(task.upload_artifact("lost", file, wait_on_upload=True)) is False
        assert await world(task.upload_artifact("kept", file, wait_on_upload=True)) is False
    assert "'lost'" in caplog.text
    receipt = await world(task.flush(wait_for_uploads=True))
    assert not receipt
    assert "cannot be written" in receipt.uploads.failed["lost"]
    artifacts = (await world(world.Task.get_task(task.id))).artifacts
    assert await world(artifacts["kept"].get()) == {"a": 1}  # what was there stays, and says so
    assert "cannot be written" in (artifacts["kept"].error or "")
    found = artifacts["lost"]
    assert found.url == ""
    assert "cannot be written" in (found.error or "")
    assert found.preview.startswith("upload failed: ")
    with pytest.raises(StorageError, match="has no file"):
        await world(found.get())
    assert await world(found.get_local_copy()) is None
    with pytest.raises(StorageError):
        await world(found.get_local_copy(raise_on_error=True))


async def test_artifacts_can_be_recorded_without_an_upload(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    other = await world(world.Task.create("project", "another"))
    await world(task.upload_artifact("table", {"a": 1}, wait_on_upload=True))
    entry = {"key": "elsewhere", "type": "custom", "uri": "https://example.com/x", "mode": "output"}
    assert await world(other.set_artifacts([task.artifacts["table"], entry])) is True
    assert set(other.artifacts) == {"table", "elsewhere"}
    assert await world(other.set_artifacts(({**entry, "uri": "https://example.com/y"},))) is True
    found = (await world(world.Task.get_task(other.id))).artifacts
    assert found["elsewhere"].url == "https://example.com/y"
    assert await world(found["table"].get()) == {"a": 1}
    parts = ({"uri": 3}, {"key": ""}, {"timestamp": "now"}, {"content_size": "big"}, {"type_data": 3}, {"display_data": ["owner"]})
    for wrong in (None, "x", {"key": "a"}, [{"key": "a"}], [3], *([{**entry, **part}] for part in parts)):
        with pytest.raises(ValueError, match="artifact"):
            await world(other.set_artifacts(wrong))
    await world(task.close())
    with pytest.raises(ValueError, match="closed"):
        await world(task.set_artifacts([]))


async def test_a_registered_artifact_is_not_replaced(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_artifacts([{"key": "live", "type": "data-audit-table", "uri": "https://example.com/x"}]))
    with pytest.raises(ValueError, match="registered"):
        await world(task.upload_artifact("live", {}))


async def test_every_recorded_address_gives_the_recorded_bytes(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    (tmp_path / "file").write_bytes(b"x" * 1000)
    for name, thing in (("table", {"a": 1}), ("file", tmp_path / "file"), ("text", "t")):
        await world(task.upload_artifact(name, thing))
    for artifact in (await stored(world, task)).artifacts.values():
        content = (await world(artifact.get_local_copy(force_download=True))).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (artifact.hash, artifact.size)


async def test_nothing_is_added_to_a_run_that_ended(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.upload_artifact("before", {"a": 1}))
    await world(task.mark_completed())
    assert set((await world(world.Task.get_task(task.id))).artifacts) == {"before"}  # the status came after it
    with pytest.raises(TaskStatusError):
        await world(task.upload_artifact("after", {}))
