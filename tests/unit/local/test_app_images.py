"""Debug images over HTTP: stored as clients send them, answered as the web application and the official client ask, shown on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from atrains.testing import RunningServer

Calls = Callable[..., Any]
LINES = "application/json-lines"


class Attributes(HTMLParser):
    """The attributes of the images of a page, as a browser takes them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.update(name for name, _ in attrs if tag == "img")


@pytest.fixture
def task(call: Calls) -> str:
    return str(call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"])


@pytest.fixture
def add(call: Calls, task: str) -> Calls:
    def send(*images: tuple[str, str, int, str], base: str = "https://example.com") -> Any:
        events = [
            {"type": "training_debug_image", "task": task, "timestamp": 5, "metric": metric, "variant": variant, "iter": step, "key": name,
             "url": f"{base}/{name}"}
            for metric, variant, step, name in images
        ]  # fmt: skip
        return call("v2.13/events.add_batch", b"\n".join(json.dumps(event).encode() for event in events), "POST", Content_Type=LINES)

    return send


def test_images_by_iteration_page_by_page(call: Calls, add: Calls, task: str) -> None:
    images = [("m", variant, step, f"{variant}{step}.png") for step in range(5) for variant in "ab"]
    assert add(*images, ("other", "a", 9, "o.png")).data == {"added": 11, "errors": 0, "errors_info": {}}
    asked: dict[str, Any] = {"metrics": [{"task": task, "metric": "m"}], "iters": 2}
    seen = []
    for expected in ([4, 3], [2, 1], [0], []):
        page = call("v2.14/events.debug_images", asked).data
        (of_task,) = page["metrics"]
        assert of_task["task"] == task
        assert [found["iter"] for found in of_task["iterations"]] == expected
        seen += [(event["variant"], event["iter"]) for found in of_task["iterations"] for event in found["events"]]
        asked["scroll_id"] = page["scroll_id"]
    assert seen == [(variant, step) for step in (4, 3, 2, 1, 0) for variant in "ab"]
    again = call("v2.14/events.debug_images", {**asked, "refresh": True}).data["metrics"][0]["iterations"]
    assert [found["iter"] for found in again] == [4, 3]
    later = call("v2.14/events.debug_images", {**asked, "scroll_id": None, "navigate_earlier": False}).data["metrics"][0]["iterations"]
    assert [found["iter"] for found in later] == [0, 1]
    only = call("v2.14/events.debug_images", {"metrics": [{"task": task, "metric": "m", "variants": ["b"]}]}).data["metrics"][0]
    assert [(event["variant"], event["type"]) for found in only["iterations"] for event in found["events"]] == [
        ("b", "training_debug_image")
    ]
    every = call("v2.14/events.debug_images", {"metrics": [{"task": task}], "iters": 1}).data["metrics"][0]["iterations"]
    assert [event["metric"] for event in every[0]["events"]] == ["other"]
    for wrong in ({"metrics": [{"task": "0" * 32}]}, {"metrics": "m"}, {**asked, "scroll_id": "zzz"}, {**asked, "iters": 0}):
        assert call("v2.14/events.debug_images", wrong).code[0] == 400


def test_an_image_that_is_reported_again_replaces_its_copy_and_recycled_ones_are_left_out(call: Calls, add: Calls, task: str) -> None:
    add(("m", "a", 1, "0.png"), ("m", "a", 1, "1.png"), ("m", "a", 1, "0.png"), ("m", "a", 2, "0.png"))
    events = call("v2.13/events.get_task_events", {"task": task, "event_type": "training_debug_image"}).data
    assert (events["total"], [(event["iter"], event["key"]) for event in events["events"]]) == (
        3, [(1, "1.png"), (1, "0.png"), (2, "0.png")]
    )  # fmt: skip
    shown = call("v2.14/events.debug_images", {"metrics": [{"task": task, "metric": "m"}], "iters": 9}).data["metrics"][0]["iterations"]
    assert [(event["iter"], event["key"]) for found in shown for event in found["events"]] == [(2, "0.png"), (1, "1.png")]
    metrics = call("v2.13/events.get_task_metrics", {"tasks": [task], "event_type": "training_debug_image"}).data["metrics"]
    assert metrics == [{"task": task, "metrics": ["m"]}]
    assert call("v2.13/tasks.get_by_id", {"task": task}).data["task"]["last_iteration"] == 2


def test_one_image_and_the_next(call: Calls, add: Calls, task: str) -> None:
    add(*[("m", variant, step, f"{variant}{step}.png") for step in (1, 2) for variant in "ab"], ("n", "a", 2, "n.png"))
    latest = call("v2.14/events.get_debug_image_sample", {"task": task, "metric": "m", "variant": "a"}).data
    assert (latest["event"]["key"], latest["min_iteration"], latest["max_iteration"]) == ("a2.png", 1, 2)
    first = call("v2.14/events.get_debug_image_sample", {"task": task, "metric": "m", "variant": "a", "iteration": 1}).data
    assert first["event"]["key"] == "a1.png"
    seen, scroll = [], first["scroll_id"]
    while (found := call("v2.14/events.next_debug_image_sample", {"task": task, "scroll_id": scroll}).data)["event"]:
        seen.append(found["event"]["key"])
        scroll = found["scroll_id"]
    assert seen == ["b1.png", "a2.png", "b2.png"]  # of this title alone
    back = call("v2.14/events.next_debug_image_sample", {"task": task, "scroll_id": scroll, "navigate_earlier": True}).data
    assert back["event"]["key"] == "a2.png"
    jump = {"task": task, "scroll_id": back["scroll_id"], "navigate_earlier": True, "next_iteration": True}
    assert call("v2.14/events.next_debug_image_sample", jump).data["event"]["key"] == "a1.png"
    none = call("v2.14/events.get_debug_image_sample", {"task": task, "metric": "m", "variant": "a", "iteration": 7}).data
    assert none["event"] is None
    assert call("v2.14/events.next_debug_image_sample", {"task": task, "scroll_id": "[1]"}).code == (400, 12)


def test_a_file_of_this_server_is_recorded_within_the_home_and_answered_at_its_address(
    call: Calls, add: Calls, task: str, server: RunningServer
) -> None:
    base = server.environment["CLEARML_FILES_HOST"]
    name = f"project/a%20task.{task}/metrics/m/a/m_a_00000000.png"
    add(("m", "a", 1, name), base=base)
    (event,) = call("v2.13/events.get_task_events", {"task": task, "event_type": "training_debug_image"}).data["events"]
    assert event["url"] == f"{base}/{name}"
    stored = (Path(server.home) / "tasks" / task / "events" / "images").read_bytes()
    assert b'"home://tasks/' in stored
    assert base.encode() not in stored
    urls = call("v2.13/tasks.delete", {"task": task, "force": True, "return_file_urls": True}).data["urls"]
    assert urls["event_urls"] == [f"{base}/{name}"]


def test_the_page_shows_the_latest_of_each_series_from_the_files_of_this_server(
    call: Calls, ask: Calls, add: Calls, task: str, token: str, server: RunningServer
) -> None:
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    files = Path(server.home) / "tasks" / task / "files"
    files.mkdir(parents=True, exist_ok=True)
    for step in (1, 2):
        (files / f"s{step}.png").write_bytes(b"a picture %d" % step)
        add((hostile, "a", step, f"s{step}.png"), base=f"home://tasks/{task}/files")
    add(("elsewhere", hostile, 1, "t.png"), ("code", "a", 1, "u.png"), base="https://example.com")
    add(("code", "b", 1, f"{hostile}.png"), base="javascript:alert(3)//")
    page = ask(f"{server.url}/projects/*/tasks/{task}", Authorization=f"Bearer {token}").text.decode()
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert len(pictures) == 1
    assert "s2.png?ticket=" in pictures[0]
    assert ask(f"{server.url}{unescape(pictures[0])}").text == b"a picture 2"
    assert "<script" not in page
    assert 'href="javascript' not in page
    assert 'href="https://example.com/t.png"' in page
    assert Attributes(page).names == {"src", "alt", "loading"}
