"""Models: what a task begins with and what it makes, one body for both worlds and every home."""
# ruff: noqa: ASYNC240  # the bodies are programs

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from atrains import Framework
from atrains.errors import ConfigurationError, NotFoundError, StorageError, TaskClosedError, TaskStatusError, UsageError, ValidationError
from tests.conformance.models import (
    WEIGHTS,
    World,
    content,
    kind,
    own_url,
    published,
    work_folder,  # noqa: F401  # a fixture
)

# ---- update_output_model_and_upload


async def test_uploaded_weights_are_the_output_model_of_the_task(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect_configuration({"layers": 3}))
    await world(task.connect_label_enumeration({"cat": 1}))
    url = await world(task.update_output_model_and_upload("model.pt", "classifier", "best so far", ["best"], iteration=7))
    assert isinstance(url, str)
    assert url.endswith("/model.pt")
    assert (work / "model.pt").read_bytes() == WEIGHTS  # the file of the caller stays
    model = task.output_model
    assert model.id == task.output_model_id != ""
    assert await world(model.url) == url
    assert await content(world, model) == WEIGHTS
    found = await world(world.Task.get_task(task.id))
    stored = found.output_model
    assert (await world(stored.name), await world(stored.comment), await world(stored.tags)) == ("classifier", "best so far", ["best"])
    assert (await world(stored.labels), await world(stored.config_dict)) == ({"cat": 1}, {"layers": 3})
    assert "layers" in await world(stored.config_text)
    assert (await world(stored.task), await world(stored.project)) == (task.id, task.project)
    assert (await world(stored.framework), await world(stored.published)) == (Framework.pytorch, False)
    assert await world(task.get_last_iteration()) == 7


async def test_an_upload_again_goes_into_the_same_model(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    first = await world(task.update_output_model_and_upload("model.pt", name="a name", tags=["t"]))
    model = task.output_model_id
    (work / "model.pt").write_bytes(b"better")
    again = await world(task.update_output_model_and_upload("model.pt", comment="now better"))
    assert (task.output_model_id, again) == (model, first)
    assert await content(world, task.output_model) == b"better"
    (work / "other.h5").write_bytes(b"another file")
    other = await world(task.update_output_model_and_upload(work / "other.h5"))
    assert (task.output_model_id, await world(task.output_model.url)) == (model, other)
    assert (await world(task.output_model.name), await world(task.output_model.tags)) == ("a name", ["t"])
    models = await world(task.get_models())
    assert [found.id for found in models["output"]] == [model]
    assert await content(world, models["output"][0]) == b"another file"


async def test_a_published_model_stays_as_it_is_and_the_next_weights_make_another(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.update_output_model_and_upload("model.pt"))
    first = task.output_model
    await world(first.publish())
    await world(first.publish())
    (work / "model.pt").write_bytes(b"later")
    url = await world(task.update_output_model_and_upload("model.pt"))
    second = task.output_model
    assert second.id != first.id
    assert await world(second.url) == url != await world(first.url)
    assert (await content(world, first), await content(world, second)) == (WEIGHTS, b"later")
    assert await world(second.parent) == first.id
    with pytest.raises(ValueError, match="is published"):
        await world(first.update_weights("model.pt"))
    for change in (lambda: first.update_labels({"dog": 1}), lambda: first.update_design("text"), lambda: first.set_framework("other")):
        with pytest.raises(ValidationError, match="is published"):
            await world(change())
    assert await content(world, first) == WEIGHTS


async def test_an_asynchronous_upload_returns_its_url_and_calls_back_in_another_thread(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    told: list[tuple[object, int]] = []
    url = await world(
        task.update_output_model_and_upload("model.pt", async_enable=True, cb=lambda got: told.append((got, threading.get_ident())))
    )
    await world(task.flush(wait_for_uploads=True))
    await until(world, lambda: bool(told))
    ((got, thread),) = told
    assert got == url
    assert thread != threading.get_ident()
    assert "portal" not in {each.ident: each.name for each in threading.enumerate()}.get(thread, "")
    await world(task.reload())
    assert await content(world, task.output_model) == WEIGHTS


async def test_a_callback_is_told_of_a_failure(world: World, work: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    told: list[object] = []

    def callback(got: object) -> None:
        told.append(got)
        raise RuntimeError("of the user's code, which is logged")

    await block(world, task, work / "blocked")
    await world(task.update_output_model_and_upload("model.pt", async_enable=True, cb=callback))
    await until(world, lambda: "of the user's code" in caplog.text)
    assert told == [False]


async def test_a_failed_upload_records_nothing(world: World, work: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    await block(world, task, work / "blocked")
    with pytest.raises(StorageError, match=r"model\.pt"):
        await world(task.update_output_model_and_upload("model.pt"))
    assert (await world(task.get_models()))["output"] == []
    with pytest.raises(ValidationError, match="no file"):
        await world(task.update_output_model_and_upload("missing.pt"))


async def test_a_callback_is_only_for_asynchronous_uploads(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    told: list[object] = []
    await world(task.update_output_model_and_upload("model.pt", cb=told.append))
    await world.sleep(0.2)
    assert told == []


async def block(world: World, task: Any, place: Path) -> None:
    """Give a task a destination to which nothing can be stored."""
    place.mkdir()
    await world(task.set_output_uri(place))
    place.rmdir()
    place.write_text("a file where a folder was")


async def until(world: World, holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await world.sleep(0.02)


async def test_weights_go_to_the_destination_of_the_task(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("my project", "a run"))
    await world(task.setup_upload(str(tmp_path / "models of mine")))
    url = await world(task.update_output_model_and_upload("model.pt"))
    assert url == f"file://{tmp_path}/models of mine/my project/a run.{task.id}/models/model.pt"
    assert Path(url.removeprefix("file://")).read_bytes() == WEIGHTS
    with pytest.raises(ConfigurationError, match="s3://host/bucket"):
        await world(task.setup_upload("bucket", "host"))
    with pytest.raises(ConfigurationError, match="s3://bucket"):
        await world(task.setup_upload("bucket"))


@pytest.mark.parametrize("name", ["a b%20c.pt", "Gewichte-ü.pt", "x" * 200 + ".pt", "a;b?c#d&e.pt", "..weights", "no extension"])
async def test_files_of_any_name_come_back(world: World, work: Path, name: str) -> None:
    (work / name).write_bytes(name.encode())
    task = await world(world.Task.init("project", "a run"))
    await world(task.update_output_model_and_upload(work / name))
    assert await content(world, task.output_model) == name.encode()


# ---- update_output_model


async def test_metadata_alone_is_updated_and_nothing_uploaded(world: World, work: Path) -> None:
    task = await world(world.Task.create("project", "a draft"))
    assert await world(task.update_output_model("file:///elsewhere/first.onnx", "a name", "a comment", ["one"])) is None
    assert await world(task.get_status()) == "in_progress"
    model = task.output_model
    assert await world(model.url) == "file:///elsewhere/first.onnx"
    assert (await world(model.name), await world(model.comment), await world(model.tags)) == ("a name", "a comment", ["one"])
    assert await world(model.framework) == "ONNX"
    await world(task.update_output_model(str(work / "model.pt")))
    assert task.output_model_id == model.id
    await world(model.reload())
    assert await world(model.url) == f"file://{work}/model.pt"
    assert (await world(model.name), await world(model.tags)) == ("a name", ["one"])
    assert await content(world, model) == WEIGHTS
    unnamed = await world(world.Task.init("project", "of this name"))
    await world(unnamed.update_output_model("https://example.com/w.bin"))
    assert await world(unnamed.output_model.name) == "of this name"
    assert unnamed.id in await world(unnamed.output_model.comment)
    assert await world(unnamed.output_model.framework) is None


async def test_what_is_no_model_is_refused(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for wrong in ({"model_uri": ""}, {"model_uri": None}, {"model_uri": "x", "name": "ab"}, {"model_uri": "x", "tags": "text"}):
        with pytest.raises(ValidationError):
            await world(task.update_output_model(**wrong))
    with pytest.raises(ValidationError, match=r"tags of a model are a list of texts .*, not 3"):
        await world(kind(world, "OutputModel")(task, name="another").set_tags(3))
    with pytest.raises(ValidationError, match=r"target_filename is the name .*, not 3"):
        await world(kind(world, "OutputModel")(task).update_weights("model.pt", target_filename=3))
    assert (await world(task.get_models())) == {"input": [], "output": []}


async def test_what_cannot_be_recorded_replaces_no_weights(world: World, work: Path) -> None:
    """An iteration that a server refuses was found out after the file had taken the place of the earlier one."""
    task = await world(world.Task.init("project", "a run"))
    await world(task.update_output_model_and_upload("model.pt", iteration=5.0))
    (work / "model.pt").write_bytes(b"other weights")
    with pytest.raises(ValidationError, match=r"whole number, not 'five'"):
        await world(task.update_output_model_and_upload("model.pt", iteration="five"))
    with pytest.raises(ValidationError, match=r"64 bits, not 9223372036854775808"):
        await world(task.update_output_model_and_upload("model.pt", iteration=2**63))
    with pytest.raises(ValidationError, match=r"is a function, not 3"):
        await world(task.update_output_model_and_upload("model.pt", async_enable=True, cb=3))
    assert await content(world, task.output_model) == WEIGHTS
    assert await world(task.get_last_iteration()) == 5


@pytest.mark.parametrize("path", [None, "", 3, b"model.pt"])
async def test_what_names_no_weights_is_refused(world: World, path: Any) -> None:
    task = await world(world.Task.init("project", "a run"))
    calls = [
        task.update_output_model_and_upload,
        kind(world, "InputModel").import_model,
        lambda path: kind(world, "OutputModel")(task).update_weights_package(weights_filenames=[path]),
    ]
    for call in calls:
        with pytest.raises(ValidationError, match="named by a path or a URL, not"):
            await world(call(path))
    assert await world(task.models) == {"input": [], "output": []}


async def test_models_come_before_the_end_of_the_run(world: World) -> None:
    task = await world(world.Task.create("project", "a draft"))
    await world(task.mark_started())
    await world(task.mark_completed())
    model = await published(world)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: task.update_output_model("file:///w"),
        lambda: task.update_output_model_and_upload("model.pt"),
        lambda: task.set_input_model(model),
        lambda: task.set_output_model_id(model),
        lambda: task.connect(kind(world, "InputModel")(model)),
        lambda: task.create_output_model().update_weights("model.pt"),
    ]
    for call in calls:
        with pytest.raises(TaskStatusError):
            await world(call())
    await world(task.close())
    for call in calls[:5]:
        with pytest.raises(TaskClosedError):
            await world(call())


# ---- get_models, models


async def test_models_are_listed_in_the_order_in_which_they_came(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(task.get_models()) == {"input": [], "output": []}
    for name in ("first", "second"):
        await world(task.connect(kind(world, "InputModel")(await published(world, name))))
        await world(task.create_output_model().update_weights(register_uri=f"file:///out/{name}.h5"))
    models = await world(task.models)
    with pytest.raises(TypeError):
        models["input"] = []
    assert [await world(model.name) for model in models["input"]] == ["first", "second"]
    assert [await world(model.url) for model in models["output"]] == ["file:///out/first.h5", "file:///out/second.h5"]
    assert all(isinstance(model, kind(world, "Model")) for found in models.values() for model in found)
    other = await world(world.Task.get_task(task.id))
    again = await world(other.get_models())
    assert {name: [model.id for model in found] for name, found in again.items()} == {
        name: [model.id for model in found] for name, found in models.items()
    }
    clone = await world(world.Task.clone(task))
    copied = await world(clone.get_models())
    assert [model.id for model in copied["input"]] == [model.id for model in models["input"]]
    assert copied["output"] == []


async def test_publishing_a_task_publishes_its_model_and_a_reset_deletes_drafts(world: World) -> None:
    task = await world(world.Task.create("project", "a draft"))
    await world(task.update_output_model_and_upload("model.pt"))
    draft = kind(world, "Model")(task.output_model_id)
    await world(task.reset())
    assert task.output_model_id is None
    with pytest.raises(NotFoundError):
        await world(draft.name)
    await world(task.update_output_model_and_upload("model.pt"))
    await world(task.mark_completed())
    await world(task.publish())
    assert await world(task.output_model.published) is True


# ---- set_input_model


async def test_the_input_model_is_found_by_id_and_by_its_exact_name(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert (task.input_model, task.input_model_id) == (None, None)
    url = own_url()
    first = await published(world, "a.model", url)
    await published(world, "a model of another name")
    await world(task.set_input_model(first))
    assert task.input_model_id == task.input_model.id == first
    assert await world(task.input_model.url) == url
    second = await published(world, "a.model")
    await world(kind(world, "InputModel").import_model(own_url(), name="a.model"))  # newer, and not published
    await published(world, "axmodel")
    await world(task.set_input_model(model_name="a.model"))
    assert task.input_model_id == second
    with pytest.raises(NotFoundError, match="no published model named 'a mod'"):
        await world(task.set_input_model(model_name="a mod"))
    with pytest.raises(NotFoundError):
        await world(task.set_input_model("0" * 32))
    with pytest.raises(UsageError, match="model_id or model_name"):
        await world(task.set_input_model())
    found = await world(world.Task.get_task(task.id))
    assert found.input_model_id == second
    assert [model.id for model in (await world(found.get_models()))["input"]] == [second, first]
    await world(task.set_input_model(""))
    assert task.input_model is None


async def test_a_task_without_input_model_has_none(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_comment("said before"))
    await world(task.connect(kind(world, "InputModel")(await published(world))))
    assert task.input_model is not None
    await world(task.set_input_model(""))
    assert (task.input_model, task.input_model_id, task.comment) == (None, None, "said before")
    assert (await world(task.get_models()))["input"] == []


async def test_an_unpublished_input_model_is_warned_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = await world(kind(world, "InputModel").import_model(own_url(), name="a model"))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        await world(task.set_input_model(model.id))
    assert "is not published" in caplog.text
    assert task.input_model_id == model.id


@pytest.mark.parametrize("design", [True, False])
@pytest.mark.parametrize("labels", [True, False])
async def test_configuration_and_labels_are_copied_or_not(world: World, design: bool, labels: bool) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_configuration_object("General", "of the task"))
    await world(task.set_model_label_enumeration({"of the task": 1}))
    model = await published(world, config_text="of the model", label_enumeration={"of the model": 2})
    await world(task.set_input_model(model, update_task_design=design, update_task_labels=labels))
    found = await world(world.Task.get_task(task.id))
    assert found.get_model_design() == ("of the model" if design else "of the task")
    assert found.get_labels_enumeration() == ({"of the model": 2} if labels else {"of the task": 1})
    await world(task.set_input_model(await published(world, "a bare one")))
    assert task.get_model_design() == ("of the model" if design else "of the task")  # which has nothing to copy


async def test_output_model_ids_are_set(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = await published(world)
    await world(task.set_output_model_id(model))
    await world(task.reload())
    assert (task.output_model_id, task.output_model.id) == (model, model)
    await world(task.set_output_model_id(None))
    await world(task.reload())
    assert task.output_model_id is None


# ---- connect


async def test_a_connected_input_model_gives_what_the_task_lacks(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = await world(
        kind(world, "InputModel").import_model(own_url(), config_dict={"layers": 3}, label_enumeration={"cat": 1}, name="a model")
    )
    assert await world(task.connect(model)) is model
    assert task.input_model_id == model.id
    assert ("layers" in task.get_model_design(), task.get_labels_enumeration()) == (True, {"cat": 1})
    other = await world(kind(world, "InputModel").import_model(own_url("/v.pt"), label_enumeration={"dog": 1}, name="another"))
    await world(other.connect(task))
    assert task.get_labels_enumeration() == {"cat": 1}
    assert [found.id for found in (await world(task.get_models()))["input"]] == [model.id, other.id]
    assert f"Using model id: {other.id}" in task.comment
    same = await world(kind(world, "InputModel").import_model(own_url(), name="of the same file name"))
    await world(task.connect(same, name="w"))
    assert [found.id for found in (await world(task.get_models()))["input"]] == [model.id, other.id, same.id]


async def test_a_connected_output_model_is_the_one_that_the_task_makes(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = kind(world, "OutputModel")(task, config_text="text", label_enumeration={"cat": 1}, name="mine")
    assert await world(task.connect(model)) is model
    assert (task.get_model_design(), task.get_labels_enumeration()) == ("text", {"cat": 1})
    assert task.output_model is model
    await world(task.update_output_model_and_upload("model.pt"))
    assert await world(kind(world, "Model")(task.output_model_id).name) == "mine"
    other = await world(world.Task.create("project", "another"))
    with pytest.raises(UsageError, match="was made by task"):
        await world(other.connect(model))


async def test_an_empty_model_gives_configuration_and_labels_alone(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    model = await world(kind(world, "InputModel").empty(config_dict={"layers": 3}, label_enumeration={"cat": 1}))
    await world(task.connect(model))
    assert (await world(model.config_dict), task.get_labels_enumeration()) == ({"layers": 3}, {"cat": 1})
    assert "layers" in task.get_model_design()
    assert (await world(task.get_models()))["input"] == []
    assert await world(model.url) is None
    assert await world(model.get_weights()) is None
