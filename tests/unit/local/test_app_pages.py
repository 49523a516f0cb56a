"""The web pages: what they show, that nothing a run is called breaks out of its place, and who may see them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._local.app import charts, markup, pages, plots
from atrains.testing import RunningServer

Calls = Callable[..., Any]
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\x1b[31m\u202e"

PREVIEW = {"preview": HOSTILE}


class Seen(HTMLParser):
    """The tags and the text of a page, as a browser takes them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]
        self.links += [value or "" for name, value in attributes if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def task(call: Calls) -> str:
    """A task in which everything has a hostile name."""
    project = call("projects.create", {"name": HOSTILE.replace("/", "-")}).data["id"]
    created: str = call(
        "tasks.create",
        {
            "name": HOSTILE, "type": "training", "project": project, "comment": HOSTILE, "tags": [HOSTILE],
            "hyperparams": {HOSTILE: {HOSTILE: {"section": HOSTILE, "name": HOSTILE, "value": HOSTILE}}},
            "configuration": {HOSTILE: {"name": HOSTILE, "value": HOSTILE}},
            "execution": {"artifacts": [{"key": HOSTILE, "type": HOSTILE, "uri": "javascript:alert(3)", "type_data": PREVIEW}]},
        },
    ).data["id"]  # fmt: skip
    events = [
        {"type": "training_stats_scalar", "task": created, "metric": HOSTILE, "variant": variant, "iter": number, "value": number / 3}
        for number in range(3000)
        for variant in (HOSTILE, "b")
    ]
    events.append({**events[0], "metric": "Summary", "iter": -(2**31), "value": 0.75})
    events += [{"type": "log", "task": created, "timestamp": number, "msg": f"line {number} {HOSTILE}"} for number in range(500)]
    figures = (
        {"data": [{"type": "table", "header": {"values": [HOSTILE, ["b"]]}, "cells": {"values": [[HOSTILE, 1], [None]]}}]},
        {"data": [{"type": "heatmap", "z": [[1, 2], [3, None]], "x": [HOSTILE, "q"]}], "layout": {"xaxis": {"title": HOSTILE}}},
        {"data": [{"type": HOSTILE}], "layout": {"title": "</script><script>alert(1)</script>"}},
    )
    texts = [*map(json.dumps, figures), "no JSON", "[]", "null", '{"data": [1, {"type": "table", "cells": 5}], "layout": []}']
    plot = {"type": "plot", "task": created, "metric": HOSTILE, "iter": 7}
    events += [{**plot, "variant": f"plot {number}", "plot_str": text} for number, text in enumerate(texts)]
    body = b"\n".join(json.dumps(event).encode() for event in events)
    call("events.add_batch", body, "POST", Content_Type="application/json-lines")
    return created


def test_the_page_of_a_task_shows_all_of_it_and_nothing_breaks_out(server: RunningServer, ask: Calls, task: str) -> None:
    answer = ask(f"{server.url}/projects/*/experiments/{task}/output/log")
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = answer.text.decode()
    seen = Seen(page)
    assert not {"script", "img", "iframe", "object", "embed", "base"} & set(seen.tags)
    assert page.count("<svg") == 1
    assert len(page) < 200_000  # the curves are drawn with few points
    # 999.667 is the last value, not the mean of the last few.
    for text in ("created", "line 499", "line 200", "0.75", "999.667", "alert(1)", HOSTILE[:20]):
        assert text in seen.text or text in page, text
    assert "line 199" not in seen.text
    assert not [link for link in seen.links if link.startswith("javascript")]
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_tables_and_matrices_are_drawn_and_other_plots_listed(server: RunningServer, ask: Calls, task: str) -> None:
    page = ask(f"{server.url}/projects/*/tasks/{task}").text.decode()
    part = page[page.index("<h2>Plots</h2>") :]
    assert part.count("<figcaption>") == 2
    assert '<table class="matrix">' in part
    matrix = part[part.index('class="matrix"') : part.index("</tfoot>")]
    assert matrix.index(">3</td>") < matrix.index(">1</td>"), "the first row of a heat map is the lowest"
    seen = Seen(part)
    assert [f"plot {number}" in seen.text for number in range(7)] == [True] * 7
    assert seen.text.count("alert(1)") >= 10
    assert not {"script", "img"} & set(seen.tags)


def test_plots_are_drawn_where_plotly_is_installed(
    server: RunningServer, ask: Calls, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{server.url}/projects/*/tasks/{task}/plots"
    monkeypatch.setattr(plots, "library", lambda: None)
    assert "once the package plotly is installed" in ask(address).text.decode()
    assert ask(f"{server.url}/static/plotly.min.js").status != 200
    script = tmp_path / "plotly.min.js"
    script.write_text("the library")
    monkeypatch.setattr(plots, "library", lambda: script)
    answer = ask(address)
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert policy.count("unsafe-inline") == 1, "of styles"
    page = answer.text.decode()
    seen = Seen(page)
    assert seen.tags.count("script") == 5 + 2, "two tables need none"
    assert "img" not in seen.tags
    assert "</script><script>alert" not in page
    for name, content in (("plotly.min.js", "the library"), ("figures.js", plots.SCRIPT)):
        found = ask(f"{server.url}/static/{name}")
        assert (found.status, found.text.decode()) == (200, content)
        assert found.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("form", ["projects/{p}/experiments/{t}/output/log", "projects/{p}/tasks/{t}/output/log", "projects/*/tasks/{t}"])
def test_every_form_of_its_address(server: RunningServer, ask: Calls, task: str, form: str) -> None:
    assert ask(f"{server.url}/{form.format(p='0' * 32, t=task)}").status == 200
    assert ask(f"{server.url}/{form.format(p='0' * 32, t='f' * 32)}").status == 404


def test_the_list_leads_to_tasks_and_projects(server: RunningServer, ask: Calls, task: str) -> None:
    links = Seen(ask(server.url).text.decode()).links
    for kind in (f"/tasks/{task}", "/projects/"):
        (link,) = {link for link in links if kind in link and (kind != "/projects/" or "tasks" not in link)}
        assert ask(f"{server.url}{link}").status == 200
    assert ask(f"{server.url}/projects/{'0' * 32}").status == 404


def test_an_empty_home_has_a_page(server: RunningServer, ask: Calls) -> None:
    assert "Nothing was recorded" in ask(server.url).text.decode()


def test_a_running_task_is_loaded_again(server: RunningServer, ask: Calls, call: Calls, task: str) -> None:
    assert b'http-equiv="refresh"' not in ask(f"{server.url}/projects/*/tasks/{task}").text
    call("tasks.started", {"task": task})
    assert b'http-equiv="refresh"' in ask(f"{server.url}/projects/*/tasks/{task}").text


def test_links_to_artifacts_work_without_a_token_and_open_nothing_else(server: RunningServer, ask: Calls, call: Calls) -> None:
    created = call("tasks.create", {"name": "a task", "type": "training"}).data["id"]
    name = f"p/a task.{created}/artifacts/x y/x.html"
    for path in (name, name.replace("x.html", "y.html")):
        part = f'--B\r\nContent-Disposition: form-data; name="{path}"; filename="x"\r\n\r\n<script>1</script>\r\n--B--\r\n'
        call("", part.encode(), "POST", Content_Type="multipart/form-data; boundary=B")
    artifact = {"key": "x y", "type": "custom", "uri": f"{server.url}/{quote(name)}"}
    call("tasks.add_or_update_artifacts", {"task": created, "artifacts": [artifact]})
    page = ask(f"{server.url}/projects/*/tasks/{created}").text.decode()
    (link,) = [link for link in Seen(page).links if "ticket=" in link]
    answer = ask(f"{server.url}{link}")
    assert (answer.status, answer.text) == (200, b"<script>1</script>")
    assert "sandbox" in answer.headers["Content-Security-Policy"]  # it is shown, and does not run
    assert ask(f"{server.url}{link.replace('x.html', 'y.html')}").status == 401
    assert ask(f"{server.url}{link}", method="DELETE").status == 401
    ticket = link.partition("ticket=")[2]
    assert ask(f"{server.url}/tasks.get_all", Authorization=f"Bearer {ticket}").code == (401, 30)


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example:80"}, {"X_Forwarded_For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}, {"Host": "192.0.2.1"}]
)
def test_somebody_who_is_not_here_has_to_log_in(server: RunningServer, ask: Calls, token: str, headers: dict[str, str]) -> None:
    assert b"Nothing was recorded" in ask(server.url).text  # here, without
    assert b"Secret key" in ask(server.url, **headers).text
    assert b"Nothing was recorded" in ask(server.url, Cookie=f"clearml_token_basic={token}", **headers).text


def test_a_login_can_be_asked_for_here_as_well(server: RunningServer, ask: Calls, task: str) -> None:
    assert server._options is not None
    server._options = replace(server._options, page_login=True)
    server.restart()
    page = f"/projects/*/tasks/{task}"
    form = ask(f"{server.url}{page}").text.decode()
    assert f'value="{page}"' in form

    def log_in(secret: str, following: str = page) -> Any:
        text = urlencode({"access_key": server.access_key, "secret_key": secret, "next": following}).encode()
        return ask(f"{server.url}/login", text, "POST", Content_Type="application/x-www-form-urlencoded")

    assert log_in("wrong").status == 401
    # What follows the redirection has no cookie here, since this client keeps none: it is asked again.
    assert b"Secret key" in log_in(server.secret_key).text


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", "/x\r\nSet-Cookie: a=b", ""])
def test_a_login_leads_nowhere_else(path: str) -> None:
    assert pages._own_path(path) == "/"


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**63), 2**63 - 1).map(float)


@given(st.dictionaries(st.text(max_size=5), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6), max_size=4))
def test_any_curve_can_be_drawn(curves: dict[str, list[tuple[float, float]]]) -> None:
    drawn = charts.draw({name: {"x": [x for x, _ in points], "y": [y for _, y in points]} for name, points in curves.items()})
    assert "nan" not in re.sub(r"<title>.*?</title>|<li>.*?</li>|aria-label=\"[^\"]*\"", "", drawn, flags=re.DOTALL)
    if all(name.isprintable() for name in curves):
        ET.fromstring(f"<div>{drawn}</div>")


def test_ticks_are_round_and_few() -> None:
    for low, high in ((0.0, 1.0), (0.0371, 1.5), (-3.0, 1e9), (1e-9, 2e-9), (7.0, 7.0), (0.0, 0.0), (-1.7e308, 1.7e308)):
        ticks = charts._Axis([low, high], 0, 100).ticks()
        assert 2 <= len(ticks) <= 12, (low, high)
        assert all(math.isfinite(place) for place, _ in ticks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 900_000, ["0", "200000", "400000", "600000", "800000"]),
        (1_000_000, 1_000_100, ["1000000", "1000020", "1000040", "1000060", "1000080", "1000100"]),
        (0, 1e9, ["0", "2e+08", "4e+08", "6e+08", "8e+08", "1e+09"]),
        (0.1231, 0.1232, ["0.1231", "0.12312", "0.12314", "0.12316", "0.12318", "0.1232"]),
        (-1, 1, ["-1", "-0.5", "0", "0.5", "1"]),
    ],
)
def test_marks_at_an_axis_differ_and_are_in_full(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in charts._Axis([low, high], 0, 100).ticks()] == labels


@pytest.mark.parametrize(
    ("value", "text"), [(12_047_360_000.0, "12047360000"), (0.1234567, "0.123457"), (1e300, "1e+300"), (-0.5, "-0.5"), (3, "3")]
)
def test_numbers_are_whole_or_short(value: float, text: str) -> None:
    assert markup.number_text(value) == text


def test_console_lines_that_were_written_over_show_their_last_state() -> None:
    assert markup.console(["1%\r50%\r100%\ndone\r", "\x1b[32mgreen\x1b[0m"]) == "<pre>100%\ndone\ngreen</pre>"
