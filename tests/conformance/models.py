"""What the tests of models share: weights, the classes of a world, models that are published."""
# ruff: noqa: ASYNC240  # the bodies are programs

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import atrains
from atrains import AsyncTask

World = Any

WEIGHTS = bytes(range(256)) * 40


def kind(world: World, name: str) -> Any:
    """The class of models of this world."""
    return getattr(atrains, f"Async{name}" if world.Task is AsyncTask else name)


@pytest.fixture(name="work", autouse=True)
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the program runs in."""
    folder = tmp_path / "work folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "model.pt").write_bytes(WEIGHTS)
    return folder


async def content(world: World, model: Any) -> bytes:
    """The weights of a model, as whoever looks for them gets them."""
    path = await world(model.get_weights(raise_on_error=True))
    return Path(path).read_bytes()


def own_url(path: str = "/w.pt") -> str:
    """An address at which the home has no model yet: of one that it has, an import gives that model."""
    return f"file:///{uuid4().hex}{path}"


async def published(world: World, name: str = "a model", url: str | None = None, **fields: Any) -> str:
    model = await world(kind(world, "InputModel").import_model(url or own_url(), name=name, create_as_published=True, **fields))
    return str(model.id)
