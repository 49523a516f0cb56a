"""The classes of models: what is imported, stored, packed and found by itself, one body for both worlds and every home."""
# ruff: noqa: ASYNC240  # the bodies are programs

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from atrains import AsyncTask, Framework
from atrains.errors import ConfigurationError, NotFoundError, StorageError, UsageError, ValidationError
from tests.conformance.models import (
    WEIGHTS,
    World,
    content,
    kind,
    own_url,
    published,
    work_folder,  # noqa: F401  # a fixture
)
from tests.web_server import serving

# ---- the classes


async def test_a_model_is_imported_once_for_each_url(world: World) -> None:
    models = kind(world, "InputModel")
    await world(world.Task.init("project", "a run"))
    url = f"https://example.com/{uuid4().hex}/a%20b/w.onnx"
    first = await world(models.import_model(url, config_text="text", tags=["t"], comment="mine", is_package=True))
    task = world.Task.current_task()
    assert await world(first.name) == "Imported by a run"
    assert await world(first.comment) == f"Imported by task id: {task.id}\nmine"
    assert (await world(first.url), await world(first.framework), await world(first.tags)) == (url, "ONNX", ["t"])
    assert (await world(first.system_tags), await world(first.published), await world(first.task)) == (["package"], False, None)
    assert await world(first.project) == task.project
    again = await world(models.import_model(url, name="has no effect", create_as_published=True))
    assert (again.id, await world(again.name)) == (first.id, "Imported by a run")
    assert (await world(models.load_model(url))).id == first.id
    await world(first.archive())
    assert "archived" in await world(first.system_tags)
    assert await world(models.load_model(url)) is None
    assert (await world(models.load_model(url, load_archived=True))).id == first.id
    assert (await world(models.import_model(url, name="another"))).id != first.id
    await world(first.unarchive())
    await world(first.reload())
    assert "archived" not in await world(first.system_tags)
    assert await world(models.load_model("https://example.com/a")) is None
    with pytest.raises(UsageError, match="not both"):
        await world(models.import_model("file:///x", config_text="a", config_dict={}))


async def test_a_stored_file_of_the_home_is_found_by_its_path(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    url = await world(task.update_output_model_and_upload("model.pt"))
    assert (await world(kind(world, "InputModel").load_model(url))).id == task.output_model_id


async def test_what_is_said_of_a_model_can_be_changed(world: World) -> None:
    model = kind(world, "Model")(await published(world))
    await world(model.set_name("another name"))
    await world(model.set_comment("a comment"))
    await world(model.set_tags(["one", "two", "one"]))
    found = kind(world, "Model")(model.id)
    assert (await world(found.name), await world(found.comment)) == ("another name", "a comment")
    assert await world(found.tags) == ["one", "two"] == await world(model.tags)
    with pytest.raises(ValidationError):
        await world(model.set_name("ab"))
    with pytest.raises(ValidationError, match="list of texts"):
        await world(model.set_tags("text"))
    await world(model.set_comment(None))
    assert await world(kind(world, "Model")(model.id).comment) == ""


async def test_a_new_output_model_is_stored_with_its_weights(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = kind(world, "OutputModel")(task, None, {"layers": 3}, {"cat": 1}, "classifier", ["t"], "mine", Framework.keras)
    assert model.id == ""
    assert (await world(task.get_models()))["output"] == []
    assert (await world(model.name), await world(model.config_dict), await world(model.labels)) == ("classifier", {"layers": 3}, {"cat": 1})
    assert (await world(model.url), await world(model.published), await world(model.task)) == (None, False, task.id)
    await world(model.set_name("renamed"))
    await world(model.update_labels({"cat": 2}))
    await world(model.update_design(config_text="new"))
    assert await world(model.get_weights()) is None
    with pytest.raises(UsageError, match="before it has weights"):
        await world(model.publish())
    url = await world(model.update_weights("model.pt", target_filename="final", iteration=3))
    assert url.endswith("/final.pt")
    stored = kind(world, "Model")(model.id)
    assert (await world(stored.name), await world(stored.labels), await world(stored.config_text)) == ("renamed", {"cat": 2}, "new")
    assert (await world(stored.framework), await world(stored.tags)) == ("Keras", ["t"])
    assert await world(stored.comment) == "snapshot final.pt stored\nmine"
    assert await world(task.get_last_iteration()) == 3
    assert (work / "model.pt").exists()
    await world(model.update_weights("model.pt", auto_delete_file=True, update_comment=False))
    assert not (work / "model.pt").exists()
    assert await content(world, model) == WEIGHTS
    assert (await world(stored.name)) == "renamed"
    with pytest.raises(UsageError, match="one of"):
        await world(model.update_weights())
    with pytest.raises(UsageError, match="one of"):
        await world(model.update_weights("model.pt", register_uri="file:///w"))
    with pytest.raises(UsageError, match="not both"):
        kind(world, "OutputModel")(task, "text", {})


async def test_models_of_one_file_name_do_not_overwrite_each_other(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    models = []
    for name in ("generator", "discriminator"):
        (work / "model.pt").write_bytes(name.encode())
        models.append(kind(world, "OutputModel")(task, name=name))
        await world(models[-1].update_weights("model.pt"))
    assert [await content(world, model) for model in models] == [b"generator", b"discriminator"]
    for name, model in zip(("generator 2", "discriminator 2"), models, strict=True):
        (work / "model.pt").write_bytes(name.encode())
        await world(model.update_weights("model.pt", async_enable=True))
        await world(model.wait_for_uploads())
    assert [await content(world, model) for model in models] == [b"generator 2", b"discriminator 2"]
    assert [model.id for model in (await world(task.get_models()))["output"]] == [model.id for model in models]


async def test_models_of_one_file_name_that_are_stored_at_once_are_kept_apart(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    for number in range(6):
        (work / f"model {number}").mkdir()
        (work / f"model {number}" / "weights.pt").write_bytes(WEIGHTS[number:])

    def store(number: int) -> Any:
        return kind(world, "OutputModel")(task, name=f"model {number}").update_weights(work / f"model {number}" / "weights.pt")

    if world.Task is AsyncTask:
        urls = await asyncio.gather(*map(store, range(6)))
    else:
        with ThreadPoolExecutor() as threads:
            urls = list(threads.map(store, range(6)))
    assert len(set(urls)) == 6
    found = {await world(model.name): await content(world, model) for model in (await world(task.get_models()))["output"]}
    assert found == {f"model {number}": WEIGHTS[number:] for number in range(6)}


async def test_of_weights_that_follow_each_other_quickly_the_last_count(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = kind(world, "OutputModel")(task, name="a model")
    for number in range(8):
        path = work / f"epoch-{number}.pt"
        path.write_bytes(str(number).encode() * 1000)
        await world(model.update_weights(path, async_enable=True))
    assert await world(model.wait_for_uploads()) is True
    assert await content(world, kind(world, "Model")(model.id)) == b"7" * 1000
    assert [found.id for found in (await world(task.get_models()))["output"]] == [model.id]


class Files(BaseHTTPRequestHandler):
    """A file server that has a first file whole, and does not say so before it is told."""

    arrived: ClassVar[threading.Event]
    answered: ClassVar[threading.Event]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"epoch-0.pt" in body:
            self.arrived.set()
            assert self.answered.wait(30)
        named = b'["%s"]' % body.partition(b' name="')[2].partition(b'"')[0]
        self.send_response(200)
        self.send_header("Content-Length", str(len(named)))
        self.end_headers()
        self.wfile.write(named)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def files() -> Iterator[str]:
    Files.arrived, Files.answered = threading.Event(), threading.Event()
    with serving(Files) as url:
        yield url
        Files.answered.set()


async def test_weights_that_the_server_has_are_the_same_model_as_those_after_them(world: World, work: Path, files: str) -> None:
    task = await world(world.Task.init("project", "a run", output_uri=files))
    model = kind(world, "OutputModel")(task, name="a model")
    for name in ("epoch-0.pt", "epoch-1.pt", "epoch-2.pt"):
        (work / name).write_bytes(WEIGHTS)
        await world(model.update_weights(name, async_enable=True))
        assert await world(model.wait_for_uploads(timeout=0.1)) is False
        while not Files.arrived.is_set():
            assert await world(model.wait_for_uploads(timeout=0.1)) is False
    Files.answered.set()
    assert await world(model.wait_for_uploads()) is True
    assert [found.id for found in (await world(task.get_models()))["output"]] == [model.id]
    assert (await world(kind(world, "Model")(model.id).url)).endswith("/epoch-2.pt")


async def test_several_files_are_a_package(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    (work / "folder" / "inner").mkdir(parents=True)
    files = {"config.json": b"{}", "inner/weights.bin": WEIGHTS}
    for name, text in files.items():
        (work / "folder" / name).write_bytes(text)
    model = kind(world, "OutputModel")(task, name="a package")
    url = await world(model.update_weights("folder"))
    assert url.endswith("/model_package.zip")
    assert await world(model.system_tags) == ["package"]
    with zipfile.ZipFile(await world(model.get_weights())) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    stored = kind(world, "Model")(model.id)
    paths = await world(stored.get_weights_package(raise_on_error=True))
    assert sorted(Path(path).read_bytes() for path in paths) == sorted(files.values())
    folder = Path(await world(stored.get_weights_package(return_path=True)))
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert Path(await world(stored.get_local_copy())) == folder
    assert (await world(stored.get_local_copy(extract_archive=False))).endswith(".zip")
    flat = kind(world, "OutputModel")(task, name="flat")
    given = ["model.pt", work / "folder" / "config.json"]
    await world(flat.update_weights_package(given, target_filename="flat", auto_delete_file=True))
    assert sorted(Path(path).name for path in await world(flat.get_weights_package())) == ["config.json", "model.pt"]
    assert not (work / "model.pt").exists()
    assert (work / "folder" / "inner" / "weights.bin").exists()
    for wrong in ({}, {"weights_filenames": ["a"], "weights_path": "b"}):
        with pytest.raises(UsageError, match="one of"):
            await world(flat.update_weights_package(**wrong))
    (work / "empty").mkdir()
    (work / "config.json").write_text("another of that name")
    for wrong in ({"weights_path": "empty"}, {"weights_filenames": ["none"]}, {"weights_filenames": ["config.json", "folder/config.json"]}):
        with pytest.raises(ValidationError):
            await world(flat.update_weights_package(**wrong))


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are made here")
async def test_no_file_is_left_out_of_a_package_unseen(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = kind(world, "OutputModel")(task, name="a package")
    makers: dict[str, Callable[[Path], None]] = {
        "a link to a folder": lambda path: path.symlink_to(work),
        "no file": lambda path: path.symlink_to(work / "gone"),
        "no file: copy": os.mkfifo,  # which nobody writes to: who opens it waits for ever
    }
    for number, (what, make) in enumerate(makers.items()):
        folder = work / f"folder {number}"
        folder.mkdir()
        (folder / "weights").write_bytes(WEIGHTS)
        make(folder / "other")
        with pytest.raises(ValidationError, match=rf"other is {what}"):
            await world(model.update_weights(folder))
    assert not model.id


async def test_a_model_that_is_no_package_has_one_file(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.update_output_model_and_upload("model.pt"))
    model = task.output_model
    (path,) = await world(model.get_weights_package())
    assert path == await world(model.get_weights()) == await world(model.get_weights_package(return_path=True))


async def test_weights_that_are_not_there_are_none_or_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    model = kind(world, "Model")(await published(world, url=own_url("/nowhere/w.pt")))
    assert await world(model.get_weights()) is None
    assert await world(model.get_local_copy()) is None
    assert await world(model.get_weights_package()) is None
    assert "/nowhere/w.pt" in caplog.text
    for call in (model.get_weights, model.get_local_copy, model.get_weights_package):
        with pytest.raises(StorageError, match=r"/nowhere/w\.pt"):
            await world(call(raise_on_error=True))
    with pytest.raises(NotFoundError):
        await world(kind(world, "Model")("0" * 32).get_weights())


async def test_an_existing_model_takes_new_weights(world: World) -> None:
    first = await world(world.Task.init("project", "a run"))
    await world(first.update_output_model("file:///old.pt", "a name"))
    model = kind(world, "OutputModel")(first, base_model_id=first.output_model_id, comment="now mine")
    assert await world(model.name) == "a name"
    await world(model.update_weights("model.pt", update_comment=False))
    stored = kind(world, "Model")(first.output_model_id)
    assert (model.id, await world(stored.comment), await world(stored.name)) == (stored.id, "now mine", "a name")
    assert await content(world, stored) == WEIGHTS


async def test_a_model_has_a_destination_of_its_own(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = kind(world, "OutputModel")(task)
    model.set_upload_destination(str(tmp_path / "there"))
    assert (await world(model.update_weights("model.pt"))).startswith(f"file://{tmp_path}/there/project/")
    assert (await world(model.update_weights("model.pt", upload_uri=str(tmp_path / "then")))).startswith(f"file://{tmp_path}/then/")
    with pytest.raises(ConfigurationError):
        model.set_upload_destination("s3://bucket")


async def test_an_output_model_belongs_to_a_task(world: World) -> None:
    with pytest.raises(UsageError, match="belongs to a task"):
        kind(world, "OutputModel")()
    task = await world(world.Task.init("project", "a run"))
    assert await world(kind(world, "OutputModel")().task) == task.id


async def test_models_are_pickled_by_their_id(world: World) -> None:
    model = kind(world, "Model")(await published(world, "a model"))
    again = pickle.loads(pickle.dumps(model))
    assert (type(again), again.id, await world(again.name)) == (type(model), model.id, "a model")
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect(kind(world, "InputModel")(model.id)))
    copied = pickle.loads(pickle.dumps(task.input_model))
    assert await world(copied.name) == "a model"
    with pytest.raises(TypeError, match="pass its id"):
        pickle.dumps(task.output_model)
