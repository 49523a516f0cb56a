"""What a run reports as images and other media, and what comes back, one body for both worlds."""

from __future__ import annotations

import copy
import io
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253  # what users pass
import pytest
from PIL import Image  # noqa: TID253

from atrains import StorageManager, Task
from atrains.errors import TaskClosedError, UsageError, ValidationError
from atrains.types import DebugSample

World = Any


async def samples(world: World, task: Any, title: str, series: str = "s", last: int | None = None) -> list[DebugSample]:
    found: list[DebugSample] = await world(task.get_debug_samples(title, series, last))
    for sample in found:
        assert (sample["type"], sample["task"], sample["metric"], sample["variant"]) == ("training_debug_image", task.id, title, series)
        assert sample["timestamp"] > 1.6e12
        assert sample["key"].endswith(sample["url"].rpartition("/")[2].replace("%20", " "))
    return found


def content(world: World, url: str) -> Any:
    """What is at a URL, as a path of this machine; awaited in the async world."""
    from atrains import AsyncStorageManager

    return (StorageManager if world.Task is Task else AsyncStorageManager).get_local_copy(url)


def path_of(sample: DebugSample) -> Path:
    """Where a file of this machine is."""
    return Path(sample["url"].removeprefix("file://"))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def is_there(path: Path) -> bool:
    return path.exists()


async def pixels(world: World, sample: DebugSample) -> Any:
    with Image.open(str(await world(content(world, sample["url"])))) as image:
        return image.mode, np.asarray(image)


async def test_every_kind_of_image_comes_back(world: World, tmp_path: Path) -> None:
    red = np.zeros((8, 8, 4), np.float64)
    red[:, :, 0], red[:, :, 3] = 1, 0.5
    file = tmp_path / "a picture.tar.png"
    Image.new("L", (3, 2), 7).save(file)
    before = copy.deepcopy(red)
    task = await world(world.Task.init("all/project", "pictures & more"))
    log = task.get_logger()
    log.report_image("floats", "s", 1, image=red)
    log.report_image("grey", "s", 1, image=np.full((8, 8), 200, np.uint8))
    log.report_image("lists", "s", 1, image=[[0, 128], [255, 300]])
    log.report_image("truth", "s", 1, image=[[True] * 8] * 8)
    log.report_image("channels first", "s", 1, image=np.full((3, 8, 9), 0.5, np.float32))
    log.report_image("PIL", "s", 1, image=Image.new("RGBA", (8, 8), (0, 255, 0, 0)))
    log.report_image("file", "s", 1, file)
    log.report_image("elsewhere", "s", iteration=4, url="https://example.com/a/b.png?size=1#part")
    log.report_media("audio", "s", 1, stream=io.BytesIO(b"RIFF"), file_extension="wav")
    log.report_media("text", "s", 1, stream=io.StringIO("h\u00e9"), file_extension=".txt")
    with pytest.warns(DeprecationWarning, match="matrix"):
        log.report_image("matrix", "s", matrix=np.zeros((2, 2), np.uint8))
    red[:] = 0
    receipt = await world(task.flush())
    assert receipt, receipt
    assert (receipt.images.reported, receipt.images.acknowledged, receipt.uploads.stored) == (11, 11, 0)
    red[:] = before
    found = {}
    for title in ("floats", "grey", "lists", "truth", "channels first", "PIL", "file"):
        (sample,) = await samples(world, task, title)
        assert sample["iter"] == 1
        found[title] = await pixels(world, sample)
    assert {title: (mode, values.shape) for title, (mode, values) in found.items()} == {
        "floats": ("RGB", (8, 8, 3)), "grey": ("L", (8, 8)), "lists": ("L", (2, 2)), "truth": ("L", (8, 8)),
        "channels first": ("RGB", (8, 9, 3)), "PIL": ("RGB", (8, 8, 3)), "file": ("L", (2, 3)),
    }  # fmt: skip
    assert np.abs(found["floats"][1].astype(int) - [255, 0, 0]).max() < 8
    assert np.abs(found["PIL"][1].astype(int) - [0, 255, 0]).max() < 8
    assert np.abs(found["channels first"][1].astype(int) - 128).max() < 4
    assert (found["grey"][1] == 200).all()
    assert (found["truth"][1] == 255).all()
    assert (found["file"][1] == 7).all()
    assert (red == before).all()
    (elsewhere,) = await samples(world, task, "elsewhere")
    assert (elsewhere["url"], elsewhere["key"]) == ("https://example.com/a/b.png?size=1#part", "/a/b.png?size=1#part")
    (audio,) = await samples(world, task, "audio")
    assert read(await world(content(world, audio["url"]))) == b"RIFF"
    assert audio["url"].endswith("/metrics/audio/s/audio_s_00000000.wav")
    (text,) = await samples(world, task, "text")
    assert read(await world(content(world, text["url"]))) == "h\u00e9".encode()
    (matrix,) = await samples(world, task, "matrix")
    assert matrix["iter"] == 0
    assert await samples(world, task, "no such title") == []
    await world(task.close())


async def test_file_names_are_used_again(world: World) -> None:
    task = await world(world.Task.init("project", "recycled"))
    log = task.get_logger()
    for step in range(7):
        log.report_image("kept", "s", step, image=np.full((8, 8), 10 * step, np.uint8), max_image_history=3)
        log.report_image("all", "s", step, image=np.full((8, 8), 10 * step, np.uint8), max_image_history=-1)
    receipt = await world(task.flush())
    assert receipt, receipt
    assert receipt.images.acknowledged == 14
    kept = await samples(world, task, "kept")
    assert [sample["iter"] for sample in kept] == [6, 5, 4]
    assert [int((await pixels(world, sample))[1][0, 0]) for sample in kept] == [60, 50, 40]
    assert sorted(sample["url"].rpartition("_")[2] for sample in kept) == ["00000000.jpeg", "00000001.jpeg", "00000002.jpeg"]
    assert [sample["iter"] for sample in await samples(world, task, "kept", last=2)] == [6, 5]
    assert [sample["iter"] for sample in await samples(world, task, "all")] == [6, 5, 4, 3, 2, 1, 0]
    log.set_default_debug_sample_history(1)
    assert log.get_default_debug_sample_history() == 1
    for step in range(3):
        log.report_image("one", "s", step, image=np.zeros((2, 2), np.uint8))
    assert [sample["iter"] for sample in await samples(world, task, "one")] == [2]
    for wrong in (0, -1, "all"):
        with pytest.raises(ValidationError, match="n_last_iterations"):
            await samples(world, task, "one", last=wrong)  # type: ignore[arg-type]
    await world(task.close())


async def test_names_that_are_no_paths(world: World) -> None:
    titles = ["a/b", "a.slash.b", "..", "", "x" * 400, "50 % of #1 ?", "\u00fc\u4f60\udc80", "a\\b\n"]
    task = await world(world.Task.init("project", "names"))
    log = task.get_logger()
    for number, title in enumerate(titles):
        log.report_image(title, title, image=np.full((8, 8), 20 * number, np.uint8))
    assert await world(task.flush())
    for number, title in enumerate(titles):
        stored = title.encode("utf-8", "replace").decode()
        (sample,) = await world(task.get_debug_samples(stored, stored))
        assert int((await pixels(world, sample))[1][0, 0]) == 20 * number, title
    await world(task.close())


async def test_files_go_where_they_are_told_to(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "elsewhere"))
    log = task.get_logger()
    usual = log.get_default_upload_destination()
    assert usual.startswith(("http", "file://"))
    log.set_default_upload_destination(tmp_path / "shown")
    assert log.get_default_upload_destination() == f"file://{tmp_path}/shown"
    source = tmp_path / "mine.png"
    Image.new("L", (2, 2)).save(source)
    log.report_image("title", "s", 3, str(source), delete_after_upload=True)
    assert await world(task.flush())
    (sample,) = await samples(world, task, "title")
    stored = tmp_path / "shown" / "project" / f"elsewhere.{task.id}" / "metrics" / "title" / "s" / "title_s_00000000.png"
    assert sample["url"] == f"file://{stored}"
    assert is_there(stored)
    assert not is_there(source)
    await world(task.close())


async def test_what_cannot_be_reported_is_counted_and_said_once(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "wrong"))
    log = task.get_logger()
    with caplog.at_level(logging.WARNING, "atrains"):
        for _ in range(2):
            log.report_image("missing", "s", 1, tmp_path / "none.png")
            log.report_image("words", "s", 1, image="a picture")
            log.report_image("channels", "s", 1, image=np.zeros((5, 5, 6)))
        log.report_image("far", "s", 2**63, image=[[1]])
        log.report_image("nowhere", "s", 1, url="http://[")
        log.report_image("long", "s", 1, url="data:image/png;base64," + "A" * 40_000)
    receipt = await world(task.flush())
    assert not receipt
    assert receipt.images.dropped == {"not reportable": 7, "iteration out of range": 1, "too large": 1}
    assert (receipt.images.acknowledged, receipt.images.pending) == (0, 0)
    said = [record.getMessage() for record in caplog.records if "of images" in record.getMessage()]
    assert len(said) == 6
    assert any("none.png" in line for line in said)
    assert (await world(task.stats())).images.reported == 9
    for options in ({}, {"image": [[1]], "url": "https://x/y.png"}):
        with pytest.raises(UsageError, match="one of"):
            log.report_image("title", "s", **options)
    with pytest.raises(UsageError, match="one of"):
        log.report_media("title", "s")
    with pytest.raises(ValidationError, match="file_extension"):
        log.report_media("title", "s", stream=io.BytesIO(b"x"))
    await world(task.close())
    with pytest.raises(TaskClosedError):
        log.report_image("title", "s", image=[[1]])


async def test_a_file_that_can_never_be_stored_is_a_counted_drop_and_leaves_no_event(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = await world(world.Task.init("project", "no place"))
    log = task.get_logger()
    log.set_default_upload_destination(tmp_path / "shown")
    (tmp_path / "shown").rmdir()
    (tmp_path / "shown").write_text("a file, and no folder")
    mine = tmp_path / "mine.txt"
    mine.write_text("kept")
    with caplog.at_level(logging.WARNING, "atrains"):
        for step in range(3):
            log.report_media("title", "s", step, mine, delete_after_upload=True)
        receipt = await world(task.flush())
    assert not receipt
    assert (receipt.images.dropped, receipt.images.acknowledged) == ({"file cannot be stored": 3}, 0)
    assert await samples(world, task, "title") == []
    assert read(str(mine)) == b"kept"
    assert len([record for record in caplog.records if "title/s" in record.getMessage()]) == 1
    await world(task.close())


async def test_a_stream_is_read_from_its_beginning_and_left_where_it_was(world: World) -> None:
    task = await world(world.Task.init("project", "streams"))
    stream = io.BytesIO()
    stream.write(b"written by somebody")
    task.get_logger().report_media("title", "s", 0, stream=stream, file_extension="bin")
    assert stream.tell() == len(b"written by somebody")
    (sample,) = await samples(world, task, "title")
    assert read(await world(content(world, sample["url"]))) == b"written by somebody"
    await world(task.close())


async def test_figures_of_matplotlib_become_images_where_that_is_asked_for(world: World) -> None:
    pyplot: Any = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots()
    axes.plot([1, 2], [3, 4])
    task = await world(world.Task.init("project", "drawn"))
    task.get_logger().report_matplotlib_figure("drawn", "s", 5, figure, report_image=True)
    pyplot.close(figure)
    assert await world(task.flush())
    assert await world(task.get_reported_plots()) == []
    (sample,) = await samples(world, task, "drawn")
    assert (sample["iter"], sample["url"].endswith("drawn_s_00000000.png")) == (5, True)
    assert (await pixels(world, sample))[1].shape[0] > 100
    await world(task.close())


async def test_a_reset_forgets_images_and_their_files(world: World, home: str) -> None:
    task = await world(world.Task.init("project", "reset"))
    task.get_logger().report_image("title", "s", image=[[1]])
    (sample,) = await samples(world, task, "title")
    await world(task.close())
    task = await world(world.Task.get_task(task.id))
    await world(task.reset(set_started_on_success=False, force=True))
    assert await samples(world, task, "title") == []
    if home == "in-process":
        assert not is_there(path_of(sample))


async def test_threads_report_at_once(world: World) -> None:
    task = await world(world.Task.init("project", "threads"))
    log = task.get_logger()

    def report(number: int) -> None:
        for step in range(10):
            log.report_image("title", f"series {number}", step, image=np.full((4, 4), step, np.uint8))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receipt = await world(task.flush())
    assert (receipt.images.acknowledged, receipt.images.dropped) == (40, {})
    for number in range(4):
        assert len(await samples(world, task, "title", f"series {number}")) == 10
    await world(task.close())


async def test_a_deletion_takes_the_files_along(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "deleted"))
    log = task.get_logger()
    log.report_image("here", "s", image=[[1]])
    log.set_default_upload_destination(tmp_path)
    log.report_image("there", "s", image=[[1]])
    await world(task.close())
    (there,) = await samples(world, task, "there")
    assert is_there(path_of(there))
    assert await world(task.delete())
    assert not is_there(path_of(there))


async def test_nothing_is_encoded_when_atrains_is_disabled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    task = await world(world.Task.init("project", "disabled"))
    task.get_logger().report_image("title", "s", image="no image at all")
    assert await world(task.flush())
    assert await samples(world, task, "title") == []
    await world(task.close())
