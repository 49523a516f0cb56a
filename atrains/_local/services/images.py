"""The `events.*` endpoints about debug images: by iteration, and one by one as the web application leafs through them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from atrains._local import query, streams
from atrains._local.services.raw import wanted_names
from atrains._local.store import Store
from atrains._wire.artifacts import HOME_URL
from atrains._wire.events import EventKind
from atrains._wire.images import with_own_file

_Event = dict[str, Any]


def images_of(store: Store, task: str) -> list[_Event]:
    """The images of a task, of each identity the last reported. Server: that is title, series, iteration and key."""
    found: dict[tuple[Any, ...], _Event] = {}
    for event in streams.read_records(store.task_folder(task), EventKind.IMAGES):
        found[event["metric"], event["variant"], event["iter"], event["key"]] = event
    return list(found.values())


def urls_of(store: Store, task: str) -> list[str]:
    """The URLs of the images that a task has, each once."""
    return list(dict.fromkeys(event["url"] for event in images_of(store, task) if event["url"]))


def remove_files(store: Store, task: str) -> None:
    """Remove the files of a task's images that are in its folder."""
    files = (store.task_folder(task) / "files").resolve()
    for url in urls_of(store, task):
        path = (store.home / url.removeprefix(HOME_URL)).resolve()
        if url.startswith(HOME_URL) and path.is_relative_to(files) and path.is_file():
            path.unlink(missing_ok=True)


def debug_images(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the images of the latest iterations of tasks. Server: an image whose file was used again later is left out.

    A page has `iters` iterations of each task, one unless given; `scroll_id` leads to the next one, which is earlier (or later).
    """
    asked, count = query.take(request, "metrics", list), query.take(request, "iters", int, 1)
    earlier = query.take(request, "navigate_earlier", bool, True)
    if count < 1 or not all(isinstance(item, Mapping) for item in asked):
        raise query.refuse(12, f"Validation error: metrics must be objects with task and metric, and iters at least 1, not {count}")
    scroll_id = query.take(request, "scroll_id", str, None)
    given = _parse(scroll_id, dict) if scroll_id and not query.take(request, "refresh", bool, False) else {}
    answer = []
    for task in dict.fromkeys(query.take(item, "task", str) for item in asked):
        store.require_task(task)
        titles = [item for item in asked if item["task"] == task]
        wanted = wanted_names(titles if all(item.get("metric") for item in titles) else None)
        found = [event for event in with_own_file(images_of(store, task)) if wanted((event["metric"], event["variant"]))]
        edge = given.get(task)
        if edge is not None:
            found = [event for event in found if (event["iter"] < edge if earlier else event["iter"] > edge)]
        found.sort(key=lambda event: (-event["iter"] if earlier else event["iter"], event["metric"], event["variant"], event["key"]))
        pages = [(number, list(group)) for number, group in groupby(found, key=itemgetter("iter"))][:count]
        if pages:
            given[task] = pages[-1][0]
        iterations = [{"iter": number, "events": [_answered(task, event) for event in events]} for number, events in pages]
        answer.append({"task": task, "iterations": iterations})
    return {"metrics": answer, "scroll_id": orjson.dumps(given).decode()}


def get_debug_image_sample(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the image of a title and series at an iteration, or the latest, and between which iterations there are any."""
    task, title, series = (query.take(request, name, str) for name in ("task", "metric", "variant"))
    store.require_task(task)
    iteration = query.take(request, "iteration", int, None)
    mine = [event for event in _in_order(store, task) if (event["metric"], event["variant"]) == (title, series)]
    chosen = [event for event in mine if iteration is None or event["iter"] == iteration]
    alone = query.take(request, "navigate_current_metric", bool, True)
    return _sample(task, chosen[-1] if chosen else None, mine, title if alone else None)


def next_debug_image_sample(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the image before or behind the one that `scroll_id` stands for: the next series, or the next iteration."""
    task, scroll_id = query.take(request, "task", str), query.take(request, "scroll_id", str)
    earlier, jump = query.take(request, "navigate_earlier", bool, False), query.take(request, "next_iteration", bool, False)
    store.require_task(task)
    position = _parse(scroll_id, list)
    if len(position) != 4 or not isinstance(position[0], int):
        raise _foreign(scroll_id)
    here, alone = (position[0], str(position[1]), str(position[2])), position[3]
    events = [event for event in _in_order(store, task) if alone is None or event["metric"] == alone]

    def is_beyond(event: _Event) -> bool:
        there = _place(event)
        if jump and ((there[0] == here[0]) or there[1:] != here[1:]):
            return False
        return there < here if earlier else there > here

    beyond = [event for event in events if is_beyond(event)]
    if not beyond:
        return {"event": None, "min_iteration": None, "max_iteration": None, "scroll_id": scroll_id}
    chosen = beyond[-1 if earlier else 0]
    mine = [event for event in events if _place(event)[1:] == _place(chosen)[1:]]
    return _sample(task, chosen, mine, alone)


def _in_order(store: Store, task: str) -> list[_Event]:
    return sorted(with_own_file(images_of(store, task)), key=_place)


def _place(event: _Event) -> tuple[int, str, str]:
    return event["iter"], event["metric"], event["variant"]


def _sample(task: str, event: _Event | None, mine: list[_Event], alone: str | None) -> dict[str, Any]:
    iterations = [each["iter"] for each in mine]
    return {
        "event": None if event is None else _answered(task, event),
        "min_iteration": min(iterations, default=None),
        "max_iteration": max(iterations, default=None),
        "scroll_id": None if event is None else orjson.dumps([*_place(event), alone]).decode(),
    }


def _answered(task: str, event: _Event) -> _Event:
    return {"type": "training_debug_image", "task": task, **event}


def _parse(scroll_id: str, kind: type) -> Any:
    try:
        found = orjson.loads(scroll_id)
    except ValueError as error:
        raise _foreign(scroll_id) from error
    if not isinstance(found, kind):
        raise _foreign(scroll_id)
    return found


def _foreign(scroll_id: str) -> Exception:
    return query.refuse(12, f"Validation error: {scroll_id[:100]!r} is no scroll_id of this server; begin again without one")
