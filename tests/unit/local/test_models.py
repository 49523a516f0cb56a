"""Models of a home: their endpoints, their folders, what becomes of them with their task, and what clients of other versions see."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from atrains._local import services
from atrains._local.store import Store, open_home
from atrains._wire import endpoints
from atrains.errors import HomeError, ServerError
from atrains.testing import RunningServer

Ask = Callable[..., dict[str, Any]]
Calls = Callable[..., Any]


@pytest.fixture
def ask(store: Store) -> Ask:
    return lambda name, /, **request: services.call(store, endpoints.BY_NAME[name], request)


@pytest.fixture
def make(ask: Ask) -> Callable[..., str]:
    return lambda name="a model", **fields: ask("models.create", **{"name": name, "uri": "file:///w.pt", "ready": False, **fields})["id"]


@pytest.fixture
def read(ask: Ask) -> Callable[[str], dict[str, Any]]:
    return lambda model: ask("models.get_by_id", model=model)["model"]


def code_of(error: pytest.ExceptionInfo[ServerError]) -> tuple[int, int]:
    return error.value.code, error.value.subcode


def weights_of(store: Store, task: str, name: str = "w.pt") -> tuple[Path, str]:
    """A file in the folder of a task, and its URL."""
    path = store.task_folder(task) / "files" / "models" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"weights")
    return path, f"home://tasks/{task}/files/models/{name}"


# ---- documents


def test_a_model_is_stored_edited_and_read(ask: Ask, read: Any, task: str) -> None:
    project = ask("tasks.get_by_id", task=task)["task"]["project"]
    fields = {"labels": {"cat": 1}, "design": {"design": "layers = 3"}, "comment": "c", "framework": "PyTorch", "tags": ["t"]}
    made = ask("models.create", name=" a model ", uri="file:///w.pt", task=task, project=project, system_tags=["s"], **fields)
    assert made["created"] is True
    model = read(made["id"])
    assert model == {**model, **fields, "name": "a model", "uri": "file:///w.pt", "task": task, "project": project, "ready": True}
    assert "project_name" not in model  # that is for the folder alone
    answer = ask("models.edit", model=made["id"], name="another", uri="file:///v.pt", iteration=7)
    assert (answer["updated"], answer["fields"]["name"]) == (1, "another")
    assert (read(made["id"])["name"], read(made["id"])["uri"], read(made["id"])["comment"]) == ("another", "file:///v.pt", "c")
    assert read(made["id"])["last_update"] > model["last_update"]
    assert ask("tasks.get_by_id", task=task)["task"]["last_iteration"] == 7
    assert ask("models.update", model=made["id"], name="a third", uri="ignored")["updated"] == 1
    assert (read(made["id"])["name"], read(made["id"])["uri"]) == ("a third", "file:///v.pt")


@pytest.mark.parametrize(
    ("name", "request_", "code"),
    [
        ("models.create", {"name": "a model"}, (400, 12)),
        ("models.create", {"name": "ab", "uri": "x"}, (400, 800)),
        ("models.create", {"name": "a model", "uri": "x", "labels": {"a": "b"}}, (400, 12)),
        ("models.create", {"name": "a model", "uri": "x", "labels": {"a": True}}, (400, 12)),
        ("models.create", {"name": "a model", "uri": "x", "project": "none"}, (400, 16)),
        ("models.edit", {"model": "none", "name": "a name"}, (400, 201)),
        ("models.get_by_id", {"model": "../tasks"}, (400, 201)),
        ("models.set_ready", {"model": "none"}, (400, 201)),
        ("models.delete", {"model": "none"}, (400, 201)),
        ("models.get_all", {"only_fields": ["nothing"]}, (400, 14)),
        ("models.update_for_task", {"task": "none", "uri": "x"}, (400, 101)),
    ],
)
def test_what_is_refused(ask: Ask, name: str, request_: dict[str, Any], code: tuple[int, int]) -> None:
    with pytest.raises(ServerError) as error:
        ask(name, **request_)
    assert code_of(error) == code


def test_models_are_found_by_each_of_their_fields(ask: Ask, make: Any, task: str) -> None:
    first = make("first", task=task, tags=["good"], uri="file:///1")
    second = make("second", ready=True, uri="file:///2", system_tags=["archived"])
    found = lambda **request: [model["id"] for model in ask("models.get_all", **request)["models"]]  # noqa: E731
    assert found() == [first, second] == found(order_by=["created"])
    assert found(order_by=["-created"]) == [second, first]
    assert found(task=[task]) == [first] == found(uri=["file:///1"]) == found(tags=["good"]) == found(ready=False) == found(name="^first$")
    assert found(id=[second, "none"]) == [second] == found(ready=True) == found(name="^sec")
    assert found(system_tags=["-archived"]) == [first]
    assert found(page=1, page_size=1) == [second]
    (model,) = ask("models.get_all", id=[first], only_fields=["name"])["models"]
    assert model == {"id": first, "name": "first"}


def test_a_model_is_published_once_and_its_task_with_it(ask: Ask, make: Any, read: Any, task: str) -> None:
    model = make(task=task)
    with pytest.raises(ServerError) as error:
        ask("models.set_ready", model=model, publish_task=True)  # of a draft
    assert code_of(error) == (400, 110)
    assert not read(model)["ready"]
    ask("tasks.started", task=task), ask("tasks.completed", task=task)
    answer = ask("models.set_ready", model=model, publish_task=True)
    assert answer["published_task"]["data"]["fields"]["status"] == "published" == ask("tasks.get_by_id", task=task)["task"]["status"]
    assert read(model)["ready"]
    with pytest.raises(ServerError) as error:
        ask("models.set_ready", model=model)
    assert code_of(error) == (400, 203)


def test_models_are_put_away(ask: Ask, make: Any, read: Any) -> None:
    model = make(system_tags=["mine"])
    answer = ask("models.archive_many", ids=[model, "none"])
    assert answer["succeeded"] == [{"id": model, "archived": True}]
    assert [(failed["id"], failed["error"]["codes"]) for failed in answer["failed"]] == [("none", [400, 201])]
    assert read(model)["system_tags"] == ["mine", "archived"]
    ask("models.unarchive_many", ids=[model])
    assert read(model)["system_tags"] == ["mine"]


def test_the_output_model_of_a_task_is_made_once_and_then_edited(ask: Ask, make: Any, read: Any, task: str) -> None:
    ask("tasks.edit", task=task, configuration={"General": {"name": "General", "value": "text"}}, execution={"model_labels": {"cat": 1}})
    ask("tasks.edit", task=task, models={"input": [{"name": "i", "model": "a parent"}]})
    made = ask("models.update_for_task", task=task, uri="file:///1", tags=["t"], iteration=3)
    assert made["created"] is True
    model = read(made["id"])
    inherited = {"name": "a task", "design": {"design": "text"}, "labels": {"cat": 1}, "parent": "a parent", "tags": ["t"], "task": task}
    assert model == {**model, **inherited, "uri": "file:///1", "ready": False}
    again = ask("models.update_for_task", task=task, uri="file:///2", name="renamed")
    assert (again["id"], again["created"], again["updated"]) == (made["id"], False, 1)
    assert (read(made["id"])["uri"], read(made["id"])["name"], read(made["id"])["tags"]) == ("file:///2", "renamed", ["t"])
    other = make()
    assert ask("models.update_for_task", task=task, override_model_id=other)["id"] == other
    record = ask("tasks.get_by_id", task=task)["task"]
    assert [entry["model"] for entry in record["models"]["output"]] == [other]
    assert record["last_iteration"] == 3
    for both in ({}, {"uri": "x", "override_model_id": other}):
        with pytest.raises(ServerError) as error:
            ask("models.update_for_task", task=task, **both)
        assert code_of(error) == (400, 12)
    ask("tasks.started", task=task), ask("tasks.completed", task=task)
    with pytest.raises(ServerError) as error:
        ask("models.update_for_task", task=task, uri="x")
    assert code_of(error) == (400, 110)


# ---- with their task


def test_publishing_a_task_publishes_its_last_output_model(ask: Ask, make: Any, read: Any, task: str) -> None:
    models = [make(), make()]
    for number, model in enumerate(models):
        ask("tasks.add_or_update_model", task=task, name=f"m{number}", model=model, type="output")
    ask("tasks.started", task=task), ask("tasks.completed", task=task), ask("tasks.publish", task=task)
    assert [read(model)["ready"] for model in models] == [False, True]


def test_publishing_a_task_leaves_its_model_alone_where_that_is_asked_for(ask: Ask, make: Any, read: Any, task: str) -> None:
    model = make()
    ask("tasks.add_or_update_model", task=task, name="m", model=model, type="output")
    ask("tasks.started", task=task), ask("tasks.completed", task=task, publish=True, publish_model=False)
    assert not read(model)["ready"]


def test_a_reset_deletes_drafts_with_their_files_and_refuses_where_a_model_is_published(
    ask: Ask, make: Any, read: Any, store: Store, task: str
) -> None:
    path, uri = weights_of(store, task)
    draft, ready, used = make(task=task, uri=uri), make(task=task, ready=True), make()
    ask("tasks.add_or_update_model", task=task, name="i", model=used, type="input")
    ask("tasks.add_or_update_model", task=task, name="o", model=draft, type="output")
    with pytest.raises(ServerError) as error:
        ask("tasks.reset", task=task)
    assert code_of(error) == (400, 123)
    assert read(draft)
    assert path.exists()
    answer = ask("tasks.reset", task=task, force=True, return_file_urls=True)
    assert (answer["deleted_models"], answer["urls"]["model_urls"]) == (1, [uri])
    with pytest.raises(ServerError, match="Invalid model id"):
        read(draft)
    assert not path.exists()
    assert read(ready)["task"] == task
    models = ask("tasks.get_by_id", task=task)["task"]["models"]
    assert ([entry["model"] for entry in models["input"]], models["output"]) == ([used], [])


def test_a_file_that_two_models_have_stays_for_the_other_one(ask: Ask, make: Any, store: Store, task: str) -> None:
    path, uri = weights_of(store, task)
    first, second = make(uri=uri), make(uri=uri)
    ask("models.delete", model=first)
    assert path.exists()
    assert ask("models.delete", model=second) == {"deleted": True, "url": uri}
    assert not path.exists()


@pytest.mark.parametrize("uri", ["home://../outside", "home://tasks/x/task.json", "home://home.json", "home://index.db", "home://"])
def test_deleting_a_model_never_removes_what_is_no_file_of_one(ask: Ask, make: Any, store: Store, uri: str) -> None:
    (store.home.parent / "outside").write_text("kept")
    model = make(uri=uri)
    ask("models.delete", model=model)
    assert (store.home.parent / "outside").exists()
    assert (store.home / "home.json").exists()
    assert (store.home / "index.db").exists()


def test_a_deleted_task_takes_its_drafts_along_and_leaves_published_models(ask: Ask, make: Any, read: Any, store: Store, task: str) -> None:
    draft, ready = make(task=task, uri=weights_of(store, task)[1]), make(task=task, ready=True)
    with pytest.raises(ServerError) as error:
        ask("tasks.delete", task=task)
    assert code_of(error) == (400, 123)
    answer = ask("tasks.delete", task=task, force=True, return_file_urls=True)
    assert (answer["deleted_models"], answer["updated_models"]) == (1, 1)
    assert answer["urls"]["model_urls"] == [f"home://tasks/{task}/files/models/w.pt"]
    assert "task" not in read(ready)
    with pytest.raises(ServerError, match="Invalid model id"):
        read(draft)


@pytest.mark.parametrize("stays", [{"ready": True}, {"task": None}])
def test_a_task_is_kept_while_its_folder_has_the_file_of_a_model_that_stays(
    ask: Ask, make: Any, store: Store, task: str, stays: dict[str, Any]
) -> None:
    path, uri = weights_of(store, task)
    model = make(**{"task": task, "uri": uri, **stays})
    with pytest.raises(ServerError, match=model) as error:
        ask("tasks.delete", task=task, force=True)
    assert code_of(error) == (400, 123)
    assert path.exists()
    ask("models.delete", model=model)
    ask("tasks.delete", task=task, force=True)
    assert not path.exists()


def test_a_clone_has_the_input_models_and_not_the_output_models(ask: Ask, make: Any, task: str) -> None:
    ask("tasks.add_or_update_model", task=task, name="i", model=(used := make()), type="input")
    ask("tasks.add_or_update_model", task=task, name="o", model=make(), type="output")
    clone = ask("tasks.clone", task=task)["id"]
    models = ask("tasks.get_by_id", task=clone)["task"]["models"]
    assert ([entry["model"] for entry in models["input"]], models["output"]) == ([used], [])


# ---- folders


def test_the_folders_are_the_truth(ask: Ask, make: Any, read: Any, store: Store, task: str, tmp_path: Path) -> None:
    project = ask("tasks.get_by_id", task=task)["task"]["project"]
    model = make(task=task, project=project, labels={"cat": 1})
    gone = make()
    ask("models.delete", model=gone)
    assert sorted(folder.name for folder in (store.home / "models").iterdir()) == [model]
    before = read(model)
    store.rebuild()
    assert ask("models.get_all")["models"] == [before]
    shutil.copytree(store.home / "models", tmp_path / "other" / "models")
    other = open_home(tmp_path / "other")
    (found,) = services.call(other, endpoints.MODELS_GET_ALL, {})["models"]
    assert {**found, "project": project} == before
    (held,) = services.call(other, endpoints.PROJECTS_GET_ALL, {"id": [found["project"]]})["projects"]
    assert held["name"] == "parent/child"
    other.close()


def test_a_damaged_record_is_named_and_left_out(ask: Ask, make: Any, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    good, damaged = make("good"), make("damaged")
    (store.home / "models" / damaged / "model.json").write_bytes(b"{")
    with pytest.raises(HomeError, match=damaged):
        ask("models.get_by_id", model=damaged)
    store.rebuild()
    assert [model["id"] for model in ask("models.get_all")["models"]] == [good]
    assert damaged in caplog.text


@pytest.mark.parametrize("removed", [False, True])
def test_a_change_of_which_only_the_folder_knows_is_indexed(make: Any, store: Store, removed: bool) -> None:
    model = make("before")
    file = store.home / "models" / model / "model.json"
    with pytest.raises(RuntimeError), store.change() as connection:  # noqa: PT012  # as a process that is killed between folder and index
        store.announce(connection, f"models/{model}")
        record = {**orjson.loads(file.read_bytes()), "name": "after"}
        file.unlink() if removed else file.write_bytes(orjson.dumps(record))
        raise RuntimeError
    assert store.index_is_behind()
    with store.change():
        pass
    names = [found["name"] for found in services.call(store, endpoints.MODELS_GET_ALL, {})["models"]]
    assert names == ([] if removed else ["after"])


def test_a_home_without_models_gets_their_table(store: Store, home: Path) -> None:
    with store.change() as connection:
        connection.execute("DROP TABLE models")
        connection.execute("PRAGMA user_version = 3")
    store.close()
    opened = open_home(home)
    assert services.call(opened, endpoints.MODELS_GET_ALL, {})["models"] == []
    opened.close()


# ---- over HTTP


def test_the_file_of_a_model_has_the_address_of_the_server_for_clients(call: Calls, server: RunningServer) -> None:
    task = call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"]
    base = server.url
    url = f"{base}/project/a%20task.{task}/models/w.pt"
    model = call("v2.13/models.create", {"name": "a model", "uri": url, "task": task, "ready": False}).data["id"]
    stored = orjson.loads((server.home / "models" / model / "model.json").read_bytes())
    assert stored["uri"] == f"home://tasks/{task}/files/project/a task.{task}/models/w.pt"
    assert call("v2.13/models.get_by_id", {"model": model}).data["model"]["uri"] == url
    assert [found["uri"] for found in call("v2.13/models.get_all", {"uri": [url]}).data["models"]] == [url]
    assert call("v2.13/tasks.reset", {"task": task, "return_file_urls": True}).data["urls"]["model_urls"] == [url]


def test_old_clients_give_a_task_its_model_by_another_call_and_have_one_list_of_tags(call: Calls) -> None:
    task = call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"]
    made = call("v2.2/models.update_for_task", {"task": task, "uri": "file:///w", "tags": ["mine", "archived"]}).data["id"]
    assert call("v2.2/models.get_by_id", {"model": made}).data["model"]["tags"] == ["mine", "archived"]
    new = call("v2.13/models.get_by_id", {"model": made}).data["model"]
    assert (new["tags"], new["system_tags"]) == (["mine"], ["archived"])
    assert call("v2.9/tasks.get_by_id", {"task": task}).data["task"]["output"]["model"] == made
    assert call("v2.14/models.update_for_task", {"task": task, "uri": "file:///w"}).code == (301, 1)
