"""What a run keeps, one body for both worlds: artifacts go in and come out."""

# ruff: noqa: ASYNC240  # files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

World = Any

# ---- artifacts


async def test_artifacts_come_back_as_they_were_uploaded(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    file = tmp_path / "weights.bin"
    file.write_bytes(bytes(range(256)))
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("A")
    (folder / "deep" / "b.txt").write_text("B")
    table = {"b": [1, 2.5, None], "a": {"nested": True}}
    for name, thing in (
        ("table", table),
        ("file", file),
        ("as text", str(file)),
        ("folder", folder),
        ("bytes", b"\0\1"),
        ("str", "some text"),
    ):
        assert await world(task.upload_artifact(name, thing)) is True, name
    await world(task.close())

    found = await world(world.Task.get_task(task.id))
    assert set(found.artifacts) == {"table", "file", "as text", "folder", "bytes", "str"}
    assert await world(found.artifacts["table"].get()) == table
    assert await world(found.artifacts["bytes"].get()) == b"\0\1"
    assert await world(found.artifacts["str"].get()) == "some text"
    assert Path(await world(found.artifacts["file"].get())).read_bytes() == file.read_bytes()
    assert Path(await world(found.artifacts["as text"].get_local_copy())).name == "weights.bin"
    unpacked = Path(await world(found.artifacts["folder"].get()))
    assert {str(path.relative_to(unpacked)): path.read_text() for path in unpacked.rglob("*.txt")} == {"a.txt": "A", "deep/b.txt": "B"}
    with pytest.raises(TypeError):
        found.artifacts["new"] = found.artifacts["table"]


async def test_an_artifact_says_what_it_is(world: World, home: str) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.upload_artifact("table", {"a": 1}, metadata={"rows": 1, "owner": "me"}))
    first = task.artifacts["table"]
    assert (first.name, first.type, first.mode, first.metadata) == ("table", "JSON", "output", {"rows": "1", "owner": "me"})
    assert '"a": 1' in first.preview
    assert first.url.startswith("file://" if home == "in-process" else "http")
    assert len(first.hash) == 64
    assert first.size == Path(await world(first.get_local_copy())).stat().st_size
    await world(task.upload_artifact("table", {"a": 2}))
    assert len(task.artifacts) == 1
    assert await world(task.artifacts["table"].get()) == {"a": 2}


async def test_artifacts_that_are_not_there_or_cannot_be_stored(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    with caplog.at_level(logging.ERROR, logger="atrains"):
        assert await world(task.upload_artifact("gone", tmp_path / "gone.bin")) is False
        assert await world(task.upload_artifact("nothing", tmp_path / "*.nothing")) is False
    assert "gone.bin" in caplog.text
    assert "*.nothing" in caplog.text
    with pytest.raises(ValueError, match="object"):
        await world(task.upload_artifact("odd", object()))
    assert dict(task.artifacts) == {}


async def test_an_artifact_can_be_given_away(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    file = tmp_path / "weights.bin"
    file.write_bytes(b"1")
    await world(task.upload_artifact("weights", file, None, True))
    assert not file.exists()
    assert Path(await world(task.artifacts["weights"].get())).read_bytes() == b"1"


async def test_artifacts_go_where_output_uri_says(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run", output_uri=tmp_path / "share"))
    await world(task.upload_artifact("table", {"a": 1}))
    path = Path(urlparse(task.artifacts["table"].url).path)
    assert path.is_relative_to(tmp_path / "share" / "project" / f"a run.{task.id}")
    assert await world(task.artifacts["table"].get()) == {"a": 1}
