"""Configurations and labels in programs of their own: the examples of the reference, and what an agent hands to the code, on both homes.

The agent is simulated as the code sees it: the id of the task that it runs is in the environment, and somebody edited that task before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

RunScript = Callable[..., Any]

IMPORT = "from atrains import Task\n"
INIT = """
import os, sys, json
from atrains import Task

ours = os.environ.get('TRAINS_TASK_ID')
task = Task.init('project', 'configured', continue_last_task=ours or False)
"""
DRAFT = """
import sys, json
from atrains import Task

draft = Task.create('project', 'edited')
for name, text in json.loads(sys.argv[1]).items():
    draft.set_configuration_object(name, config_text=text)
draft.set_model_label_enumeration(json.loads(sys.argv[2]))
print(draft.id)
"""
READ = """
import sys, json
from atrains import Task

task = Task.get_task(sys.argv[1])
print(json.dumps({
    "configuration": {name: item["value"] for name, item in task.data.get("configuration", {}).items()},
    "labels": task.get_labels_enumeration(),
}))
"""
DICTIONARY = """
my_params = {'layers': 2, 'only in the code': {'a': [1]}}
result = task.connect_configuration(my_params)
assert result is my_params
print(json.dumps({"task": task.id, "values": my_params}))
"""
FILE = """
from pathlib import Path
kind, path, name = sys.argv[1:]
given = {'str': str, 'Path': Path}[kind](path)
got = task.connect_configuration(given, name=name)
assert type(got) is type(given), type(got)
print(json.dumps({"task": task.id, "path": str(got), "text": open(got, newline='').read()}))
"""
LABELS = """
labels = {'in the code': 0}
assert task.connect_label_enumeration(labels) is labels
print(json.dumps({"task": task.id, "labels": labels, "classes": task.get_num_of_classes()}))
"""


@pytest.fixture(params=["local", "served"], autouse=True)
def home(request: pytest.FixtureRequest) -> str:
    """Where the runs of this test go: into a folder of the user, or to a server."""
    return str(request.param)


@pytest.fixture
def user(user: Any, home: str, request: pytest.FixtureRequest) -> Any:
    return user if home == "local" else replace(user, variables=request.getfixturevalue("atrains_server").environment)


class Agent:
    """Runs scripts with a task that was edited before."""

    def __init__(self, run_script: RunScript) -> None:
        self._run = run_script

    def script(self, text: str, *arguments: str, task: str | None = None) -> tuple[Any, str]:
        """Run a script to its good end; returns what it printed as JSON in its last line, and what it said."""
        variables = {"TRAINS_TASK_ID": task} if task else {}
        finished = self._run(text, *arguments, **variables)
        assert finished.code == 0, finished.stderr
        return json.loads(finished.stdout.splitlines()[-1]), finished.stderr

    def draft(self, configurations: dict[str, str], labels: dict[str, int] | None = None) -> str:
        """A task that somebody edited."""
        finished = self._run(DRAFT, json.dumps(configurations), json.dumps(labels or {}))
        assert finished.code == 0, finished.stderr
        return str(finished.stdout.strip())

    def read(self, task: str) -> Any:
        """What another program sees of a task."""
        return self.script(READ, task)[0]


@pytest.fixture
def agent(run_script: RunScript) -> Agent:
    return Agent(run_script)


def test_an_edited_dictionary_comes_back_in_place(agent: Agent) -> None:
    first, _ = agent.script(INIT + DICTIONARY)
    assert agent.read(first["task"])["configuration"] == {"General": 'layers = 2\n"only in the code" {\n  a = [1]\n}\n'}

    task = agent.draft({"General": "# edited\nlayers = ${more}\nmore = 3, model { name = resnet, deep: [true, null, 1.5] }"})
    ran, said = agent.script(INIT + DICTIONARY, task=task)
    assert ran["task"] == task
    assert ran["values"] == {"layers": 3, "more": 3, "model": {"name": "resnet", "deep": [True, None, 1.5]}}
    assert "configuration" not in said
    assert agent.read(task)["configuration"]["General"].startswith("# edited")


def test_what_the_task_does_not_hold_is_stored_and_said(agent: Agent, user: Any) -> None:
    (user.directory / "conf.yaml").write_text("a: 1\n")
    task = agent.draft({"Other": "a = 1"})
    ran, said = agent.script(INIT + DICTIONARY, task=task)
    assert ran["values"] == {"layers": 2, "only in the code": {"a": [1]}}
    assert said.count("holds no configuration 'General'") == 1
    assert set(agent.read(task)["configuration"]) == {"General", "Other"}

    task = agent.draft({"Empty": ""})
    ran, said = agent.script(INIT + FILE, "str", "conf.yaml", "Empty", task=task)
    assert (ran["path"], ran["text"]) == ("conf.yaml", "a: 1\n")
    assert said.count("holds no configuration 'Empty'") == 1
    assert agent.read(task)["configuration"] == {"Empty": "a: 1\n"}

    task = agent.draft({})
    _, said = agent.script(INIT + LABELS, task=task)
    assert said.count("holds no labels") == 1
    assert agent.read(task)["labels"] == {"in the code": 0}


def test_a_dictionary_that_was_broken_by_an_edit_is_an_error_that_says_where(agent: Agent, run_script: RunScript) -> None:
    task = agent.draft({"General": "a = 1\nb = {"})
    finished = run_script(INIT + DICTIONARY, TRAINS_TASK_ID=task)
    assert finished.code != 0
    assert f"ConfigurationError: configuration 'General' of task {task}, line 2" in finished.stderr


@pytest.mark.parametrize("kind", ["str", "Path"])
def test_a_relative_file_is_overwritten_at_once(agent: Agent, user: Any, kind: str) -> None:
    file = user.directory / "sub" / "conf.yaml"
    file.parent.mkdir()
    file.write_text("a: 1\n")
    file.chmod(0o640)
    edited = "\ufeffa: 2 # ü\r\n"
    task = agent.draft({"General": edited})
    with file.open() as before:
        ran, said = agent.script(INIT + FILE, kind, "sub/conf.yaml", "General", task=task)
        # Whoever reads the old file while it is replaced reads all of it.
        assert before.read() == "a: 1\n"
    assert (ran["path"], ran["text"]) == (str(Path("sub/conf.yaml")), edited)
    assert file.read_bytes().decode() == edited
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["conf.yaml"]
    assert "could not be written" not in said


@pytest.mark.parametrize("kind", ["str", "Path"])
@pytest.mark.parametrize("case", ["absolute", "read-only", "missing", "missing folder", "no suffix"])
def test_another_file_is_left_alone_and_a_copy_returned(agent: Agent, user: Any, kind: str, case: str) -> None:
    file = user.directory / "conf.yaml"
    file.write_text("a: 1\n")
    given = {"absolute": str(file), "missing": "none.yaml", "missing folder": "none/none.yaml", "no suffix": "none"}.get(case, "conf.yaml")
    if case == "read-only":
        file.chmod(0o444)
    task = agent.draft({"General": "a: 2\n"})
    ran, said = agent.script(INIT + FILE, kind, given, "General", task=task)
    copy = Path(ran["path"])
    try:
        assert ran["text"] == "a: 2\n"
        assert copy.is_absolute()
        assert copy.parent != user.directory
        assert copy.suffix == (".txt" if case == "no suffix" else ".yaml")
        assert said.count(f"could not be written to {given} (") == 1
        assert str(copy) in said
    finally:
        copy.unlink()
    assert file.read_text() == "a: 1\n"
    assert not (user.directory / "none.yaml").exists()


def test_a_local_run_leaves_every_file_alone(agent: Agent, user: Any) -> None:
    file = user.directory / "conf.yaml"
    file.write_text("a: 1\n")
    for given in ("conf.yaml", str(file)):
        ran, said = agent.script(INIT + FILE, "str", given, "General")
        assert (ran["path"], ran["text"]) == (given, "a: 1\n")
        assert "could not be written" not in said


def test_edited_labels_come_back_in_place(agent: Agent) -> None:
    task = agent.draft({}, {"background": 0, "person": 1, "car": 2})
    ran, _ = agent.script(INIT + LABELS, task=task)
    assert ran == {"task": task, "labels": {"background": 0, "person": 1, "car": 2}, "classes": 3}
    assert agent.read(task)["labels"] == ran["labels"]


# ---- the examples of the reference; their text is that of the reference but for the name of the package in the import

CONNECT_A_FILE = """
config_file = task.connect_configuration(config_file)
my_params = json.load(open(config_file,'rt'))
"""
CONNECT_A_DICTIONARY = """
my_params = task.connect_configuration(my_params)
"""
ENUMERATION = """{
       'background': 0,
       'person': 1
  }"""
PRINT = "print(json.dumps({'task': task.id, 'my_params': my_params}))\n"
WARNINGS = "import warnings\nwarnings.simplefilter('default')\n"


def test_the_example_of_a_file(agent: Agent, user: Any) -> None:
    (user.directory / "conf.json").write_text('{"a": [1, null]}')
    script = (
        "import json\n" + WARNINGS + IMPORT + "task = Task.init('project', 'file')\nconfig_file = 'conf.json'\n" + CONNECT_A_FILE + PRINT
    )
    ran, _ = agent.script(script)
    assert ran["my_params"] == {"a": [1, None]}
    assert agent.read(ran["task"])["configuration"] == {"General": '{"a": [1, null]}'}


def test_the_example_of_a_dictionary(agent: Agent) -> None:
    script = "import json\n" + IMPORT + "task = Task.init('project', 'dict')\nmy_params = {'a': 1}\n" + CONNECT_A_DICTIONARY + PRINT
    ran, _ = agent.script(script)
    assert ran["my_params"] == {"a": 1}
    assert agent.read(ran["task"])["configuration"] == {"General": "a = 1\n"}


@pytest.mark.parametrize("member", ["connect_label_enumeration", "set_model_label_enumeration"])
def test_the_example_of_an_enumeration(agent: Agent, member: str) -> None:
    script = f"import json\n{IMPORT}task = Task.init('project', 'labels')\ntask.{member}({ENUMERATION})\nmy_params = None\n{PRINT}"
    ran, _ = agent.script(script)
    assert agent.read(ran["task"])["labels"] == {"background": 0, "person": 1}
