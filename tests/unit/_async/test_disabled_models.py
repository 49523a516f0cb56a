"""Models where atrains is switched off: every call is taken, nothing is stored, and no thread is started."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from atrains import InputModel, OutputModel, Task


@pytest.fixture(autouse=True)
def switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    monkeypatch.chdir(tmp_path)
    Path("model.pt").write_bytes(b"weights")


def test_every_call_is_taken(atrains_home: Path, tmp_path: Path) -> None:
    threads = threading.active_count()
    task = Task.init("project", "a run")
    told: list[object] = []
    assert task.update_output_model_and_upload("model.pt") == f"file://{tmp_path}/model.pt"
    url = task.update_output_model_and_upload("model.pt", async_enable=True, cb=told.append)
    assert told == [url]
    task.update_output_model("file:///w.pt", "a name")
    task.set_input_model(model_name="a model")
    task.set_input_model("an id")
    task.connect(InputModel.import_model("model.pt"))
    model = OutputModel(task, name="mine")
    task.connect(model)
    model.update_weights(register_uri="file:///w.pt")
    Path("folder").mkdir()
    Path("folder/weights").write_bytes(b"1")
    model.update_weights("folder")
    assert task.get_models() == {"input": [], "output": []}
    task.close()
    assert threading.active_count() == threads
    assert not atrains_home.exists()


def test_every_call_is_taken_in_asyncio_code(atrains_home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with Task.ainit("project", "a run") as task:
            assert await task.update_output_model_and_upload("model.pt") == f"file://{tmp_path}/model.pt"
            assert dict(await task.models) == {"input": [], "output": []}

    asyncio.run(main())
    assert not atrains_home.exists()
