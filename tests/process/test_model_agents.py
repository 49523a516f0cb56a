"""A model that an agent's user has chosen for a task takes the place of the one in the code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from atrains.testing import RunningServer
    from tests.conftest import User

DRAFT = """
import json
from atrains import InputModel, Task

models = [InputModel.import_model(f"file:///{name}.pt", name=f"model {name}", create_as_published=True).id for name in "abc"]
draft = Task.create("agents", "a draft")
draft.set_input_model(models[0])
print(json.dumps([draft.id, Task.create("agents", "a bare draft").id, models]))
"""
RUN = """
import json, sys
from atrains import InputModel, OutputModel, Task

task = Task.init("agents", "a draft", auto_connect_streams=False)
model = InputModel(sys.argv[1])
assert task.connect(model) is model
print(json.dumps([task.id, model.id, model.name, [found.id for found in task.get_models()["input"]]]))
"""


@pytest.mark.parametrize("home", ["local", "served"])
def test_the_chosen_model_is_used_in_place_of_the_connected_one(user: User, request: pytest.FixtureRequest, home: str) -> None:
    if home == "served":
        server: RunningServer = request.getfixturevalue("atrains_server")
        user = replace(user, variables=server.environment)
    made = user.run(DRAFT, name="draft.py")
    assert made.code == 0, made.stderr
    draft, bare, (chosen, in_code, _) = json.loads(made.stdout)
    done = user.run(RUN, in_code, name="run.py", TRAINS_TASK_ID=draft)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout) == [draft, chosen, "model a", [chosen]]
    done = user.run(RUN, in_code, name="run.py", TRAINS_TASK_ID=bare)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout) == [bare, in_code, "model b", [in_code]]
