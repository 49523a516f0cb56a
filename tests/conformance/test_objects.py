"""Tasks, loggers and artifacts as Python objects: pickled, copied, shown in a notebook, used by many threads at once."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from typing import Any

import pytest

import atrains
from atrains import AsyncTask, Task
from atrains.errors import UsageError

HOSTILE = "<script>alert('x')</script> & \"friends\""
THREADS = 16


class Page(HTMLParser):
    """What a browser makes of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def again(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


async def test_an_open_run_is_itself_after_pickling(world: Any) -> None:
    async with world.run_of("project", "pickled") as task:
        assert again(task) is task
        assert again({"runs": [task, task]})["runs"][0] is task
        assert again(task.get_logger()) is task.get_logger()
        assert copy.copy(task) is copy.deepcopy(task) is task
        assert copy.deepcopy({"model": task.get_logger()})["model"] is task.get_logger()


async def test_another_task_is_opened_anew_by_its_id(world: Any) -> None:
    made = await world(world.Task.create("project", "elsewhere"))
    await world(made.set_comment("there"))
    found = again(made)
    assert type(found) is type(made)
    assert (found is made, found.id, found.task_id) == (False, made.id, made.id)
    if world.Task is AsyncTask:  # nothing can be waited for while a pickle is read
        with pytest.raises(UsageError, match=rf"{made.id} was unpickled.*await task\.reload\(\)"):
            found.name  # noqa: B018
        with pytest.raises(UsageError, match="reload"):
            found.get_logger()
        with pytest.raises(UsageError, match="reload"):
            await found.set_name("renamed")
        with pytest.raises(AttributeError, match="no attribute 'nmae'"):
            found.nmae  # noqa: B018
        assert made.id in repr(found)
        assert made.id in found._repr_html_()
        assert again(found).id == made.id
        await asyncio.gather(*(found.reload() for _ in range(3)))
    assert (found.name, found.comment) == ("elsewhere", "there")
    found.get_logger().report_scalar("loss", "train", value=1, iteration=1)
    await world(found.close())
    assert (await world(made.get_reported_scalars()))["loss"]["train"]["y"] == [1]


async def test_a_pickle_holds_no_key(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from atrains._config import settings

    async with world.run_of("project", "no key") as task:
        await world(task.upload_artifact("numbers", {"x": 1}))
        text = pickle.dumps([task, task.get_logger(), task.artifacts])
        api = settings().api
        keys = [key.reveal().encode() for key in (api.access_key, api.secret_key, api.auth_token) if key is not None]
        assert not [key for key in keys if key in text]
        assert task.id.encode() in text


async def test_the_iterations_of_a_pickled_task_begin_where_those_of_the_task_do(world: Any) -> None:
    made = await world(world.Task.create("project", "continued"))
    made.set_initial_iteration(1_000)
    found = again(made)
    if world.Task is AsyncTask:
        await found.reload()
    assert found.get_initial_iteration() == 1_000


async def test_artifacts_are_read_after_pickling(world: Any) -> None:
    async with world.run_of("project", "artifacts") as task:
        await world(task.upload_artifact("numbers", {"x": 1}, metadata={"a": "b"}))
        await world(task.upload_artifact("words", "many words"))
        found = again(task.artifacts)
        assert isinstance(found, Mapping)
        assert sorted(found) == ["numbers", "words"]
        one = found["numbers"]
        assert (one.name, one.size, one.hash, dict(one.metadata)) == (
            "numbers",
            task.artifacts["numbers"].size,
            task.artifacts["numbers"].hash,
            {"a": "b"},
        )
        assert one.url == task.artifacts["numbers"].url
        assert await world(one.get()) == {"x": 1}
        assert await world(again(again(task.artifacts["words"])).get()) == "many words"
        assert copy.deepcopy(one) is one


async def test_what_was_pickled_at_one_home_is_refused_at_another(world: Any, home: str) -> None:
    task = await world(world.Task.create("project", "there"))
    pickled = pickle.dumps(task)
    elsewhere = atrains.credentials(api_host="http://nowhere.invalid:8008", key="k", secret="s")
    with elsewhere, pytest.raises(UsageError, match=rf"task {task.id} is in .*, and http://nowhere\.invalid:8008 is in use here"):
        await world(pickle.loads(pickled) if world.Task is Task else pickle.loads(pickled).reload())
    del home


async def test_artifact_names_are_completed_and_the_mapping_cannot_be_changed(world: Any) -> None:
    async with world.run_of("project", "completion") as task:
        await world(task.upload_artifact("first one", {"x": 1}))
        await world(task.upload_artifact("second", {"x": 2}))
        artifacts = task.artifacts
        assert artifacts._ipython_key_completions_() == ["first one", "second"]
        assert (len(artifacts), "second" in artifacts, "third" in artifacts, artifacts.get("third")) == (2, True, False, None)
        assert "first one" in repr(artifacts)
        with pytest.raises(TypeError):
            artifacts["third"] = 1
        with pytest.raises(TypeError):
            del artifacts["second"]
        with pytest.raises(KeyError):
            artifacts["third"]


async def test_a_notebook_shows_hostile_names_as_text(world: Any) -> None:
    task = await world(world.Task.create("project", "hostile"))
    await world(task.upload_artifact("numbers", {"x": 1}, metadata={HOSTILE: HOSTILE}))
    await world(task.set_name(HOSTILE))
    await world(task.set_tags([HOSTILE]))
    await world(task.set_comment(HOSTILE))
    page = Page(task._repr_html_())
    assert set(page.tags) == {"table", "thead", "tbody", "tr", "th", "td", "a"}
    assert page.links == [task.get_output_log_web_page()]
    assert page.words.count(HOSTILE) == 3
    assert {type(task).__name__, task.id, "created"} <= set(page.words)
    shown = Page(task.artifacts["numbers"]._repr_html_())
    assert (shown.links, shown.words.count(HOSTILE)) == ([task.artifacts["numbers"].url], 2)
    assert set(shown.tags) == {"table", "thead", "tbody", "tr", "th", "td", "a"}
    assert type(task.artifacts["numbers"]).__name__ in shown.words


@pytest.mark.parametrize("url", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", ""])
def test_a_link_leads_to_a_page_or_a_file(url: str) -> None:
    from atrains._api.html import table

    assert Page(table("Task", "name", url, [])).links == []


def in_threads(work: Any) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, range(THREADS)))


def test_threads_lose_no_tag() -> None:
    task = Task.create("project", "tags")
    in_threads(lambda number: task.add_tags([f"tag-{number}"]))
    expected = sorted(f"tag-{number}" for number in range(THREADS))
    assert sorted(task.get_tags()) == expected
    assert sorted(Task.get_task(task.id).get_tags()) == expected


def test_threads_use_every_kind_of_member_of_one_task_at_once() -> None:
    with Task.init("project", "threads") as task:
        log = task.get_logger()

        def work(number: int) -> None:
            for step in range(200):
                log.report_scalar(f"title {number}", "series", value=step, iteration=step)
            task.connect({f"key {number}": number}, name=f"section {number}")
            task.add_tags(f"tag-{number}")
            assert task.upload_artifact(f"artifact {number}", {"number": number})
            assert task.artifacts[f"artifact {number}"].get() == {"number": number}
            assert task.get_logger() is log
            task.set_comment(f"comment {number}")
            task.reload()
            assert task.status == "in_progress"
            assert task.get_parameters()[f"section {number}/key {number}"] == str(number)
            assert f"tag-{number}" in task.get_tags()
            assert f"artifact {number}" in task.artifacts
            assert task.flush()
            curve = task.get_reported_scalars()[f"title {number}"]["series"]
            assert (curve["x"], curve["y"]) == (list(range(200)), list(range(200)))
            assert pickle.loads(pickle.dumps(task)) is task

        in_threads(work)
        for seen in (task, Task.get_task(task.id)):
            assert sorted(seen.get_tags()) == sorted(f"tag-{number}" for number in range(THREADS))
            assert seen.get_parameters() == {f"section {number}/key {number}": str(number) for number in range(THREADS)}
            assert sorted(seen.artifacts) == sorted(f"artifact {number}" for number in range(THREADS))
            assert seen.comment in {f"comment {number}" for number in range(THREADS)}


def test_threads_open_and_close_tasks_at_once() -> None:
    def work(number: int) -> str:
        task = Task.create("project", f"task {number}")
        task.get_logger().report_scalar("loss", "train", value=number, iteration=1)
        task.close()
        task.close()
        return str(task.id)

    ids = in_threads(work)
    assert len(set(ids)) == THREADS
    for number, task in enumerate(Task.get_tasks(task_ids=ids)):
        assert task.get_reported_scalars()["loss"]["train"]["y"] == [number]


async def test_coroutines_lose_no_tag() -> None:
    task = await AsyncTask.create("project", "tags of coroutines")
    await asyncio.gather(*(task.add_tags(f"tag-{number}") for number in range(THREADS)), *(task.reload() for _ in range(THREADS)))
    expected = sorted(f"tag-{number}" for number in range(THREADS))
    assert sorted(task.get_tags()) == sorted((await AsyncTask.get_task(task.id)).get_tags()) == expected
