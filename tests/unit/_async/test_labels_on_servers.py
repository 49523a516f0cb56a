"""Setting labels loses no artifact, which stands in the same part of the task, whether a server merges that part or replaces it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from atrains import AsyncTask
from tests.api_server import KEY, SECRET, ApiServer, serving


@pytest.mark.parametrize("merges", [True, False], ids=["merges", "replaces"])
async def test_setting_labels_keeps_the_artifacts(merges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    execution: dict[str, Any] = {"queue": "q", "artifacts": [{"key": "a", "type": "t"}], "model_labels": {"old": 0}}
    edits: list[dict[str, Any]] = []

    def edit(_: web.Request, asked: dict[str, Any]) -> dict[str, Any]:
        nonlocal execution
        edits.append(asked["execution"])
        execution = {**execution, **asked["execution"]} if merges else asked["execution"]
        return {"updated": 1}

    handlers: dict[str, Any] = {
        "tasks.get_by_id": lambda *_: {"task": {"id": "1" * 32, "status": "in_progress", "execution": execution}},
        "tasks.edit": edit,
    }
    async with serving(ApiServer(handlers=handlers)) as server:
        monkeypatch.setenv("ATRAINS_API_HOST", server.url)
        monkeypatch.setenv("ATRAINS_API_ACCESS_KEY", KEY)
        monkeypatch.setenv("ATRAINS_API_SECRET_KEY", SECRET)
        task = await AsyncTask.get_task("1" * 32)
        assert task is not None
        await task.set_model_label_enumeration({"new": 1})
        assert task.get_labels_enumeration() == {"new": 1}
    assert execution == {"queue": "q", "artifacts": [{"key": "a", "type": "t"}], "model_labels": {"new": 1}}
    # Where it is merged, nothing but the labels was written: what others recorded meanwhile stays.
    assert edits[0] == {"model_labels": {"new": 1}}
    assert len(edits) == (1 if merges else 2)
