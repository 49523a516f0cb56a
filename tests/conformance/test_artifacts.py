"""What a run keeps, one body for both worlds: artifacts of every kind go in and come out, whatever they are called."""

# ruff: noqa: ASYNC240  # files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from atrains.errors import StorageError, UnsupportedTypeError, ValidationError
from tests.conformance.artifacts import World, stored


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
        ("list", [1, "two"]),
        ("file", file),
        ("as text", str(file)),
        ("folder", folder),
        ("wildcard", str(folder / "*.txt")),
        ("several", [file, folder / "deep"]),
        ("bytes", b"\0\1"),
        ("str", "some text"),
        ("nothing", ""),
    ):
        assert await world(task.upload_artifact(name, thing)) is True, name
    await world(task.close())

    found = await world(world.Task.get_task(task.id))
    assert set(found.artifacts) == {"table", "list", "file", "as text", "folder", "wildcard", "several", "bytes", "str", "nothing"}
    assert await world(found.artifacts["table"].get()) == table
    assert await world(found.artifacts["list"].get()) == [1, "two"]
    assert await world(found.artifacts["bytes"].get()) == b"\0\1"
    assert await world(found.artifacts["str"].get()) == "some text"
    assert await world(found.artifacts["nothing"].get()) == ""
    assert Path(await world(found.artifacts["file"].get())).read_bytes() == file.read_bytes()
    assert Path(await world(found.artifacts["as text"].get_local_copy())).name == "weights.bin"
    for name in ("folder", "wildcard"):
        for unpacked in (await world(found.artifacts[name].get()), await world(found.artifacts[name].get_local_copy())):
            assert {str(path.relative_to(unpacked)): path.read_text() for path in unpacked.rglob("*.txt")} == {
                "a.txt": "A",
                "deep/b.txt": "B",
            }
    several = await world(found.artifacts["several"].get())
    assert {str(path.relative_to(several)) for path in several.rglob("*") if path.is_file()} == {"weights.bin", "folder/deep/b.txt"}
    assert (await world(found.artifacts["folder"].get_local_copy(extract_archive=False))).suffix == ".zip"
    with pytest.raises(TypeError):
        found.artifacts["new"] = found.artifacts["table"]


async def test_the_settings_name_the_destination_of_runs_that_name_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "default"
    monkeypatch.setenv("CLEARML_DEFAULT_OUTPUT_URI", str(place))
    task = await world(world.Task.init("project", "a run"))
    await world(task.upload_artifact("here", {"a": 1}))
    await world(task.close())
    assert task.output_uri == f"file://{place}"
    assert next(place.rglob("here.json")).is_file()
    other = await world(world.Task.init("project", "its own", output_uri=tmp_path / "other"))
    await world(other.close())
    assert other.output_uri == f"file://{tmp_path / 'other'}"
    none = await world(world.Task.init("project", "none", output_uri=False))
    await world(none.close())
    assert none.output_uri is None


async def test_a_destination_of_the_settings_that_cannot_be_used_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEARML_DEFAULT_OUTPUT_URI", "s3://bucket/folder")
    monkeypatch.setenv("ATRAINS_QUIET", "no")
    kept = await world(world.Task.init("project", "elsewhere"))
    await world(kept.close())
    assert kept.output_uri is None
    assert "output_uri 's3://bucket/folder'" in capsys.readouterr().err


async def test_a_wildcard_needs_no_folder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv", "what now"):
        Path(name).write_text(name)
    task = await world(world.Task.init("project", "a run", output_uri=True))
    for text in ("*.csv", "what?now", "*.npy"):
        assert await world(task.upload_artifact(text, text)) is True, text
    await world(task.close())
    found = await world(world.Task.get_task(task.id))
    unpacked = await world(found.artifacts["*.csv"].get())
    assert {path.name: path.read_text() for path in unpacked.iterdir()} == {"a.csv": "a.csv", "b.csv": "b.csv"}
    assert [await world(found.artifacts[text].get()) for text in ("what?now", "*.npy")] == ["what?now", "*.npy"]
    assert ["'*.npy' looks like a path" in message for message in caplog.messages if "looks like" in message] == [True]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.csv", "b.csv", "what now"]
    assert not Path("True").exists()


async def test_objects_of_other_packages_come_back_equal(world: World) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl
    from matplotlib.figure import Figure
    from PIL import Image

    task = await world(world.Task.init("project", "objects"))
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", "ü"]}, index=["one", "two"])
    deep = frame.set_index(["a", "c"])
    array, image = np.arange(12.0).reshape(3, 4), Image.new("RGB", (5, 4), (1, 2, 3))
    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    plot = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    lines = pl.DataFrame({"a": [1, 2], "when": ["x", "y"]})
    for name, thing, extension, kind, content_type in (
        ("frame", frame, None, "pandas", "text/csv"),
        ("parquet", frame, ".parquet", "pandas", "application/parquet"),
        ("deep", deep, None, "pandas", "application/parquet"),
        ("polars", lines, None, "polars", "application/parquet"),
        ("file", array, None, "numpy", "application/numpy"),  # `file` is an argument of numpy's own
        ("a/b", array, ".csv.gz", "numpy", "text/csv"),
        ("image", image, None, "image", "image/png"),
        ("figure", figure, None, "image", "image/png"),
        ("drawing", figure, ".svg", "image", "image/svg+xml"),
        ("plot", plot, None, "JSON", "application/vnd.plotly.v1+json"),
        ("yaml", {"a": [1, 2]}, ".yaml", "JSON", "application/yaml"),
    ):
        assert await world(task.upload_artifact(name, thing, extension_name=extension)) is True, name
        assert task.artifacts[name].type == kind, name
        assert task.data is not None
        entry = task.artifacts[name]
        core = getattr(entry, "_core", entry)
        assert core._known.content_type == content_type, name
        assert entry.preview or kind == "image"
    frame["a"] = 0  # what was uploaded was written before the call returned
    found = (await stored(world, task)).artifacts
    for name in ("frame", "parquet"):
        pd.testing.assert_frame_equal(await world(found[name].get()), frame.assign(a=[1, 2]))
    pd.testing.assert_frame_equal(await world(found["deep"].get()), deep)
    assert (await world(found["polars"].get())).equals(lines)
    assert np.array_equal(await world(found["file"].get()), array)
    assert np.array_equal(await world(found["a/b"].get()), array)
    got = await world(found["image"].get())
    assert (got.size, got.getpixel((0, 0))) == ((5, 4), (1, 2, 3))
    assert (await world(found["figure"].get())).size == (640, 480)
    assert "<svg" in (await world(found["drawing"].get())).read_text(encoding="utf-8")
    assert (await world(found["plot"].get())).to_dict() == plot.to_dict()
    assert await world(found["yaml"].get()) == {"a": [1, 2]}


async def test_equal_frames_and_arrays_give_equal_files(world: World) -> None:
    import numpy as np
    import pandas as pd

    task = await world(world.Task.init("project", "equal"))
    for name, make in (("frame", lambda: pd.DataFrame({"a": [1, 2]})), ("array", lambda: np.arange(3))):
        hashes = set()
        for _ in range(2):
            await world(task.upload_artifact(name, make(), wait_on_upload=True))
            hashes.add(task.artifacts[name].hash)
            time.sleep(1.1) if len(hashes) == 1 and name == "frame" else None  # noqa: ASYNC251  # gzip counts in seconds
        assert len(hashes) == 1, name


class Odd:
    def __init__(self, value: int) -> None:
        self.value = value


async def test_a_pickle_is_made_and_read_only_when_that_is_asked_for(world: World) -> None:
    task = await world(world.Task.init("project", "pickles"))
    with pytest.raises(UnsupportedTypeError, match="auto_pickle"):
        await world(task.upload_artifact("odd", Odd(3)))
    assert await world(task.upload_artifact("odd", Odd(3), auto_pickle=True))
    assert await world(
        task.upload_artifact("by hand", Odd(4), serialization_function=lambda odd: str(odd.value).encode(), extension_name="num")
    )
    found = (await stored(world, task)).artifacts
    with pytest.raises(StorageError, match="allow_pickle=True"):
        await world(found["odd"].get())
    assert (await world(found["odd"].get(allow_pickle=True))).value == 3
    assert (await world(found["by hand"].get())).read_bytes() == b"4"


async def test_an_address_elsewhere_is_recorded_as_it_is(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    address = "s3://bucket/data set/x.csv".replace(" ", "%20")
    assert await world(task.upload_artifact("elsewhere", address, metadata={"a": 1}))
    found = (await stored(world, task)).artifacts["elsewhere"]
    assert (found.url, found.type, found.size, found.hash, dict(found.metadata)) == (address, "custom", 0, "", {"a": "1"})


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


async def test_a_preview_can_be_given_or_left_out_and_is_cut(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for name, preview in (("long", None), ("given", "look here"), ("none", False), ("given long", "y" * 100_000), ("pairs", {"rows": 3})):
        await world(task.upload_artifact(name, "x" * 100_000, preview=preview))
    found = (await stored(world, task)).artifacts
    assert 65_536 <= len(found["long"].preview) < 65_636
    assert found["given"].preview == "look here"
    assert (found["none"].preview, found["pairs"].preview) == ("", "{'rows': 3}")
    assert 65_536 <= len(found["given long"].preview) < 65_636


async def test_artifacts_that_are_not_there_or_cannot_be_stored(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    task = await world(world.Task.init("project", "a run"))
    with caplog.at_level(logging.ERROR, logger="atrains"):
        assert await world(task.upload_artifact("gone", tmp_path / "gone.bin")) is False
        assert await world(task.upload_artifact("nothing", tmp_path / "*.nothing")) is False
        assert await world(task.upload_artifact("one of them", [tmp_path, tmp_path / "gone.bin"])) is False
    assert caplog.text.count("gone.bin") == 2
    assert "*.nothing" in caplog.text
    assert "gone.bin" not in capsys.readouterr().err  # a script without logging is told by the same line, once
    with pytest.raises(ValueError, match="object"):
        await world(task.upload_artifact("odd", object()))
    for name in ("", " ", "a\0b", "\udce9"):
        with pytest.raises(ValidationError):
            await world(task.upload_artifact(name, {}))
    assert dict(task.artifacts) == {}
    assert dict(task.uploads) == {}


@pytest.mark.skipif(os.name != "posix", reason="links are made here, and a path that is too long")
async def test_nothing_is_left_out_of_a_folder_unseen(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("A")
    (folder / "elsewhere").symlink_to(tmp_path)
    for name, given in (("folder", folder), ("list", [folder])):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="atrains"):
            assert await world(task.upload_artifact(name, given, wait_on_upload=True))
        assert f"artifact {name!r} is without" in caplog.text
        assert "elsewhere (a link to a folder)" in caplog.text
        assert "elsewhere - left out: a link to a folder" in task.artifacts[name].preview
    caplog.clear()
    assert await world(task.upload_artifact("files", folder / "*.txt"))
    assert "is without" not in caplog.text
    inner = os.open(folder, os.O_RDONLY)  # a folder that nobody can list by its path, whoever runs this
    for _ in range(20):
        os.mkdir("x" * 240, dir_fd=inner)
        inner, outer = os.open("x" * 240, os.O_RDONLY, dir_fd=inner), inner
        os.close(outer)
    os.close(inner)
    for name, given in (("folder", folder), ("list", [folder]), ("wildcard", str(folder / "*.none"))):
        caplog.clear()
        assert await world(task.upload_artifact(f"deep {name}", given)) is False
        assert "cannot be read (File name too long)" in caplog.text
    assert set(task.artifacts) == {"folder", "list", "files"}


async def test_what_would_be_lost_is_refused(world: World) -> None:
    import numpy as np

    task = await world(world.Task.init("project", "a run"))
    for same in ({1: "a", "1": "b"}, [{"deep": {True: 1, "true": 2}}], {"None": ({None: 1, "null": 2},)}):
        with pytest.raises(UnsupportedTypeError, match="two keys that JSON writes as"):
            await world(task.upload_artifact("keys", same))
    assert await world(task.upload_artifact("keys", {1: "a", "b": {2.5: None}}))
    assert await world(task.artifacts["keys"].get()) == {"1": "a", "b": {"2.5": None}}
    with pytest.raises(UnsupportedTypeError, match="masked values"):
        await world(task.upload_artifact("masked", np.ma.masked_array([1, 2], mask=[False, True])))
    assert await world(task.upload_artifact("masked", np.ma.masked_array([1, 2])))
    assert (await world(task.artifacts["masked"].get())).tolist() == [1, 2]
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"in": deep}
    wrong = [(np.array(given), ".csv.gz") for given in ("text", ["text"], [1j], 1.0)] + [({"a": {(1, 2): 3}}, ".yaml"), (deep, ".yaml")]
    for given, form in wrong:
        with pytest.raises(UnsupportedTypeError, match="'odd'"):
            await world(task.upload_artifact("odd", given, extension_name=form))


async def test_text_that_is_no_utf8_is_no_error_of_another_package(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(task.upload_artifact("a", {"a": 1}, metadata={"from": "\udcff.csv"}, preview="\udcff", wait_on_upload=True))
    assert (dict(task.artifacts["a"].metadata), task.artifacts["a"].preview) == ({"from": "?.csv"}, "?")
    path = tmp_path / "\udcff.bin"
    try:
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes no such names")
    assert await world(task.upload_artifact("file", path)) is False
    assert "is no text" in caplog.text


@pytest.mark.parametrize("options", [{"extension_name": 3}, {"extension_name": "/../x"}, {"serialization_function": 3}, {"progress": 3}])
async def test_options_of_a_wrong_kind_are_refused(world: World, options: dict[str, Any]) -> None:
    task = await world(world.Task.init("project", "a run"))
    with pytest.raises(ValidationError, match=f"{next(iter(options))} is .*, not "):
        await world(task.upload_artifact("a", "text", **options))
    assert dict(task.uploads) == {}


async def test_text_that_looks_like_a_path_is_stored_with_a_warning(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        for text in ("one", "two words.", "a sentence; with marks", "3.14", "https://", "{}"):
            await world(task.upload_artifact("text", text))
    assert "looks like a path" not in caplog.text
    for text in ("model.bin", "out/model", str(tmp_path / "none"), "./x/y.csv", "C:\\data\\x.csv", "file:///tmp/none"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="atrains"):
            assert await world(task.upload_artifact("text", text))
        assert ("looks like a path" in caplog.text) == (text != "out/model"), text
        assert await world(task.artifacts["text"].get()) == text
