"""Tasks over HTTP: what old clients see, parts of a task, copies, deletion, lists with other documents in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atrains.testing import RunningServer

Calls = Callable[..., Any]


@pytest.fixture
def make(call: Calls) -> Calls:
    return lambda name="a task", **fields: call("v2.13/tasks.create", {"name": name, "type": "training", **fields}).data["id"]


@pytest.fixture
def read(call: Calls) -> Calls:
    return lambda task, version="2.13": call(f"v{version}/tasks.get_by_id", {"task": task}).data["task"]


# ---- old versions


def test_models_and_container_stand_in_their_old_places_below_2_13(call: Calls, make: Calls, read: Calls) -> None:
    models = {"input": [{"name": "i", "model": "first"}, {"name": "j", "model": "second"}], "output": [{"name": "o", "model": "last"}]}
    task = make(models=models, container={"image": "img:tag", "arguments": "--ipc=host"})
    old = read(task, "2.12")
    assert (old["execution"]["model"], old["output"]["model"], old["execution"]["docker_cmd"]) == ("first", "last", "img:tag --ipc=host")
    assert "model" not in read(task)["execution"]
    edit = {"execution": {"model": "new", "docker_cmd": "other -v x"}, "output": {"model": "out"}}
    call("v2.9/tasks.edit", {"task": task, **edit}).data  # noqa: B018  # raises unless it was taken
    now = read(task)
    assert now["container"] == {"image": "other", "arguments": "-v x", "setup_shell_script": ""}
    assert [model["model"] for model in now["models"]["input"]] == ["new"]
    assert [model["model"] for model in now["models"]["output"]] == ["out"]
    assert not {"model", "docker_cmd"} & set(now["execution"])


def test_parameters_and_configuration_stand_in_execution_below_2_9(call: Calls, make: Calls, read: Calls) -> None:
    task = make()
    execution = {"parameters": {"lr": "0.1", "TF_DEFINE/x": "1"}, "model_desc": {"design": "text"}}
    call("v2.8/tasks.edit", {"task": task, "execution": execution})
    now = read(task)
    assert now["hyperparams"]["Args"]["lr"] == {"section": "Args", "name": "lr", "value": "0.1", "type": "legacy"}
    assert now["hyperparams"]["TF_DEFINE"]["x"]["value"] == "1"
    assert now["configuration"]["design"]["value"] == "text"
    assert "parameters" not in now["execution"]
    old = read(task, "2.8")["execution"]
    assert (old["parameters"], old["model_desc"]) == ({"lr": "0.1", "TF_DEFINE/x": "1"}, {"design": "text"})
    (listed,) = call("v2.8/tasks.get_all", {"id": [task], "only_fields": ["execution.parameters"]}).data["tasks"]
    assert listed["execution"]["parameters"]["lr"] == "0.1"


def test_there_is_one_list_of_tags_below_2_3(call: Calls, make: Calls, read: Calls) -> None:
    task = make(tags=["mine"], system_tags=["development"])
    assert read(task, "2.2")["tags"] == ["mine", "development"]
    call("v2.2/tasks.edit", {"task": task, "tags": ["other", "archived"]})
    assert (read(task)["tags"], read(task)["system_tags"]) == (["other"], ["archived"])


def test_the_log_below_2_9_is_walked_through(call: Calls, make: Calls) -> None:
    import json

    task = make()
    lines = [{"type": "log", "task": task, "timestamp": number, "msg": str(number)} for number in range(5)]
    call("events.add_batch", b"\n".join(json.dumps(line).encode() for line in lines), "POST", Content_Type="application/json-lines")
    tail = call("v2.8/events.get_task_log", {"task": task, "order": "asc", "from": "tail", "batch_size": 2}).data
    assert [event["msg"] for event in tail["events"]] == ["3", "4"]
    assert (tail["returned"], tail["total"]) == (2, 5)
    more = call("v2.8/events.get_task_log", {"task": task, "order": "asc", "from": "tail", "batch_size": 2, "scroll_id": tail["scroll_id"]})
    assert [event["msg"] for event in more.data["events"]] == ["1", "2"]
    head = call("v2.8/events.get_task_log", {"task": task, "batch_size": 3}).data
    assert [event["msg"] for event in head["events"]] == ["2", "1", "0"]


# ---- parts


def test_requirements_need_a_script(call: Calls, make: Calls, read: Calls) -> None:
    task = make()
    assert call("v2.13/tasks.set_requirements", {"task": task, "requirements": {"pip": "x"}}).code == (400, 122)
    call("v2.13/tasks.edit", {"task": task, "script": {"entry_point": "a.py"}})
    call("v2.13/tasks.completed", {"task": task, "force": True})
    assert call("v2.13/tasks.set_requirements", {"task": task, "requirements": {"pip": "x"}}).data["updated"] == 1
    assert read(task)["script"] == {"entry_point": "a.py", "requirements": {"pip": "x"}}


def test_parameters_one_by_one(call: Calls, make: Calls) -> None:
    task = make()
    items = [{"section": section, "name": name, "value": "1"} for section in ("a", "b") for name in ("x", "y/z.$")]
    call("v2.13/tasks.edit_hyper_params", {"task": task, "hyperparams": items})
    (found,) = call("v2.13/tasks.get_hyper_params", {"tasks": [task]}).data["params"]
    assert [(item["section"], item["name"]) for item in found["hyperparams"]] == [(item["section"], item["name"]) for item in items]
    gone = {"task": task, "hyperparams": [{"section": "a", "name": "x"}, {"section": "b"}, {"section": "c"}]}
    assert call("v2.13/tasks.delete_hyper_params", gone).data["deleted"] == 3
    (found,) = call("v2.13/tasks.get_hyper_params", {"tasks": [task]}).data["params"]
    assert [item["name"] for item in found["hyperparams"]] == ["y/z.$"]


def test_configuration_objects_one_by_one(call: Calls, make: Calls) -> None:
    task = make()
    call("v2.13/tasks.edit_configuration", {"task": task, "configuration": [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]})
    call("v2.13/tasks.edit_configuration", {"task": task, "configuration": [{"name": "c", "value": "3", "type": "t"}]})
    (names,) = call("v2.13/tasks.get_configuration_names", {"tasks": [task]}).data["configurations"]
    assert names["names"] == ["a", "c"]
    (found,) = call("v2.13/tasks.get_configurations", {"tasks": [task], "names": ["c", "nothing"]}).data["configurations"]
    assert found["configuration"] == [{"name": "c", "value": "3", "type": "t"}]
    assert call("v2.13/tasks.delete_configuration", {"task": task, "configuration": ["a", "nothing"]}).data["deleted"] == 1
    replaced = {"task": task, "configuration": [{"name": "d", "value": "4"}], "replace_configuration": True}
    assert call("v2.13/tasks.edit_configuration", replaced).data["updated"] == 1
    (names,) = call("v2.13/tasks.get_configuration_names", {"tasks": [task]}).data["configurations"]
    assert names["names"] == ["d"]


def test_what_may_be_edited_when(call: Calls, make: Calls) -> None:
    task = make()
    call("v2.13/tasks.started", {"task": task})
    edits: list[tuple[str, dict[str, Any]]] = [
        ("tasks.edit_configuration", {"configuration": [{"name": "a", "value": "1"}]}),
        ("tasks.delete_hyper_params", {"hyperparams": [{"section": "a"}]}),
        ("tasks.delete_artifacts", {"artifacts": [{"key": "a"}]}),
        ("tasks.add_or_update_model", {"name": "m", "model": "x", "type": "output"}),
    ]

    def codes(**more: bool) -> list[tuple[int, int]]:
        return [call(f"v2.13/{endpoint}", {"task": task, **body, **more}).code for endpoint, body in edits]

    assert codes() == [(400, 110), (400, 110), (200, 0), (200, 0)]
    assert codes(force=True) == [(200, 0)] * 4
    call("v2.13/tasks.stopped", {"task": task})
    assert codes(force=True) == [(400, 110)] * 4
    properties = {"task": task, "hyperparams": [{"section": "properties", "name": "a"}]}
    assert call("v2.13/tasks.delete_hyper_params", properties).code == (200, 0)
    assert call("v2.13/tasks.update", {"task": task, "comment": "late", "tags": ["t"]}).data["updated"] == 1


def test_models_and_artifacts_come_and_go(call: Calls, make: Calls, read: Calls) -> None:
    task = make()
    for model in ("one", "two"):
        call("v2.13/tasks.add_or_update_model", {"task": task, "name": "m", "model": model, "type": "output", "iteration": 7})
    assert [model["model"] for model in read(task)["models"]["output"]] == ["two"]
    assert read(task)["last_iteration"] == 7
    call("v2.13/tasks.delete_models", {"task": task, "models": [{"type": "output", "name": "m"}]})
    assert read(task)["models"]["output"] == []
    artifacts = [{"key": "a", "type": "t", "mode": mode} for mode in ("input", "output")]
    call("v2.13/tasks.add_or_update_artifacts", {"task": task, "artifacts": artifacts})
    assert call("v2.13/tasks.delete_artifacts", {"task": task, "artifacts": [{"key": "a"}]}).data["deleted"] == 1
    assert [artifact["mode"] for artifact in read(task)["execution"]["artifacts"]] == ["input"]


# ---- lives


def test_a_clone_is_a_draft_without_what_the_run_left(call: Calls, make: Calls, read: Calls) -> None:
    source = make(
        "source", comment="c", tags=["t"], system_tags=["development", "mine"], output_dest="s3://x", runtime={"a": "b"},
        execution={"artifacts": [{"key": "i", "type": "t", "mode": "input"}, {"key": "o", "type": "t", "mode": "output"}], "queue": "q"},
        models={"input": [{"name": "i", "model": "x"}], "output": [{"name": "o", "model": "y"}]},
    )  # fmt: skip
    call("v2.13/tasks.started", {"task": source})
    clone = read(call("v2.13/tasks.clone", {"task": source, "new_task_name": "", "new_project_name": "new/project"}).data["id"])
    assert (clone["name"], clone["comment"], clone["tags"], clone["status"], clone["parent"]) == ("source", "c", ["t"], "created", source)
    assert (clone["system_tags"], clone["runtime"], clone["output"]) == (["mine"], {}, {"destination": "s3://x"})
    assert [artifact["key"] for artifact in clone["execution"]["artifacts"]] == ["i"]
    assert "queue" not in clone["execution"]
    assert (len(clone["models"]["input"]), clone["models"]["output"]) == (1, [])
    project = call("v2.13/projects.get_by_id", {"project": clone["project"]}).data["project"]
    assert project["name"] == "new/project"
    again = read(call("v2.13/tasks.clone", {"task": clone["id"], "new_task_name": "again", "new_task_parent": clone["id"]}).data["id"])
    assert (again["name"], again["parent"]) == ("again", clone["id"])
    assert call("v2.13/tasks.clone", {"task": "0" * 32}).code == (400, 101)


def test_deletion(server: RunningServer, call: Calls, make: Calls, read: Calls) -> None:
    task = make()
    child = make(parent=task)
    uri = f"{server.url}/p/n.{task}/x"
    call("v2.13/tasks.add_or_update_artifacts", {"task": task, "artifacts": [{"key": "a", "type": "t", "uri": uri}]})
    call("v2.13/tasks.started", {"task": task})
    assert call("v2.13/tasks.delete", {"task": task}).code == (400, 123)
    gone = call("v2.13/tasks.delete", {"task": task, "force": True, "return_file_urls": True}).data
    assert (gone["deleted"], gone["updated_children"], gone["urls"]["artifact_urls"]) == (True, 1, [uri])
    assert not (server.home / "tasks" / task).exists()
    assert call("v2.13/tasks.get_by_id", {"task": task}).code == (400, 101)
    assert "parent" not in read(child)
    assert call("v2.13/tasks.delete", {"task": task, "force": True}).code == (400, 101)
    server.restart()
    assert [found["id"] for found in call("v2.13/tasks.get_all", {"only_fields": ["id"]}).data["tasks"]] == [child]


def test_stopping(call: Calls, make: Calls, read: Calls) -> None:
    development, worker = make(system_tags=["development"]), make()
    for task in (development, worker):
        call("v2.13/tasks.started", {"task": task})
        assert call("v2.13/tasks.stop", {"task": task, "status_reason": "why"}).data["updated"] == 1
    assert (read(development)["status"], read(development)["status_reason"]) == ("stopped", "why")
    # One that runs on a worker is told so; it stops itself.
    assert (read(worker)["status"], read(worker)["status_message"]) == ("in_progress", "stopping")


def test_the_archive(call: Calls, make: Calls, read: Calls) -> None:
    task = make(system_tags=["mine"])
    assert call("v2.13/tasks.archive", {"tasks": [task]}).data["archived"] == 1
    assert read(task)["system_tags"] == ["mine", "archived"]
    answer = call("v2.23/tasks.unarchive_many", {"ids": [task, "0" * 32]}).data
    assert answer["succeeded"] == [{"id": task, "unarchived": True}]
    assert [each["id"] for each in answer["failed"]] == ["0" * 32]
    assert read(task)["system_tags"] == ["mine"]


# ---- lists


def test_lists_with_other_documents_in_them(call: Calls, make: Calls) -> None:
    project = call("v2.13/projects.create", {"name": "parent/child"}).data["id"]
    task = make("one", project=project)
    make("two", parent=task)
    found = call("v2.13/tasks.get_all_ex", {"only_fields": ["name", "project.name", "parent.name", "status"], "order_by": ["name"]}).data[
        "tasks"
    ]
    assert found[0] == {"id": task, "name": "one", "project": {"id": project, "name": "parent/child"}, "status": "created"}
    assert found[1]["parent"] == {"id": task, "name": "one"}
    (listed,) = call("v2.13/projects.get_all_ex", {"id": [project], "include_stats": True}).data["projects"]
    assert listed["stats"]["active"] == {"status_count": {"created": 1}, "total_tasks": 1}
    call("v2.13/projects.update", {"project": project, "description": "d", "default_output_destination": "s3://x"})
    assert call("v2.13/projects.get_by_id", {"project": project}).data["project"]["default_output_destination"] == "s3://x"
    assert call("v2.13/projects.update", {"project": "0" * 32}).code == (400, 401)
    assert call("v2.13/models.get_all", {"task": [task]}).data == {"models": []}


def test_who_is_asked_about_is_the_user_of_the_home(call: Calls) -> None:
    user = call("v2.13/users.get_current_user").data["user"]
    assert (user["id"], user["company"]["id"]) == ("local", "local")
    assert [found["id"] for found in call("v2.13/users.get_all_ex").data["users"]] == ["local"]
    assert call("server.info").data["build"] == "atrains"


def test_tags_are_added_and_taken_away(call: Calls, make: Calls, read: Calls) -> None:
    one, other = make(tags=["a", "b"]), make()
    asked = {"ids": [one, other, one], "add_tags": ["c", "a"], "remove_tags": ["b"]}
    assert call("v2.27/tasks.update_tags", asked).data == {"updated": 2}
    assert (read(one)["tags"], read(other)["tags"]) == (["a", "c"], ["c", "a"])
    assert call("v2.13/tasks.update_tags", asked).code == (404, 0)
    assert call("v2.27/tasks.update_tags", {"ids": [one, "0" * 32], "add_tags": ["d"]}).code == (400, 101)
    assert read(one)["tags"] == ["a", "c"]


def test_a_last_iteration_that_was_set_outlives_the_index(server: RunningServer, call: Calls, make: Calls, read: Calls) -> None:
    def report(iteration: int) -> None:
        event = {"type": "training_stats_scalar", "task": task, "metric": "m", "variant": "v", "value": 1.0, "iter": iteration}
        assert call("v2.13/events.add_batch", event).data["added"] == 1

    def after_rebuilding() -> int:
        server.stop()
        for file in server.home.glob("index.db*"):
            file.unlink()
        server.restart()
        return int(read(task)["last_iteration"])

    task = make()
    report(50)
    changed = call("v2.13/tasks.edit", {"task": task, "force": True, "last_iteration": 10}).data
    assert (changed["updated"], changed["fields"]["last_iteration"]) == (1, 10)
    assert (read(task)["last_iteration"], after_rebuilding()) == (10, 10)
    report(12)
    assert (read(task)["last_iteration"], after_rebuilding()) == (12, 12)
    assert "iteration_set" not in read(task)
    assert "iteration_set" not in call("v2.13/tasks.get_all", {"id": [task]}).data["tasks"][0]
    assert call("v2.13/tasks.edit", {"task": task, "last_iteration": "10"}).code == (400, 12)
    call("v2.13/tasks.reset", {"task": task, "force": True})
    assert (read(task).get("last_iteration"), after_rebuilding()) == (0, 0)


def test_files_in_a_folder_that_goes_are_not_kept(server: RunningServer, call: Calls, make: Calls, read: Calls) -> None:
    task = make()
    (server.home / "tasks" / task / "files" / "deep").mkdir(parents=True)
    assert "in its folder" not in str(read(task))
    (server.home / "tasks" / task / "files" / "deep" / "file").write_text("x")
    asked = {"task": task, "delete_external_artifacts": False}
    assert call("v2.23/tasks.delete", asked).code == (400, 12)
    assert (server.home / "tasks" / task / "files" / "deep" / "file").exists()
    assert call("v2.23/tasks.delete", {**asked, "delete_external_artifacts": True}).data["deleted"] is True
