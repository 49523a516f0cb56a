"""Parameters between processes: an agent runs what a script connected with other values, children edit beside their parent, kills."""

from __future__ import annotations

import ast
import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atrains import Task
from atrains._engine.frame_files import read_frames
from atrains.testing import RunningServer
from tests.conftest import Finished, User, finish
from tests.fault_proxy import FaultProxy

AGENT = {"LOG_LEVEL": "INFO", "LOG_TASK_TO_BACKEND": "0"}


@pytest.fixture(params=["local", "served"])
def anyone(request: pytest.FixtureRequest, user: User, monkeypatch: pytest.MonkeyPatch) -> User:
    """A user whose runs go to the local home, or to a server; this process reads where they go."""
    if request.param == "local":
        return user
    server: RunningServer = request.getfixturevalue("atrains_server")
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return User(user.home, user.directory, server.environment)


def get(task: str) -> Task:
    """A task that is there."""
    found = Task.get_task(task)
    assert found is not None
    return found


def as_agent(task: str) -> dict[str, str]:
    """The environment that an agent gives to the process that it runs a task in."""
    names = {"TASK_ID": task, **AGENT}
    return {prefix + name: value for prefix in ("CLEARML_", "TRAINS_") for name, value in names.items()}


HEAD = """
import enum, json
from dataclasses import dataclass, field
from pathlib import Path
from atrains import Task, TaskParameters, param, percent_param

task = Task.init("project", "source", reuse_last_task_id=False)

class Mode(enum.Enum):
    FAST = 1
    SLOW = 2

def show(values):
    print(json.dumps({name: [type(value).__name__, str(value)] for name, value in values.items()}))
"""

SOURCES = {
    "dict": """
given = {"n": 1, "rate": 0.5, "flag": True, "text": "a", "none": None, "list": [1], "tuple": (1, "x"), "mode": Mode.FAST,
         "path": Path("a"), "inner": {"deep": {"n": 1}}, "same": 7, "bad": 3}
inner = given["inner"]["deep"]
returned = task.connect(given)
assert returned == given, (returned, given)
assert inner is given["inner"]["deep"], "the caller's own dictionaries are updated, not replaced"
show({**given, "inner": 0, "deep": inner["n"]})
""",
    "dataclass": """
@dataclass(frozen=True)
class Deep:
    n: int = 1
@dataclass
class Inner:
    deep: Deep = field(default_factory=Deep)
@dataclass
class Given:
    n: int = 1
    rate: float = 0.5
    flag: bool = True
    text: str = "a"
    none: int | None = None
    list: "list[int]" = field(default_factory=lambda: [1])
    tuple: "tuple[int, str]" = (1, "x")
    mode: Mode = Mode.FAST
    path: Path = Path("a")
    inner: Inner = field(default_factory=Inner)
    same: int = 7
    bad: int = 3
given = Given()
assert task.connect(given) is given
show({**vars(given), "inner": 0, "deep": given.inner.deep.n})
""",
    "attrs": """
import attrs
@attrs.frozen
class Deep:
    n: int = 1
@attrs.define
class Inner:
    deep: Deep = attrs.field(factory=Deep)
@attrs.define
class Given:
    n: int = 1
    rate: float = 0.5
    flag: bool = True
    text: str = "a"
    none: int | None = None
    list: "list[int]" = attrs.field(factory=lambda: [1])
    tuple: "tuple[int, str]" = (1, "x")
    mode: Mode = Mode.FAST
    path: Path = Path("a")
    inner: Inner = attrs.field(factory=Inner)
    same: int = 7
    bad: int = 3
given = Given()
assert task.connect(given) is given
show({**{name: getattr(given, name) for name in Given.__slots__ if not name.startswith("_")}, "inner": 0, "deep": given.inner.deep.n})
""",
    "pydantic": """
from typing import List, Tuple
from pydantic import BaseModel, ConfigDict
class Deep(BaseModel):
    model_config = ConfigDict(frozen=True)
    n: int = 1
class Inner(BaseModel):
    deep: Deep = Deep()
class Given(BaseModel):
    model_config = ConfigDict(validate_assignment=True)
    n: int = 1
    rate: float = 0.5
    flag: bool = True
    text: str = "a"
    none: int | None = None
    list: List[int] = [1]
    tuple: Tuple[int, str] = (1, "x")
    mode: Mode = Mode.FAST
    path: Path = Path("a")
    inner: Inner = Inner()
    same: int = 7
    bad: int = 3
given = Given()
assert task.connect(given) is given
show({**given.__dict__, "inner": 0, "deep": given.inner.deep.n})
""",
    "object": """
class Base:
    n = 1
    rate = 0.5
class Given(Base):
    none: int | None = None
    def __init__(self):
        self.flag, self.text, self.list, self.tuple = True, "a", [1], (1, "x")
        self.mode, self.path, self.inner, self.same, self.bad = Mode.FAST, Path("a"), {"deep": {"n": 1}}, 7, 3
given = Given()
assert task.connect(given) is given
names = ["n", "rate", "flag", "text", "none", "list", "tuple", "mode", "path", "same", "bad"]
show({**{name: getattr(given, name) for name in names}, "inner": 0, "deep": given.inner["deep"]["n"]})
""",
    "class": """
class Given:
    n, rate, flag, text, list, tuple = 1, 0.5, True, "a", [1], (1, "x")
    none: int | None = None
    mode, path, inner, same, bad = Mode.FAST, Path("a"), {"deep": {"n": 1}}, 7, 3
assert task.connect(Given) is Given
names = ["n", "rate", "flag", "text", "none", "list", "tuple", "mode", "path", "same", "bad"]
show({**{name: getattr(Given, name) for name in names}, "inner": 0, "deep": Given.inner["deep"]["n"]})
""",
    "namespace": """
from argparse import Namespace
given = Namespace(n=1, rate=0.5, flag=True, text="a", none=None, list=[1], tuple=(1, "x"), mode=Mode.FAST, path=Path("a"),
                  inner={"deep": {"n": 1}}, same=7, bad=3)
assert task.connect(given) is given
show({**vars(given), "inner": 0, "deep": given.inner["deep"]["n"]})
""",
    "TaskParameters": """
class Given(TaskParameters):
    n = param(1, type=int, desc="how many", range=(0, 100))
    rate = percent_param(0.5)
    flag = True
    text = "a"
    none = param(type=int)
    list = param([1])
    tuple = (1, "x")
    mode = Mode.FAST
    path = Path("a")
    inner = param({"deep": {"n": 1}})
    same = param(7, type=int)
    bad = param(3, type=int, range=(0, 10))
given = Given()
assert task.connect(given) is given
show({**given.to_dict(), "inner": 0, "deep": given.inner["deep"]["n"]})
""",
}
CHANGED = {
    "n": "2", "rate": "1e-2", "flag": "False", "text": "12", "none": "5", "list": "[2, 3]", "tuple": "(2, 'y')", "mode": "SLOW",
    "path": "b/c", "inner/deep/n": "9", "bad": "2.5",
}  # fmt: skip
BEFORE = {
    "n": ["int", "1"], "rate": ["float", "0.5"], "flag": ["bool", "True"], "text": ["str", "a"], "none": ["NoneType", "None"],
    "list": ["list", "[1]"], "tuple": ["tuple", "(1, 'x')"], "mode": ["Mode", "Mode.FAST"], "path": ["PosixPath", "a"],
    "same": ["int", "7"], "bad": ["int", "3"], "deep": ["int", "1"], "inner": ["int", "0"],
}  # fmt: skip
AFTER = BEFORE | {
    "n": ["int", "2"], "rate": ["float", "0.01"], "flag": ["bool", "False"], "text": ["str", "12"], "none": ["int", "5"],
    "list": ["list", "[2, 3]"], "tuple": ["tuple", "(2, 'y')"], "mode": ["Mode", "Mode.SLOW"], "path": ["PosixPath", "b/c"],
    "deep": ["int", "9"],
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_an_agent_runs_a_script_with_the_values_of_the_task(anyone: User, source: str) -> None:
    """Each kind of source sees the values that somebody edited, in its own types; what cannot be cast is named."""
    if source in {"attrs", "pydantic"}:
        pytest.importorskip(source)
    script = HEAD + SOURCES[source]
    first = anyone.run(script)
    assert first.code == 0, first.stderr
    shown = json.loads(first.stdout.splitlines()[-1])
    assert shown == {name: BEFORE[name] for name in shown}

    clone = Task.clone(first.task_ids[0], name="to be run by an agent")
    clone.set_parameters_as_dict({"General": CHANGED})
    second = anyone.run(script, **as_agent(clone.id))
    assert second.code == 0, second.stderr
    shown = json.loads(second.stdout.splitlines()[-1])
    expected = {name: AFTER[name] for name in shown}
    if source in {"dict", "namespace"}:  # nothing declares the type of a None, and it was stored without one
        expected["none"] = ["str", "5"]
    assert shown == expected
    assert "General/bad = '2.5'" in second.stderr
    assert "int" in next(line for line in second.stderr.splitlines() if "General/bad" in line)
    clone.reload()
    assert clone.status == "in_progress", "the agent ends it"
    assert {name: clone.get_parameter(f"General/{name}") for name in CHANGED} == CHANGED
    assert get(first.task_ids[0]).get_parameter("General/n") == "1"


def test_what_is_refused_is_said_once_however_often_it_is_assigned(user: User) -> None:
    script = (
        HEAD
        + """
values = task.connect({"n": 1, "inner": {"rate": 0.5}})
for step in range(100):
    values["n"] = step
    values["inner"]["rate"] = None if step % 2 else 0.1
show(values)
"""
    )
    stored = user.run(script)
    assert stored.code == 0, stored.stderr
    edited = Task.clone(get(stored.task_ids[0]))
    edited.update_parameters({"General/n": "2.5", "General/inner/rate": "x"})
    agent = user.run(script, **as_agent(edited.id))
    assert json.loads(agent.stdout)["n"] == ["int", "99"]
    assert agent.stderr.count("the parameter General/n = '2.5' is no int") == 1
    assert agent.stderr.count("the parameter General/inner/rate = 'x' is no float") == 1


def test_converters_and_validators_may_raise_anything(user: User) -> None:
    script = (
        HEAD
        + """
def is_even(number):
    assert number % 2 == 0, "it is odd"

class Given(TaskParameters):
    names = param("a,b", converter=lambda text: text.split(","))
    size = param(2, type=int, validator=is_even)

show(task.connect(Given()).to_dict())
"""
    )
    stored = user.run(script)
    assert stored.code == 0, stored.stderr
    edited = Task.clone(get(stored.task_ids[0]))
    edited.update_parameters({"General/names": ["c"], "General/size": 3})
    for task in (stored.task_ids[0], edited.id):
        agent = user.run(script, **as_agent(task))
        assert agent.code == 0, agent.stderr
        assert agent.stdout == stored.stdout
    assert "General/names = \"['c']\" is no value that is allowed" in agent.stderr
    assert "General/size = '3' is no value that is allowed (it is odd)" in agent.stderr


def test_an_agent_stores_what_the_task_does_not_hold_and_takes_nothing_else(anyone: User) -> None:
    draft = Task.create("project", "for an agent")
    draft.set_parameters({"a": 5, "only": 1})
    script = """
import json
from atrains import Task
task = Task.init("another", "name")
values = task.connect({"a": 1, "new": 2})
values["later"] = 3
values["only"] = 7  # what the task holds wins
values["a"] = 9
print(json.dumps([task.id, task.name, values]))
task.flush()
"""
    done = anyone.run(script, **as_agent(draft.id))
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout) == [draft.id, "for an agent", {"a": 5, "new": 2, "later": 3, "only": 1}]
    draft.reload()
    assert draft.get_parameters() == {"General/a": "5", "General/only": "1", "General/new": "2", "General/later": "3"}


CHILDREN = """
import multiprocessing, sys
from atrains import Task

def work(number, values):
    task = Task.current_task() or Task.init("project", "parent")
    for step in range(10):
        values[f"child {number}"] = {"step": step}
    task.set_parameter(f"Children/{number}", number)
    task.connect({"connected": number}, name=f"Section {number}")
    task.flush()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    task = Task.init("project", "parent", reuse_last_task_id=False)
    values = task.connect({"parent": 0})
    children = [context.Process(target=work, args=(number, values)) for number in range(8)]
    for child in children:
        child.start()
    for step in range(200):
        values["parent"] = step
        values[f"step {step % 10}"] = step
    task.set_parameter("Parent/set", 1)
    for child in children:
        child.join()
        assert child.exitcode == 0
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore")
def test_edits_of_a_parent_and_eight_children_are_all_kept(anyone: User, method: str) -> None:
    done = anyone.run(CHILDREN, method, PYTHONWARNINGS="ignore")
    assert done.code == 0, done.stderr
    found = get(done.task_ids[0]).get_parameters()
    expected = {f"Children/{number}": str(number) for number in range(8)}
    expected |= {f"Section {number}/connected": str(number) for number in range(8)}
    expected |= {"General/parent": "199", "Parent/set": "1"} | {f"General/step {step}": str(190 + step) for step in range(10)}
    if method == "fork":  # a pickle, which a child that is spawned gets, is a plain dictionary
        expected |= {f"General/child {number}/step": "9" for number in range(8)}
    assert found == expected


def test_a_change_survives_a_kill(anyone: User) -> None:
    script = """
import sys, time
from atrains import Task
task = Task.init("project", "killed", reuse_last_task_id=False)
values = task.connect({"a": 1, "gone": 1})
values["a"] = 2
del values["gone"]
values["n"] = {"x": [1]}
for step in range(2000):
    values["step"] = step
time.sleep(0.5)
print(task.id, flush=True)
sys.stdin.read()
"""
    process = anyone.start(script, CLEARML_FLUSH_PERIOD="3600", ATRAINS_FLUSH_PERIOD="3600")
    assert process.stdout is not None
    task = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    recovered = anyone.run("from atrains import Task; Task.init('project', 'next').close()", name="next.py")
    assert recovered.code == 0, recovered.stderr
    found = get(task)
    deadline = time.monotonic() + 20
    while found.get_parameter("step") != "1999" and time.monotonic() < deadline:
        time.sleep(0.1)
        found.reload()
    assert found.get_parameters() == {"General/a": "2", "General/n/x": "[1]", "General/step": "1999"}


def test_a_setter_does_not_wait_for_a_server_that_is_slow(user: User, run_script: Callable[..., Finished]) -> None:
    """What is set is noticed at once, and costs the loop of the program no request."""
    script = """
import time
from atrains import Task
task = Task.init("project", "fast")
values = task.connect({"n": {"a": 0}})
began, slowest = time.perf_counter(), 0.0
for step in range(20_000):
    before = time.perf_counter()
    values["n"]["a"] = step
    slowest = max(slowest, time.perf_counter() - before)
print((time.perf_counter() - began) / 20_000, slowest)
task.flush()
assert Task.get_task(task.id).get_parameter("n/a") == "19999"
"""
    del user
    done = run_script(script)
    assert done.code == 0, done.stderr
    each, slowest = map(float, done.stdout.split())
    assert each < 1e-3
    assert slowest < 1.0


@pytest.mark.parametrize("version", ["2.8", "2.9"])
def test_parameters_at_an_old_server(user: User, atrains_server: RunningServer, version: str) -> None:
    """At 2.8 names are flat; at 2.9 the calls that merge refuse a task that runs."""
    script = """
import json
from atrains import Task
task = Task.init("project", "old", reuse_last_task_id=False)
values = task.connect({"a": 1, "gone": 2, "n": {"x": 1}})
task.connect({"b": 2}, name="Model")
values["a"] = 3
del values["gone"]
task.set_parameter("Model/c", [1])
task.flush()
task.reload()
print(json.dumps(task.get_parameters_as_dict()))
task.set_parameters_as_dict(task.get_parameters_as_dict())
task.set_parameters({"only": 1})
task.reload()
print(json.dumps(task.get_parameters_as_dict()))
task.set_parameters()
task.reload()
print(json.dumps(task.get_parameters_as_dict()))
"""
    done = replace(user, variables=atrains_server.environment).run(script, CLEARML_FORCE_MAX_API_VERSION=version)
    assert done.code == 0, done.stderr
    found: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [{"General": {"a": "3", "n": {"x": "1"}}, "Model": {"b": "2", "c": "[1]"}}, {"General": {"only": "1"}}, {}]
    assert not [endpoint for endpoint, _, _ in atrains_server.requests if "hyper_params" in endpoint]


def test_changes_wait_for_a_server_that_is_away_in_one_job_and_in_order(user: User, atrains_server: RunningServer) -> None:
    """What is set and deleted while the server is away is stored once it is back, in the order in which it was done."""
    script = """
import sys, time
from atrains import Task
task = Task.init("project", "away", reuse_last_task_id=False)
values = task.connect({"a": 0, "gone": 1})
print("connected", flush=True)
sys.stdin.readline()
began = time.monotonic()
for step in range(50):
    values["a"] = step
    values["n"] = {"x": step}
    time.sleep(0.05)
del values["gone"]
took = time.monotonic() - began
task.flush(timeout=1)
task.set_parameter("General/a", "by hand")  # waits as well, behind the changes
values["b"] = 1
time.sleep(0.5)
print(task.id, took, task.get_parameters(), flush=True)
sys.stdin.readline()
receipt = task.flush(timeout=30)
assert receipt, receipt
"""
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as proxy:
        variables = {name: value.replace(atrains_server.url, proxy.url) for name, value in atrains_server.environment.items()}
        process = replace(user, variables=variables).start(script)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        proxy.refuse()
        process.stdin.write("\n")
        process.stdin.flush()
        task, took, shown = process.stdout.readline().strip().split(maxsplit=2)
        expected = {"General/a": "by hand", "General/n/x": "49", "General/b": "1"}
        assert ast.literal_eval(shown) == expected
        assert float(took) < 10
        (jobs,) = user.home.glob("journals/*/jobs")
        assert len(waiting(jobs, "parameters")) <= 4, "those before and behind the edits, by hand and of what is recorded of the program"
        proxy.listen()
        process.stdin.write("\n")
        process.stdin.flush()
        done = finish(process)
    assert done.code == 0, done.stderr
    read = replace(user, variables=atrains_server.environment).run(
        f"from atrains import Task; print(Task.get_task({task!r}).get_parameters())", name="reader.py"
    )
    assert ast.literal_eval(read.stdout) == expected


def waiting(jobs: Path, kind: str) -> set[int]:
    """The jobs of a journal of one kind that are not marked as done."""
    headers = [frame.header for frame in read_frames(jobs)[0]]
    return {header["job"] for header in headers if header.get("kind") == kind} - {header["done"] for header in headers if "done" in header}
