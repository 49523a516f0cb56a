"""What every home answers about projects and tasks: the server's fields, guards and error codes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import ServerError

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
STATUS_CALLS = {
    "in_progress": endpoints.TASKS_STARTED,
    "stopped": endpoints.TASKS_STOPPED,
    "completed": endpoints.TASKS_COMPLETED,
    "failed": endpoints.TASKS_FAILED,
    "published": endpoints.TASKS_PUBLISH,
}
WAY_TO = {
    "created": (),
    "in_progress": ("in_progress",),
    "stopped": ("in_progress", "stopped"),
    "completed": ("in_progress", "completed"),
    "failed": ("in_progress", "failed"),
    "published": ("in_progress", "completed", "published"),
}
REACHABLE = {
    "created": {"in_progress"},
    "in_progress": {"in_progress", "stopped", "completed", "failed"},
    "stopped": {"in_progress", "stopped", "completed", "failed", "published"},
    "completed": {"in_progress", "completed", "published"},
    "failed": {"stopped", "failed", "published"},
    "published": set[str](),
}


async def new_task(transport: Transport, name: str = "a task", **fields: Any) -> str:
    answer = await transport.call(endpoints.TASKS_CREATE, {"name": name, "type": "training", **fields})
    task: str = answer["id"]
    return task


async def task_in(transport: Transport, status: str) -> str:
    task = await new_task(transport)
    for step in WAY_TO[status]:
        await transport.call(STATUS_CALLS[step], {"task": task})
    return task


async def record_of(transport: Transport, task: str) -> dict[str, Any]:
    answer = await transport.call(endpoints.TASKS_GET_BY_ID, {"task": task})
    record: dict[str, Any] = answer["task"]
    return record


async def names_of(transport: Transport, **query: Any) -> list[str]:
    answer = await transport.call(endpoints.TASKS_GET_ALL, query)
    return [task["name"] for task in answer["tasks"]]


async def test_a_nested_project_brings_its_parents_and_is_found_by_name(transport: Transport) -> None:
    project = (await transport.call(endpoints.PROJECTS_CREATE, {"name": "vision/cats/small", "description": "why"}))["id"]
    found = (await transport.call(endpoints.PROJECTS_GET_ALL, {"name": "^vision", "only_fields": ["name", "parent"]}))["projects"]
    assert [entry["name"] for entry in found] == ["vision", "vision/cats", "vision/cats/small"]
    assert [entry.get("parent") for entry in found] == [None, found[0]["id"], found[1]["id"]]
    assert found[2]["id"] == project
    whole = (await transport.call(endpoints.PROJECTS_GET_BY_ID, {"project": project}))["project"]
    assert (whole["basename"], whole["description"]) == ("small", "why")
    assert DATE.fullmatch(whole["created"])


async def test_project_names_match_as_unanchored_case_sensitive_patterns(transport: Transport) -> None:
    for name in ("Alpha", "alphabet", "beta"):
        await transport.call(endpoints.PROJECTS_CREATE, {"name": name})

    async def found(**query: Any) -> list[str]:
        return [project["name"] for project in (await transport.call(endpoints.PROJECTS_GET_ALL, query))["projects"]]

    assert await found(name="alpha") == ["alphabet"]
    assert await found(name="bet") == ["alphabet", "beta"]
    assert await found(name="^beta$") == ["beta"]
    assert await found(page=1, page_size=2) == ["beta"]


async def test_a_new_task_has_the_documented_record(transport: Transport) -> None:
    project = (await transport.call(endpoints.PROJECTS_CREATE, {"name": "one"}))["id"]
    ignored = {"id": "not/an id", "status": "failed", "extra": 1}
    task = await new_task(transport, " spaced ", project=project, comment="hello", system_tags=["development"], **ignored)
    assert re.fullmatch("[0-9a-f]{32}", task)
    record = await record_of(transport, task)
    assert record["id"] == task
    assert (record["name"], record["type"], record["status"], record["comment"]) == ("spaced", "training", "created", "hello")
    assert (record["project"], record["system_tags"], record["tags"]) == (project, ["development"], [])
    assert (record["last_iteration"], record["last_metrics"], record["hyperparams"]) == (0, {}, {})
    assert all(DATE.fullmatch(record[name]) for name in ("created", "last_update", "status_changed"))
    assert not {"started", "completed", "published", "extra", "project_name"} & set(record)


async def test_a_home_says_whether_a_new_task_gets_the_id_that_it_is_given(transport: Transport) -> None:
    keeps = await transport.keeps_task_ids()
    assert keeps, "both homes of ours do"
    for wished in ("Nightly_2024-11", "0f3a" * 8):
        assert await new_task(transport, "a task", id=wished) == wished
        assert await new_task(transport, "a task", id=wished) != wished, "it has been given"


@pytest.mark.parametrize(
    ("endpoint", "request_", "code", "subcode"),
    [
        (endpoints.TASKS_GET_BY_ID, {"task": "0" * 32}, 400, 101),
        (endpoints.TASKS_GET_BY_ID, {"task": "../../etc"}, 400, 101),
        (endpoints.TASKS_GET_BY_ID, {}, 400, 12),
        (endpoints.TASKS_GET_BY_ID, {"task": 7}, 400, 12),
        (endpoints.TASKS_CREATE, {"name": "ab", "type": "training"}, 400, 800),
        (endpoints.TASKS_CREATE, {"name": "   ab ", "type": "training"}, 400, 800),
        (endpoints.TASKS_CREATE, {"type": "training"}, 400, 12),
        (endpoints.TASKS_CREATE, {"name": "task"}, 400, 12),
        (endpoints.TASKS_CREATE, {"name": "task", "type": "walking"}, 400, 12),
        (endpoints.TASKS_CREATE, {"name": "task", "type": "training", "project": "none"}, 400, 16),
        (endpoints.TASKS_CREATE, {"name": "task", "type": "training", "parent": "none"}, 400, 101),
        (endpoints.TASKS_CREATE, {"name": "task", "type": "training", "hyperparams": {"Args": {"lr": {"value": 1}}}}, 400, 800),
        (endpoints.TASKS_CREATE, {"name": "task", "type": "training", "tags": "red"}, 400, 12),
        (endpoints.TASKS_EDIT, {"task": "0" * 32, "comment": "x"}, 400, 101),
        (endpoints.TASKS_STARTED, {"task": "0" * 32}, 400, 101),
        (endpoints.TASKS_RESET, {"task": "0" * 32}, 400, 101),
        (endpoints.TASKS_GET_ALL, {"name": "("}, 400, 21),
        (endpoints.TASKS_GET_ALL, {"only_fields": ["nonsense"]}, 400, 14),
        (endpoints.TASKS_GET_ALL, {"order_by": ["-nonsense"]}, 400, 14),
        (endpoints.TASKS_GET_ALL, {"id": "one"}, 400, 12),
        (endpoints.PROJECTS_GET_BY_ID, {"project": "none"}, 400, 401),
        (endpoints.PROJECTS_CREATE, {"name": "ab"}, 400, 800),
        (endpoints.PROJECTS_CREATE, {"name": "fine/no"}, 400, 800),
        (endpoints.PROJECTS_CREATE, {"name": "/".join(["deep"] * 11)}, 400, 409),
        (endpoints.PROJECTS_CREATE, {}, 400, 12),
        (endpoints.PROJECTS_GET_ALL, {"name": "["}, 400, 21),
        (endpoints.EVENTS_GET_TASK_LOG, {"task": "0" * 32}, 400, 101),
        (endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": "0" * 32}, 400, 101),
        (endpoints.EVENTS_SINGLE_VALUES, {"tasks": ["0" * 32]}, 400, 101),
        (endpoints.EVENTS_SINGLE_VALUES, {}, 400, 12),
        (Endpoint("tasks.fly"), {}, 404, 0),
    ],
)
async def test_bad_requests_get_the_servers_codes(
    transport: Transport, endpoint: Endpoint, request_: dict[str, Any], code: int, subcode: int
) -> None:
    with pytest.raises(ServerError) as caught:
        await transport.call(endpoint, request_)
    assert (caught.value.code, caught.value.subcode, caught.value.endpoint) == (code, subcode, endpoint.name)
    assert len(str(caught.value)) > 15


async def test_a_project_name_can_be_taken_once(transport: Transport) -> None:
    answers = await asyncio.gather(*(transport.call(endpoints.PROJECTS_CREATE, {"name": "same"}) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert {answer.subcode for answer in answers if isinstance(answer, ServerError)} == {801}


async def test_tasks_are_filtered_ordered_and_paged(transport: Transport) -> None:
    project = (await transport.call(endpoints.PROJECTS_CREATE, {"name": "home"}))["id"]
    first = await new_task(transport, "first run", project=project, tags=["red"], system_tags=["development"])
    second = await new_task(transport, "Second run", tags=["red", "blue"], parent=first)
    third = await new_task(transport, "third", type="testing", comment="about runs")
    await transport.call(endpoints.TASKS_STARTED, {"task": second})

    assert await names_of(transport) == ["first run", "Second run", "third"]
    assert await names_of(transport, id=[third, "0" * 32, first]) == ["first run", "third"]
    assert await names_of(transport, name="run") == ["first run", "Second run"]
    assert await names_of(transport, name="second") == []
    assert await names_of(transport, name="^third$") == ["third"]
    assert await names_of(transport, project=[project]) == ["first run"]
    assert await names_of(transport, project=[f"-{project}"]) == ["Second run", "third"]
    assert await names_of(transport, status=["in_progress", "failed"]) == ["Second run"]
    assert await names_of(transport, status=["unheard-of"]) == []
    assert await names_of(transport, type=["testing"]) == ["third"]
    assert await names_of(transport, parent=first) == ["Second run"]
    assert await names_of(transport, tags=["red"]) == ["first run", "Second run"]
    assert await names_of(transport, tags=["red", "-blue"]) == ["first run"]
    assert await names_of(transport, tags=["__$all", "red", "blue"]) == ["Second run"]
    assert await names_of(transport, system_tags=["-development"]) == ["Second run", "third"]
    assert await names_of(transport, _any_={"pattern": "SECOND|about", "fields": ["name", "comment"]}) == ["Second run", "third"]
    assert await names_of(transport, last_update=[">=2020-01-01T00:00:00"], created=["<2020-01-01T00:00:00"]) == []
    assert await names_of(transport, order_by=["-name"]) == ["third", "first run", "Second run"]
    assert await names_of(transport, order_by=["-last_update"], page=0, page_size=1) == ["Second run"]
    assert await names_of(transport, order_by=["created"], page=1, page_size=2) == ["third"]


async def test_only_fields_reach_into_documents_and_always_bring_the_id(transport: Transport) -> None:
    hyperparams = {"Args": {"lr": {"section": "Args", "name": "lr", "value": "0.1"}}}
    task = await new_task(transport, hyperparams=hyperparams, script={"branch": "main", "diff": "long"})
    query = {"id": [task], "only_fields": ["status", "script.branch", "hyperparams.Args.lr.value", "execution.queue", "last_iteration"]}
    (found,) = (await transport.call(endpoints.TASKS_GET_ALL, query))["tasks"]
    assert found.pop("hyperparams") == {"Args": {"lr": {"value": "0.1"}}}
    assert found == {"id": task, "status": "created", "script": {"branch": "main"}, "last_iteration": 0}
    whole = (await transport.call(endpoints.TASKS_GET_ALL, {"id": [task]}))["tasks"]
    assert whole == [await record_of(transport, task)]


async def test_an_answer_holds_at_most_500_tasks(transport: Transport) -> None:
    await asyncio.gather(*(new_task(transport) for _ in range(503)))
    assert len(await names_of(transport)) == 500
    assert len(await names_of(transport, page=0, page_size=900)) == 500
    assert len(await names_of(transport, page=1, page_size=500)) == 3


async def test_edit_merges_documents_and_replaces_maps_and_lists(transport: Transport) -> None:
    task = await new_task(
        transport, script={"branch": "main", "diff": "d"}, execution={"model_labels": {"cat": 1}, "queue": "q"},
        hyperparams={"Args": {"a": {"value": "1"}}}, tags=["old"],
    )  # fmt: skip
    answer = await transport.call(
        endpoints.TASKS_EDIT,
        {
            "task": task, "name": "renamed", "script": {"diff": ""}, "execution": {"model_labels": {"dog": 2}}, "comment": None,
            "hyperparams": {"General": {}}, "tags": ["new"], "output_dest": "s3://bucket", "models": {"input": [{"model": "m"}]},
        },
    )  # fmt: skip
    assert answer["updated"] == 1
    assert answer["fields"]["name"] == "renamed"
    record = await record_of(transport, task)
    assert record["script"] == {"branch": "main", "diff": ""}
    assert record["execution"] == {"artifacts": [], "model_labels": {"dog": 2}, "queue": "q"}
    assert (record["hyperparams"], record["tags"], record["comment"]) == ({"General": {}}, ["new"], "")
    assert record["output"] == {"destination": "s3://bucket"}
    assert record["models"] == {"input": [{"model": "m"}], "output": []}
    assert record["last_update"] > record["created"]


GUARDED: dict[str, tuple[Endpoint, dict[str, Any]]] = {
    "edit": (endpoints.TASKS_EDIT, {"comment": "x"}),
    "hyperparams": (endpoints.TASKS_EDIT_HYPER_PARAMS, {"hyperparams": [{"section": "Args", "name": "a", "value": "1"}]}),
    "properties": (endpoints.TASKS_EDIT_HYPER_PARAMS, {"hyperparams": [{"section": "Properties", "name": "a", "value": "1"}]}),
    "artifacts": (endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, {"artifacts": [{"key": "a", "type": "custom"}]}),
}
ACCEPTED = {
    ("edit", "created"): {False, True}, ("edit", "in_progress"): {True}, ("edit", "completed"): {True}, ("edit", "published"): {True},
    ("hyperparams", "created"): {False, True}, ("hyperparams", "in_progress"): {True}, ("hyperparams", "completed"): set(),
    ("properties", "in_progress"): {False, True}, ("properties", "completed"): {False, True}, ("properties", "published"): {False, True},
    ("artifacts", "created"): {False, True}, ("artifacts", "in_progress"): {False, True}, ("artifacts", "completed"): set(),
    ("artifacts", "failed"): set(), ("edit", "stopped"): {True},
}  # fmt: skip


@pytest.mark.parametrize(("what", "status"), sorted(ACCEPTED))
async def test_what_may_be_written_in_which_status(transport: Transport, what: str, status: str) -> None:
    task = await task_in(transport, status)
    endpoint, fields = GUARDED[what]
    for force in (False, True):
        if force in ACCEPTED[what, status]:
            assert (await transport.call(endpoint, {"task": task, "force": force, **fields}))["updated"] == 1
        else:
            with pytest.raises(ServerError, match=f"current_status={status}") as caught:
                await transport.call(endpoint, {"task": task, "force": force, **fields})
            assert (caught.value.code, caught.value.subcode) == (400, 110)


async def test_hyperparameters_are_merged_or_replaced_as_asked(transport: Transport) -> None:
    task = await new_task(transport)

    async def send(replace: str, *items: tuple[str, str, str]) -> dict[str, dict[str, str]]:
        params = [{"section": section, "name": name, "value": value, "type": "int"} for section, name, value in items]
        await transport.call(endpoints.TASKS_EDIT_HYPER_PARAMS, {"task": task, "hyperparams": params, "replace_hyperparams": replace})
        held = (await record_of(transport, task))["hyperparams"]
        return {section: {name: item["value"] for name, item in items.items()} for section, items in held.items()}

    assert await send("none", ("Args", "a.b/c$", "1"), ("General", "x", "2")) == {"Args": {"a.b/c$": "1"}, "General": {"x": "2"}}
    assert await send("none", ("Args", "d", "3")) == {"Args": {"a.b/c$": "1", "d": "3"}, "General": {"x": "2"}}
    assert await send("section", ("Args", "e", "4")) == {"Args": {"e": "4"}, "General": {"x": "2"}}
    assert await send("all", ("New", "f", "")) == {"New": {"f": ""}}
    good = {"section": "A", "name": "a", "value": "1"}
    for bad in ([], ["A/a"], [{**good, "section": ""}], [{**good, "value": 1}], [{**good, "value": None}]):
        with pytest.raises(ServerError) as caught:
            await transport.call(endpoints.TASKS_EDIT_HYPER_PARAMS, {"task": task, "hyperparams": bad})
        assert caught.value.subcode == 12


async def test_artifacts_are_known_by_key_and_mode(transport: Transport) -> None:
    task = await new_task(transport)

    async def send(*artifacts: dict[str, Any]) -> list[tuple[str, str, str]]:
        await transport.call(endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, {"task": task, "artifacts": list(artifacts), "force": True})
        held = (await record_of(transport, task))["execution"]["artifacts"]
        return [(artifact["key"], artifact["mode"], artifact["uri"]) for artifact in held]

    await send({"key": "b", "type": "t", "uri": "1"}, {"key": "a", "type": "t", "uri": "2", "mode": "input"})
    assert await send({"key": "a", "type": "t", "uri": "3"}) == [("a", "input", "2"), ("a", "output", "3"), ("b", "output", "1")]
    assert await send({"key": "b", "type": "t", "uri": "4"}) == [("a", "input", "2"), ("a", "output", "3"), ("b", "output", "4")]
    with pytest.raises(ServerError) as caught:
        await send({"key": "c"})
    assert caught.value.subcode == 12


@pytest.mark.parametrize("target", sorted(STATUS_CALLS))
@pytest.mark.parametrize("status", sorted(WAY_TO))
async def test_status_changes_as_the_server_allows_them(transport: Transport, status: str, target: str) -> None:
    task = await task_in(transport, status)
    request = {"task": task, "status_reason": "because", "status_message": "so"}
    if target in REACHABLE[status]:
        answer = await transport.call(STATUS_CALLS[target], request)
    else:
        with pytest.raises(ServerError, match=f"current_status={status}, new_status={target}") as caught:
            await transport.call(STATUS_CALLS[target], request)
        assert (caught.value.code, caught.value.subcode) == (400, 110)
        answer = await transport.call(STATUS_CALLS[target], {**request, "force": True})
    assert answer["updated"] == 1
    record = await record_of(transport, task)
    assert record.items() >= answer["fields"].items()
    assert (record["status"], record["status_reason"], record["status_message"]) == (target, "because", "so")


async def test_dates_follow_the_run(transport: Transport) -> None:
    task = await task_in(transport, "stopped")
    stopped = await record_of(transport, task)
    assert stopped["created"] <= stopped["started"] <= stopped["completed"] == stopped["status_changed"]
    await transport.call(endpoints.TASKS_STARTED, {"task": task})
    again = await record_of(transport, task)
    assert again["started"] == stopped["started"]
    assert "completed" not in again
    answer = await transport.call(endpoints.TASKS_COMPLETED, {"task": task, "publish": True})
    assert (answer["fields"]["status"], answer["published"]) == ("published", 1)
    published = await record_of(transport, task)
    assert published["started"] < published["completed"] <= published["published"]


async def test_a_ping_moves_last_update_and_never_fails(transport: Transport) -> None:
    task = await new_task(transport)
    before = (await record_of(transport, task))["last_update"]
    assert await transport.call(endpoints.TASKS_PING, {"task": task}) == {}
    assert (await record_of(transport, task))["last_update"] > before
    assert await transport.call(endpoints.TASKS_PING, {"task": "0" * 32}) == {}


async def test_of_many_that_publish_at_once_one_succeeds(transport: Transport) -> None:
    task = await task_in(transport, "completed")
    answers = await asyncio.gather(*(transport.call(endpoints.TASKS_PUBLISH, {"task": task}) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert {answer.subcode for answer in answers if isinstance(answer, ServerError)} == {110}


async def test_edits_at_once_lose_nothing(transport: Transport) -> None:
    task = await new_task(transport)
    await asyncio.gather(
        *(
            transport.call(
                endpoints.TASKS_EDIT_HYPER_PARAMS, {"task": task, "hyperparams": [{"section": "Args", "name": f"p{number}", "value": "1"}]}
            )
            for number in range(40)
        )
    )
    assert len((await record_of(transport, task))["hyperparams"]["Args"]) == 40
