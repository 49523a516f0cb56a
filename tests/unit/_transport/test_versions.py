"""One API for servers of any age: the version that is asked for, and what stands in for calls that a server does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from atrains._transport.answers import parse_version, read_claims, requested_version, retry_after
from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import SINGLE_VALUE_ITERATION
from atrains.errors import ServerError
from tests.api_server import ApiServer, envelope

Make = Callable[..., HttpTransport]


@pytest.mark.parametrize(
    ("server", "since", "asked"),
    [
        ((2, 31), (2, 1), (2, 13)),
        ((2, 13), (2, 1), (2, 13)),
        ((2, 31), (2, 20), (2, 20)),
        ((2, 12), (2, 1), (2, 9)),
        ((2, 12), (2, 10), (2, 10)),
        ((2, 9), (2, 9), (2, 9)),
        ((2, 8), (2, 1), (2, 8)),
        ((2, 5), (2, 2), (2, 5)),
        ((3, 0), (2, 9), (2, 13)),
    ],
)
def test_the_version_that_is_asked_for(server: tuple[int, int], since: tuple[int, int], asked: tuple[int, int]) -> None:
    assert requested_version(server, since) == asked


@pytest.mark.parametrize(
    ("text", "version"), [("2.13", (2, 13)), ("2.9", (2, 9)), ("2.31.1", (2, 31)), ("2", None), (None, None), ("x.y", None)]
)
def test_versions_are_numbers_not_text(text: object, version: object) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "....", "\x00", "eyJ.eyJ.x"])
def test_any_token_is_tolerated(token: str) -> None:
    assert read_claims(token).api_version == (2, 9)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("5", 5.0), ("-3", 0.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0), ("soon", None), ("nan", 0.0)]
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=10.0) == seconds


async def test_a_version_can_be_forced(server: ApiServer, connect: Make) -> None:
    server.handlers["tasks.get_by_id"] = lambda *_: {"task": {}}
    await connect(server.url, CLEARML_FORCE_MAX_API_VERSION="2.9").call(endpoints.TASKS_GET_BY_ID, {"task": "t"})
    assert server.paths()[-1] == "/v2.9/tasks.get_by_id"


async def test_a_call_that_the_server_does_not_have_says_which_version_it_needs(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.9"
    with pytest.raises(ServerError, match=r"has no reports\.get: it speaks API 2\.9, the call came with 2\.16") as caught:
        await transport.call(Endpoint("reports.get", since=(2, 16)), {})
    assert (caught.value.code, caught.value.subcode) == (404, 0)
    assert server.paths() == ["/auth.login"]


async def test_publishing_with_completed_is_asked_for_by_its_version(server: ApiServer, transport: HttpTransport) -> None:
    server.handlers["tasks.completed"] = lambda *_: {"updated": 1}
    await transport.call(endpoints.TASKS_COMPLETED, {"task": "t"})
    await transport.call(endpoints.TASKS_COMPLETED, {"task": "t", "publish": True})
    assert server.paths()[1:] == ["/v2.13/tasks.completed", "/v2.20/tasks.completed"]


async def test_before_2_20_completed_and_published_are_two_calls(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.13"
    server.handlers |= {
        "tasks.completed": lambda *_: {"updated": 1},
        "tasks.publish": lambda *_: {"updated": 1, "fields": {"status": "published"}},
    }
    answer = await transport.call(endpoints.TASKS_COMPLETED, {"task": "t", "publish": True, "status_reason": "done", "force": True})
    assert answer["fields"]["status"] == "published"
    assert [(sent.path, sent.json) for sent in server.sent[1:]] == [
        ("/v2.13/tasks.completed", {"task": "t", "status_reason": "done", "force": True}),
        ("/v2.13/tasks.publish", {"task": "t", "status_reason": "done", "force": True}),
    ]


class Old:
    """The task of a server before 2.10: `tasks.edit` replaces `execution` whole."""

    def __init__(self, server: ApiServer, version: str) -> None:
        server.api_version = version
        self.execution: dict[str, Any] = {"queue": "q", "artifacts": [{"key": "a", "mode": "input", "type": "t", "uri": "1"}]}
        self.forced: list[object] = []
        server.handlers["tasks.get_by_id"] = lambda *_: {"task": {"id": "t", "execution": self.execution}}
        server.handlers["tasks.get_all"] = lambda *_: {"tasks": [{"id": "t", "execution": self.execution}]}
        server.handlers["tasks.edit"] = self.edit

    def edit(self, _: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        self.execution = asked["execution"]
        self.forced.append(asked.get("force"))
        return {"updated": 1}


async def test_before_2_10_artifacts_are_merged_into_the_whole_list(server: ApiServer, transport: HttpTransport) -> None:
    old = Old(server, "2.9")
    for artifacts in (
        [{"key": "a", "type": "t", "uri": "2"}],
        [{"key": "a", "type": "t", "uri": "3", "mode": "input"}, {"key": "b", "type": "t"}],
    ):
        assert await transport.call(endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, {"task": "t", "artifacts": artifacts}) == {"updated": 1}
    assert old.execution == {
        "queue": "q",
        "artifacts": [
            {"key": "a", "mode": "input", "type": "t", "uri": "3"},
            {"key": "a", "mode": "output", "type": "t", "uri": "2"},
            {"key": "b", "mode": "output", "type": "t"},
        ],
    }
    assert old.forced == [True, True]


async def test_before_2_9_parameters_are_flat(server: ApiServer, transport: HttpTransport) -> None:
    old = Old(server, "2.8")

    async def send(replace: str | None, *items: tuple[str, str, str]) -> dict[str, dict[str, str]]:
        sent = [{"section": section, "name": name, "value": value, "type": "int"} for section, name, value in items]
        await transport.call(endpoints.TASKS_EDIT_HYPER_PARAMS, {"task": "t", "hyperparams": sent, "replace_hyperparams": replace})
        for endpoint, request in ((endpoints.TASKS_GET_BY_ID, {"task": "t"}), (endpoints.TASKS_GET_ALL, {"id": ["t"]})):
            answer = await transport.call(endpoint, request)
            record = answer.get("task") or answer["tasks"][0]
        held = record["hyperparams"]
        return {section: {name: item["value"] for name, item in items.items()} for section, items in held.items()}

    assert await send(None, ("General", "lr", "1"), ("Args", "deep/er", "2")) == {"General": {"lr": "1"}, "Args": {"deep/er": "2"}}
    assert old.execution["parameters"] == {"lr": "1", "Args/deep/er": "2"}
    assert old.execution["queue"] == "q"
    assert await send("section", ("Args", "x", "3")) == {"General": {"lr": "1"}, "Args": {"x": "3"}}
    assert await send("none", ("General", "a/b", "4")) == {"General": {"lr": "1", "a/b": "4"}, "Args": {"x": "3"}}
    assert await send("all", ("New", "y", "5")) == {"New": {"y": "5"}}
    assert {sent.path.split("/")[1] for sent in server.sent[1:]} == {"v2.8"}


async def test_before_2_10_configurations_are_merged_into_the_whole_map(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.9"
    held: dict[str, Any] = {"A": {"name": "A", "value": "1", "type": "t"}, "B": {"name": "B", "value": "2"}}
    server.handlers["tasks.get_by_id"] = lambda *_: {"task": {"id": "t", "configuration": held}}
    server.handlers["tasks.edit"] = lambda *_: {"updated": 1}
    request = {"task": "t", "configuration": [{"name": "B", "value": "3"}], "replace_configuration": False, "force": True}
    assert await transport.call(endpoints.TASKS_EDIT_CONFIGURATION, request) == {"updated": 1}
    await transport.call(endpoints.TASKS_EDIT_CONFIGURATION, {**request, "replace_configuration": True})
    assert [(sent.path, sent.json) for sent in server.sent[1:] if sent.path.endswith("edit")] == [
        ("/v2.9/tasks.edit", {"task": "t", "configuration": {"A": held["A"], "B": {"name": "B", "value": "3"}}, "force": True}),
        ("/v2.9/tasks.edit", {"task": "t", "configuration": {"B": {"name": "B", "value": "3"}}, "force": True}),
    ]


async def test_since_2_10_the_server_merges_configurations(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.10"
    server.handlers["tasks.edit_configuration"] = lambda *_: {"updated": 1}
    await transport.call(endpoints.TASKS_EDIT_CONFIGURATION, {"task": "t", "configuration": [{"name": "A", "value": "1"}]})
    assert server.paths()[1:] == ["/v2.9/tasks.edit_configuration"]


async def test_before_2_9_the_one_configuration_is_the_design(server: ApiServer, transport: HttpTransport) -> None:
    old = Old(server, "2.8")
    request = {"task": "t", "configuration": [{"name": "General", "value": "a = 1", "type": "dictionary"}], "force": True}
    assert await transport.call(endpoints.TASKS_EDIT_CONFIGURATION, request) == {"updated": 1}
    assert old.execution["model_desc"] == {"design": "a = 1"}
    assert (old.execution["queue"], old.forced) == ("q", [True])
    record = (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": "t"}))["task"]
    assert record["configuration"] == {"General": {"name": "General", "value": "a = 1"}}
    old.execution["model_desc"] = {"prototxt": "b = 2"}
    record = (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": "t"}))["task"]
    assert record["configuration"]["General"]["value"] == "b = 2"
    with pytest.raises(ServerError, match=r"no configuration 'other', only 'General'") as caught:
        await transport.call(endpoints.TASKS_EDIT_CONFIGURATION, {**request, "configuration": [{"name": "other", "value": ""}]})
    assert (caught.value.code, caught.value.subcode) == (400, 12)


async def test_before_2_9_parameters_are_deleted_from_the_flat_ones(server: ApiServer, transport: HttpTransport) -> None:
    old = Old(server, "2.8")
    old.execution["parameters"] = {"lr": "1", "General/a/b": "2", "Args/x": "3", "Args/y": "4"}

    async def delete(*items: tuple[str, str | None]) -> dict[str, str]:
        sent = [{"section": section, **({} if name is None else {"name": name})} for section, name in items]
        await transport.call(endpoints.TASKS_DELETE_HYPER_PARAMS, {"task": "t", "hyperparams": sent, "force": True})
        found: dict[str, str] = old.execution["parameters"]
        return found

    assert await delete(("General", "a/b"), ("Args", "x")) == {"lr": "1", "Args/y": "4"}
    assert await delete(("Args", None)) == {"lr": "1"}
    assert old.execution["queue"] == "q"


async def test_at_2_9_parameters_of_a_running_task_are_written_whole(server: ApiServer, transport: HttpTransport) -> None:
    """Its own calls for that refuse a task that runs."""
    server.api_version = "2.9"
    record: dict[str, Any] = {"id": "t", "hyperparams": {"Args": {"x": {"section": "Args", "name": "x", "value": "1"}}}}
    server.handlers["tasks.get_by_id"] = lambda *_: {"task": record}

    def edit(_: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["force"] is True
        record["hyperparams"] = asked["hyperparams"]
        return {"updated": 1}

    server.handlers["tasks.edit"] = edit
    item = {"section": "General", "name": "a/b", "value": "2", "type": "int"}
    await transport.call(endpoints.TASKS_EDIT_HYPER_PARAMS, {"task": "t", "hyperparams": [item], "force": True})
    assert record["hyperparams"] == {"Args": {"x": {"section": "Args", "name": "x", "value": "1"}}, "General": {"a/b": item}}
    await transport.call(
        endpoints.TASKS_DELETE_HYPER_PARAMS, {"task": "t", "hyperparams": [{"section": "Args", "name": "x"}], "force": True}
    )
    assert record["hyperparams"] == {"General": {"a/b": item}}
    assert not [path for path in server.paths() if "hyper_params" in path]


async def test_before_2_20_single_values_are_found_among_the_points(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.13"
    pages = {
        None: [{"metric": "loss", "variant": "train", "iter": 1, "value": 9, "timestamp": 1}],
        "p1": [
            {"metric": "Summary", "variant": "best", "iter": SINGLE_VALUE_ITERATION, "value": 0.5, "timestamp": 2000},
            {"metric": "Summary", "variant": "acc", "iter": SINGLE_VALUE_ITERATION, "value": 1, "timestamp": 3000},
        ],
        "p2": [],
    }
    following = {None: "p1", "p1": "p2", "p2": "p2"}

    def events(_: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["event_type"] == "training_stats_scalar"
        page = asked.get("scroll_id") if asked["task"] == "t" else "p2"
        return {"events": pages[page], "scroll_id": following[page], "returned": len(pages[page]), "total": 3}

    server.handlers["events.get_task_events"] = events
    assert await transport.call(endpoints.EVENTS_SINGLE_VALUES, {"tasks": ["t", "empty"]}) == {
        "tasks": [
            {
                "task": "t",
                "values": [
                    {"metric": "Summary", "variant": "acc", "value": 1.0, "timestamp": 3000},
                    {"metric": "Summary", "variant": "best", "value": 0.5, "timestamp": 2000},
                ],
            }
        ]
    }


async def test_points_are_read_page_by_page(server: ApiServer, transport: HttpTransport) -> None:
    def events(_: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        page = int(asked.get("scroll_id", "0"))
        found = [{"metric": "a", "iter": page * 2 + row, "value": row / 2, "timestamp": 1500, "worker": "w"} for row in range(2)]
        return {"events": [*found, {"metric": "a", "iter": 0, "value": None}] if page < 3 else [], "scroll_id": str(page + 1)}

    server.handlers["events.get_task_events"] = events
    blocks = [block async for block in transport.scalars("t")]
    assert [list(block.iterations) for block in blocks] == [[0, 1], [2, 3], [4, 5]]
    assert (blocks[0].names, list(blocks[0].values), list(blocks[0].times)) == ([("a", "")], [0.0, 0.5], [1.5, 1.5])
    assert server.paths()[1] == "/v2.13/events.get_task_events"


async def test_before_2_9_the_console_is_read_from_its_end(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.8"
    server.handlers["events.get_task_log"] = lambda *_: {"events": [{"msg": "last"}]}
    asked = {"task": "t", "navigate_earlier": True, "order": "asc", "batch_size": 5}
    assert await transport.call(endpoints.EVENTS_GET_TASK_LOG, asked) == {"events": [{"msg": "last"}]}
    assert server.sent[-1].json == {"task": "t", "order": "asc", "batch_size": 5, "from": "tail"}
    # What is older than a moment cannot be asked for: the end is all that there is.
    assert await transport.call(endpoints.EVENTS_GET_TASK_LOG, {**asked, "from_timestamp": 7}) == {"events": []}


async def test_what_the_server_has_is_never_replaced(server: ApiServer, transport: HttpTransport) -> None:
    for endpoint in (endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, endpoints.TASKS_EDIT_HYPER_PARAMS, endpoints.EVENTS_SINGLE_VALUES):
        server.handlers[endpoint.name] = lambda *_: envelope({"updated": 1})
        assert await transport.call(endpoint, {"task": "t"}) == {"updated": 1}
    assert server.paths()[1:] == [
        "/v2.13/tasks.add_or_update_artifacts",
        "/v2.13/tasks.edit_hyper_params",
        "/v2.20/events.get_task_single_value_metrics",
    ]


async def test_before_2_12_a_task_is_archived_by_its_system_tags(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.9"
    held = {"t": ["development"], "u": ["archived"]}
    server.handlers["tasks.get_by_id"] = lambda _, asked: {"task": {"id": asked["task"], "system_tags": held[asked["task"]]}}

    def edit(_: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["force"] is True
        held[asked["task"]] = asked["system_tags"]
        return {"updated": 1}

    server.handlers["tasks.edit"] = edit
    assert await transport.call(endpoints.TASKS_ARCHIVE, {"tasks": ["t", "u"]}) == {"archived": 2}
    assert held == {"t": ["development", "archived"], "u": ["archived"]}
    assert [path for path in server.paths() if path.endswith("edit")] == ["/v2.9/tasks.edit"], "one of them was archived already"
    assert await transport.call(endpoints.TASKS_UNARCHIVE_MANY, {"ids": ["t", "u"]}) == {
        "succeeded": [{"id": "t", "unarchived": True}, {"id": "u", "unarchived": True}],
        "failed": [],
    }
    assert held == {"t": ["development"], "u": []}


async def test_before_2_27_tags_are_added_to_those_that_are_there_now(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = "2.13"
    held = ["by somebody else"]
    server.handlers["tasks.get_by_id"] = lambda *_: {"task": {"id": "t", "tags": held}}
    server.handlers["tasks.edit"] = lambda _, asked: held.__setitem__(slice(None), asked["tags"]) or {"updated": 1}
    request = {"task": "t", "ids": ["t"], "add_tags": ["ours", "by somebody else"], "remove_tags": []}
    assert await transport.call(endpoints.TASKS_UPDATE_TAGS, request) == {"updated": 1}
    assert held == ["by somebody else", "ours"]
    assert "update_tags" not in "".join(server.paths())
