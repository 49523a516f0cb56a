"""`atrains show`: one task, with what it was given, what it reported and where its files are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from atrains._local.app.markup import number_text
from atrains._local.app.plots import figure_of, kinds, text_rows
from atrains._wire import endpoints
from atrains._wire.artifacts import ArtifactRecord, human_size, resolve_url
from atrains._wire.events import MONITOR_TITLES, SINGLE_VALUE_ITERATION
from atrains._wire.metrics import shown_title
from atrains.cli.home import Home, opened
from atrains.cli.output import STATUS_STYLES, Output, Part, age, cell_width, clean, clean_lines, local_time, sparkline

SUMMARY: Final = "Show one task: status, parameters, curves, console, artifacts, and where its files are."

_FIELDS: Final = (
    "id", "name", "type", "status", "status_reason", "status_message", "tags", "comment", "parent",
    "created", "started", "completed", "last_update", "last_iteration",
)  # fmt: skip
_WIDEST_PLOT: Final = 60
_NARROWEST_PLOT: Final = 10
_PLOT_IN_A_PIPE: Final = 40
_MOST_LINES: Final = 10_000

_MOST_PLOTS: Final = 100
_MOST_ROWS: Final = 12
"""Rows of a table or a matrix."""
_WIDEST_CELL: Final = 24
_TABLE_IN_A_PIPE: Final = 100
_TABLE_INDENT: Final = 4

NamedFigure = tuple[str, str, Any, Mapping[str, Any]]
"""Title, series, iteration and figure of a plot."""
Curves = dict[str, dict[str, list[float]]]
"""The values of each curve by title and series, as many as a plot shows."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("task", metavar="ID", help="the task's id, or the beginning of it")
    parser.add_argument("--lines", metavar="N", type=_line_count, default=10, help="lines of the console to show (default: %(default)s)")


async def run(options: argparse.Namespace) -> None:
    """Print the task."""
    output = Output()
    async with opened(options.home) as home:
        task = await _facts(home, await home.find_task(options.task), options.lines)
        figures = await _figures(home, task["id"])
        curves = {} if options.json or not task["scalars"] else await _curves(home, task["id"], _plot_width(output, task))
    task["plots"] = [
        {"title": title, "series": series, "iteration": step, "kinds": kinds(figure)} for title, series, step, figure in figures
    ]
    if options.json:
        print(json.dumps(task, indent=2))
        return
    _print_head(output, task)
    if task["parameters"]:
        output.heading("Parameters")
        output.table([[clean(name), clean(value)] for name, value in task["parameters"].items()], indent=2, cut=[1])
    if task["scalars"]:
        output.heading("Scalars")
        _print_curves(output, task["scalars"], curves)
    if task["single_values"]:
        output.heading("Single values")
        output.table([[clean(name), number_text(value)] for name, value in task["single_values"].items()], indent=2, cut=[0])
    if figures:
        output.heading("Plots")
        _print_plots(output, figures)
    _print_rest(output, task)


async def _facts(home: Home, task_id: str, lines: int) -> dict[str, Any]:
    """Everything about a task but its curves, as `--json` prints it."""
    record = (await home.call(endpoints.TASKS_GET_BY_ID, f"cannot read task {task_id}", task=task_id))["task"]
    names = await home.project_names({record["project"]} if record.get("project") else set())
    local = home.settings.target.kind == "local"
    return {
        **{name: record.get(name) for name in _FIELDS},
        "project": names.get(record.get("project", "")),
        "output_uri": (record.get("output") or {}).get("destination") or None,
        "parameters": {
            f"{section}/{name}": item.get("value") or ""
            for section, items in (record.get("hyperparams") or {}).items()
            for name, item in items.items()
        },
        "scalars": _last_scalars(record),
        "single_values": await _single_values(home, task_id),
        "console": await _console(home, task_id, lines),
        "artifacts": {entry["key"]: _artifact(home, entry) for entry in (record.get("execution") or {}).get("artifacts") or []},
        "folder": str(home.settings.home.path / "tasks" / task_id) if local else None,
    }


def _last_scalars(record: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The last, smallest and largest value of each curve by title and series; single values are no curves."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    entries = [entry for variants in (record.get("last_metrics") or {}).values() for entry in variants.values()]
    for entry in sorted(entries, key=lambda entry: (entry["metric"], entry["variant"])):
        if entry.get("value_iteration") != SINGLE_VALUE_ITERATION:
            found.setdefault(entry["metric"], {})[entry["variant"]] = {
                "last": entry["value"],
                "min": entry["min_value"],
                "max": entry["max_value"],
                "iteration": entry.get("value_iteration"),
            }
    return found


async def _single_values(home: Home, task_id: str) -> dict[str, float]:
    answer = await home.call(endpoints.EVENTS_SINGLE_VALUES, f"cannot read the single values of task {task_id}", tasks=[task_id])
    return {value["variant"]: value["value"] for task in answer["tasks"] for value in task["values"]}


async def _console(home: Home, task_id: str, lines: int) -> list[str]:
    if not lines:
        return []
    what = f"cannot read the console of task {task_id}"
    answer = await home.call(endpoints.EVENTS_GET_TASK_LOG, what, task=task_id, order="asc", navigate_earlier=True, batch_size=lines)
    return clean_lines(str(event.get("msg", "")) for event in answer["events"])[-lines:]


def _artifact(home: Home, entry: dict[str, Any]) -> dict[str, Any]:
    record = ArtifactRecord.from_wire(entry)
    return {
        "type": record.type,
        "size": record.content_size or 0,
        "hash": record.hash,
        "url": resolve_url(record.uri or "", home.settings.home.path),
        "preview": record.preview or "",
        "metadata": dict(record.metadata),
    }


async def _curves(home: Home, task_id: str, samples: int) -> Curves:
    answer = await home.call(endpoints.EVENTS_SCALAR_HISTOGRAM, f"cannot read the curves of task {task_id}", task=task_id, samples=samples)
    return {title: {series: curve["y"] for series, curve in held.items()} for title, held in answer.items()}


async def _figures(home: Home, task_id: str) -> list[NamedFigure]:
    """The newest plot of each title and series, by name."""
    what = f"cannot read the plots of task {task_id}"
    answer = await home.call(endpoints.EVENTS_GET_TASK_PLOTS, what, task=task_id, iters=1)
    found = [(str(plot.get("metric", "")), str(plot.get("variant", "")), plot.get("iter"), figure_of(plot)) for plot in answer["plots"]]
    return sorted(found, key=lambda figure: figure[:2])


def _plot_width(output: Output, task: dict[str, Any]) -> int:
    """What is left of a line beside the longest name and three numbers."""
    if output.width is None:
        return _PLOT_IN_A_PIPE
    name = max(cell_width(f"{title}/{series}") for title, held in task["scalars"].items() for series in held)
    return max(_NARROWEST_PLOT, min(_WIDEST_PLOT, output.width - 50 - name))


def _print_head(output: Output, task: dict[str, Any]) -> None:
    status = str(task["status"])
    details = "; ".join(text for text in (task["status_reason"], task["status_message"]) if text and text != status)
    output.line((clean(task["name"] or "-"), "bold"))
    rows: list[list[Part]] = [
        ["id", task["id"]],
        ["status", (f"{status} ({clean(details)})" if details else status, STATUS_STYLES.get(status, ""))],
        ["project", clean(task["project"] or "-")],
        ["type", task["type"] or "-"],
    ]
    if task["tags"]:
        rows.append(["tags", clean(", ".join(task["tags"]))])
    if task["comment"]:
        rows.append(["comment", clean(task["comment"])])
    if task["parent"]:
        rows.append(["parent", task["parent"]])
    rows += [[name, f"{local_time(task[name])} ({age(task[name])} ago)"] for name in ("created", "started") if task[name]]
    if task["completed"]:
        rows.append(["ended", f"{local_time(task['completed'])}{_duration(task)}"])
    if task["scalars"]:
        rows.append(["iteration", str(task["last_iteration"] or 0)])
    output.table(rows, indent=2, cut=[1])


def _duration(task: dict[str, Any]) -> str:
    if not task["started"]:
        return ""
    seconds = (datetime.fromisoformat(task["completed"]) - datetime.fromisoformat(task["started"])).total_seconds()
    return f" (after {seconds:.3g} s)" if seconds < 1000 else f" (after {seconds / 60:.0f} min)"


def _print_curves(output: Output, scalars: dict[str, dict[str, dict[str, Any]]], curves: Curves) -> None:
    rows: list[list[Part]] = []
    for title, held in sorted(scalars.items(), key=lambda item: item[0] in MONITOR_TITLES):  # those of the program first
        for series, known in held.items():
            plot = sparkline(curves.get(title, {}).get(series, []), output.levels)
            numbers = [f"{name} {number_text(known[name])}" for name in ("last", "min", "max")]
            rows.append([clean(f"{shown_title(title)}/{series}"), (plot, "cyan"), *numbers])
    output.table(rows, indent=2, cut=[0], ends=[0])  # by their ends the series of one title differ


def _print_plots(output: Output, figures: list[NamedFigure]) -> None:
    """A line for each plot, under it the beginning of a table or a matrix."""
    for title, series, step, figure in figures[:_MOST_PLOTS]:
        what = ", ".join(kinds(figure))
        output.line(f"  {clean('/'.join(filter(None, (title, series))))}  ", (f"{clean(what)}, iteration {step}", "dim"))
        rows = text_rows(figure)
        if rows:
            _print_rows(output, rows, named=what == "heatmap")
    if len(figures) > _MOST_PLOTS:
        output.line((f"  and {len(figures) - _MOST_PLOTS} more", "dim"))


def _print_rows(output: Output, rows: list[list[str]], *, named: bool) -> None:
    """The beginning of a table, or of a matrix, whose rows are named: as many columns of it as a line holds."""
    cells = [[output.cut(clean(cell), _WIDEST_CELL) for cell in row] for row in rows[: _MOST_ROWS + 1]]
    room, shown = (output.width or _TABLE_IN_A_PIPE) - _TABLE_INDENT, 0
    for column in zip(*cells, strict=True):
        room -= max(map(cell_width, column)) + (2 if shown else 0)
        if room < 0 and shown:
            break
        shown += 1
    output.table([row[:shown] for row in cells], indent=_TABLE_INDENT)
    width = len(rows[0])
    if len(rows) > len(cells) or width > shown:
        output.line((f"    ({len(rows) - 1} rows, {width - named} columns)", "dim"))


def _print_rest(output: Output, task: dict[str, Any]) -> None:
    if task["console"]:
        output.heading("Console (the last lines)")
        for line in task["console"]:
            output.line(output.fit(f"  {line}"))
    if task["artifacts"]:
        output.heading("Artifacts")
        rows: list[list[Part]] = [
            [clean(name), held["type"], human_size(held["size"]), (" ".join(clean(held["preview"]).split())[:200], "dim")]
            for name, held in task["artifacts"].items()
        ]
        output.table(rows, indent=2, cut=[3, 0])
    output.heading("Files")
    for place in (task["folder"], task["output_uri"]):
        if place:
            output.line(f"  {clean(place)}")


def _line_count(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= _MOST_LINES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines; give 0 to {_MOST_LINES}")
    return number
