"""Argparse in programs of their own: what a run stores of its arguments, what an agent hands back, and what stays untouched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atrains import Task
from atrains.testing import RunningServer
from tests.conftest import Finished, User
from tests.process.test_parameters import as_agent

PARSER = """
import argparse, enum, json, os, sys
from pathlib import Path

from atrains import Task

class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"

def csv(text):
    return [int(part) for part in text.split(",")]

def make():
    parser = argparse.ArgumentParser(prog="train")
    parser.add_argument("data", nargs="?", default="train.csv")
    parser.add_argument("--rate", type=float, default=0.1, help="step size (%(default)s)")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--name", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--sizes", type=csv, default=[1, 2])
    parser.add_argument("--layers", nargs="+", type=int, default=[8])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--mode", type=Mode, default=Mode.FAST)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--shuffle", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("-v", dest="verbose", action="count", default=0)
    parser.add_argument("--tag", action="append")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--cpu", dest="device", action="store_const", const="cpu")
    group.add_argument("--gpu", type=int)
    return parser

def show(options):
    options = options if isinstance(options, dict) else vars(options)
    print(json.dumps({name: [type(value).__name__, str(value)] for name, value in options.items()}))
"""
INIT = "task = Task.init('project', 'parsed', reuse_last_task_id=False)\n"
SCRIPTS = {
    "before": PARSER + "options = make().parse_args()\n" + INIT + "show(options)\n",
    "after": PARSER + INIT + "show(make().parse_args())\n",
    "late import": "from atrains import Task\n" + INIT + PARSER + "show(make().parse_args())\n",
    "known": PARSER + INIT + "show(make().parse_known_args()[0])\n",
    "intermixed": PARSER + INIT + "show(make().parse_intermixed_args())\n",
    "into an object": PARSER + INIT + "class Options: pass\noptions = Options()\nmake().parse_args(namespace=options)\nshow(options)\n",
    "asyncio": PARSER
    + """
import asyncio
async def main():
    options = make().parse_args()
    async with Task.ainit('project', 'parsed'):
        show(options)
asyncio.run(main())
""",
    "asked for": PARSER
    + "parser = make()\noptions = parser.parse_args()\n"
    + "task = Task.init('project', 'parsed', reuse_last_task_id=False, auto_connect_arg_parser=False)\n"
    + "assert task.get_parameters() == {}\nassert task.connect(parser) is parser\nshow(options)\n",
    "asked for early": PARSER
    + "parser = make()\n"
    + "task = Task.init('project', 'parsed', reuse_last_task_id=False, auto_connect_arg_parser={})\n"
    + "task.connect(parser)\nshow(parser.parse_args())\n",
    "asked for by namespace": PARSER
    + "options = make().parse_args()\n"
    + "task = Task.init('project', 'parsed', reuse_last_task_id=False, auto_connect_arg_parser=False)\n"
    + "assert task.connect(options) is options\nshow(options)\n",
}
COMMAND_LINE = ["--epochs", "3", "--sizes", "4,5", "--layers", "1", "2", "--folder", "out", "-vv", "--tag", "a", "--gpu", "1"]
STORED = {
    "data": "train.csv", "rate": "0.1", "epochs": "3", "name": "sgd", "sizes": "4,5", "layers": "[1, 2]", "folder": "out", "mode": "FAST",
    "half": "False", "shuffle": "True", "verbose": "2", "tag": '["a"]', "device": "", "gpu": "1",
}  # fmt: skip
TYPES = {
    "data": "str", "rate": "float", "epochs": "int", "name": "str", "sizes": "csv", "layers": "int", "folder": "Path", "mode": "Mode",
    "half": "bool", "shuffle": "bool", "verbose": "int", "tag": "list", "device": "str", "gpu": "int",
}  # fmt: skip
EDITED = {
    "data": "other.csv", "rate": "1e-3", "epochs": "50", "name": "adam", "sizes": "7,8,9", "layers": "[3]", "folder": "there",
    "mode": "SLOW", "half": "true", "shuffle": "0", "verbose": "5", "tag": "[b, c]", "device": "cpu", "gpu": "",
}  # fmt: skip
COMES_BACK = {
    "data": ["str", "other.csv"], "rate": ["float", "0.001"], "epochs": ["int", "50"], "name": ["str", "adam"],
    "sizes": ["list", "[7, 8, 9]"], "layers": ["list", "[3]"], "folder": ["PosixPath", "there"], "mode": ["Mode", "Mode.SLOW"],
    "half": ["bool", "True"], "shuffle": ["bool", "False"], "verbose": ["int", "5"], "tag": ["list", "['b', 'c']"],
    "device": ["str", "cpu"], "gpu": ["NoneType", "None"],
}  # fmt: skip


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


def ran(finished: Finished) -> Finished:
    assert finished.code == 0, finished.stderr
    return finished


def arguments(task_id: str) -> dict[str, Any]:
    task = Task.get_task(task_id)
    assert task is not None
    assert set(task.data.get("hyperparams") or {}) <= {"Args"}
    return dict((task.data.get("hyperparams") or {}).get("Args", {}))


def values(task_id: str) -> dict[str, str]:
    return {name: item["value"] for name, item in arguments(task_id).items()}


def edited(source: str, **changes: str) -> str:
    """A clone of a task, as somebody edited it before an agent runs it."""
    clone = Task.clone(source)
    clone.update_parameters({f"Args/{name}": value for name, value in changes.items()})
    return clone.id


@pytest.mark.parametrize("shape", SCRIPTS)
def test_what_was_parsed_is_stored_and_comes_back_under_an_agent(anyone: User, shape: str) -> None:
    finished = ran(anyone.run(SCRIPTS[shape], *COMMAND_LINE))
    (source,) = finished.task_ids
    assert values(source) == STORED
    items = arguments(source)
    assert {name: item.get("type") or "str" for name, item in items.items()} == TYPES
    assert items["rate"]["description"] == "step size (0.1)"
    assert items["name"]["description"] == "choices: sgd, adam; default: sgd"

    agent = ran(anyone.run(SCRIPTS[shape], **as_agent(edited(source, **EDITED)))) if shape not in NEEDS_A_COMMAND_LINE else None
    if agent is not None:
        assert json.loads(agent.stdout) == COMES_BACK
        assert "parameter" not in agent.stderr


NEEDS_A_COMMAND_LINE = {"before", "asyncio", "asked for", "asked for by namespace"}
"""Where the parse comes before the task is known, what argparse itself requires has to be on the command line."""


@pytest.mark.parametrize("shape", sorted(NEEDS_A_COMMAND_LINE))
def test_what_was_parsed_before_the_run_is_corrected_in_place(user: User, shape: str) -> None:
    (source,) = ran(user.run(SCRIPTS[shape], *COMMAND_LINE)).task_ids
    agent = user.run(SCRIPTS[shape], "--epochs", "3", "--cpu", **as_agent(edited(source, **EDITED)))
    if shape.startswith("asked for"):  # it asserts that the run has no parameters yet, and this one has
        agent = user.run(SCRIPTS[shape].replace("assert task.get_parameters()", "task"), "--epochs", "3", "--cpu",
                         **as_agent(edited(source, **EDITED)))  # fmt: skip
    assert json.loads(ran(agent).stdout) == {**COMES_BACK, "epochs": ["int", "3"]}


def test_the_command_line_wins_over_the_task(user: User) -> None:
    (source,) = ran(user.run(SCRIPTS["after"], *COMMAND_LINE)).task_ids
    task = edited(source, **EDITED)
    for shape in ("before", "after"):
        agent = ran(user.run(SCRIPTS[shape], "--epochs", "4", "--rate", "0.1", "--no-shuffle", "--gpu", "2", "-v", **as_agent(task)))
        found = json.loads(agent.stdout)
        assert found["epochs"] == ["int", "4"]
        assert found["rate"] == ["float", "0.1"]
        assert found["gpu"] == ["int", "2"]
        assert found["name"] == ["str", "adam"]
    assert values(task) == {**STORED, **EDITED}, "what the task held is not overwritten"


def test_what_cannot_be_cast_is_refused_by_name_and_what_is_missing_is_stored(anyone: User) -> None:
    (source,) = ran(anyone.run(SCRIPTS["after"], *COMMAND_LINE)).task_ids
    bad = {"rate": "fast", "name": "other", "sizes": "a,b", "layers": "3", "mode": "medium", "half": "perhaps", "verbose": "much"}
    task = edited(source, **{**EDITED, **bad})
    draft = Task.get_task(task)
    assert draft is not None
    kept = {name: text for name, text in draft.get_parameters().items() if name != "Args/folder"}
    draft.set_parameters(kept)
    agent = ran(anyone.run(SCRIPTS["after"], **as_agent(task)))
    found = json.loads(agent.stdout)
    for name, text in bad.items():
        assert f"the parameter Args/{name} = {text!r} is no " in agent.stderr, name
    assert found == {
        **COMES_BACK, "rate": ["float", "0.1"], "name": ["str", "sgd"], "sizes": ["list", "[1, 2]"], "layers": ["list", "[8]"],
        "mode": ["Mode", "Mode.FAST"], "half": ["bool", "False"], "verbose": ["int", "0"], "folder": ["NoneType", "None"],
    }  # fmt: skip
    assert values(task)["folder"] == ""


COMMANDS = """
import argparse, json, sys
from atrains import Task

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
commands = parser.add_subparsers({named})
train = commands.add_parser("train", aliases=["fit"])
train.add_argument("--rate", type=float, default=0.1)
train.add_argument("--common", default="t")
train.set_defaults(kind="training")
again = train.add_subparsers(dest="phase")
again.add_parser("warm").add_argument("--steps", type=int, default=10)
test = commands.add_parser("test")
test.add_argument("--split", choices=["a", "b"], default="a")
test.add_argument("--common", default="e")
test.set_defaults(kind="testing")
"""


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("dest='command'", "command"),
        ("", "/subparser1"),
        ("title='what to do'", "/what to do"),
        ("dest='command', required=True", "command"),
    ],
)
def test_commands(user: User, named: str, name: str, before: bool) -> None:
    parse = "options = parser.parse_args()\n"
    head = COMMANDS.format(named=named)
    script = head + (parse + INIT if before else INIT + parse) + "print(json.dumps(vars(options)))\n"
    (source,) = ran(user.run(script, "--seed", "2", "train", "--rate", "0.5", "warm")).task_ids
    stored = {"seed": "2", name: "train", "rate": "0.5", "common": "t", "phase": "warm", "steps": "10", "split": "a", "kind": "training"}
    assert values(source) == stored
    if before and "required" in named:
        return
    agent = ran(user.run(script, **as_agent(edited(source, seed="3", rate="0.7", steps="20"))))
    found = {"seed": 3, "rate": 0.7, "common": "t", "phase": "warm", "steps": 20, "kind": "training"}
    chosen = {"command": "train"} if name == "command" else {}
    assert json.loads(agent.stdout) == {**found, **chosen}
    agent = ran(user.run(script, **as_agent(edited(source, **{name: "test", "split": "b", "common": "e", "kind": "other"}))))
    assert json.loads(agent.stdout) == {
        "seed": 2,
        "split": "b",
        "common": "e",
        "kind": "testing",
        **({"command": "test"} if chosen else {}),
    }
    agent = ran(user.run(script, *(["test"] if "required" in named else []), **as_agent(edited(source, **{name: "none"}))))
    assert ("is no one of train, fit, test" in agent.stderr) is ("required" not in named)


def test_arguments_can_be_chosen_by_name(user: User) -> None:
    script = PARSER + "choice = json.loads(sys.argv.pop())\nTask.init('project', 'parsed', auto_connect_arg_parser=choice)\n"
    script = script.replace("Task.init", "options = make().parse_args()\ntask = Task.init") + "show(options)\n"

    def stored(choice: Any) -> tuple[set[str], str]:
        finished = ran(user.run(script.replace("'parsed'", "'parsed', reuse_last_task_id=False"), *COMMAND_LINE, json.dumps(choice)))
        (task,) = finished.task_ids
        return set(values(task)), finished.stderr

    assert stored({"rate": False, "layers": True})[0] == set(STORED) - {"rate"}
    assert stored({"*": False, "rate": True})[0] == {"rate"}
    assert stored({})[0] == stored(False)[0] == set()
    names, said = stored({"epoch": False})
    assert names == set(STORED)
    assert "auto_connect_arg_parser names 'epoch', which is no argument of train: did you mean 'epochs'?" in said
    (source,) = ran(user.run(SCRIPTS["after"], *COMMAND_LINE)).task_ids
    task = edited(source, rate="0.9", name="adam")
    agent = ran(user.run(script, *COMMAND_LINE, json.dumps({"rate": False}), **as_agent(task)))
    found = json.loads(agent.stdout)
    assert (found["rate"], found["name"]) == (["float", "0.1"], ["str", "adam"])


def test_the_values_survive_the_namespace(user: User) -> None:
    script = PARSER + "options = vars(make().parse_args())\n" + INIT + "show(options)\n"
    finished = ran(user.run(script, *COMMAND_LINE))
    (source,) = finished.task_ids
    assert values(source) == {name: text for name, text in STORED.items() if name != "mode"}, "all that is text or numbers"
    agent = ran(user.run(script, *COMMAND_LINE, **as_agent(edited(source, rate="0.9"))))
    assert "their namespace is gone" in agent.stderr
    assert json.loads(agent.stdout)["rate"] == ["float", "0.1"]


def test_a_run_that_is_killed_has_its_arguments(user: User) -> None:
    script = PARSER + INIT + "make().parse_args()\nimport time, signal\ntime.sleep(0.3)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    killed = user.run(script, *COMMAND_LINE)
    (task,) = killed.task_ids
    ran(user.run("from atrains import Task\nTask.init('project', 'the next one')\n", name="next.py"))
    assert values(task) == STORED


def test_each_run_of_a_process_has_the_arguments_that_were_parsed_for_it(user: User) -> None:
    script = """
import argparse
from atrains import Task

parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int)
wrapper = argparse.ArgumentParser.parse_known_args
for number in range(3):
    options = parser.parse_args(["--n", str(number)])
    task = Task.init("project", f"run {number}")
    assert argparse.ArgumentParser.parse_known_args is wrapper
    task.close()
    assert argparse.ArgumentParser.parse_known_args is wrapper
    parser.parse_args(["--n", "99"])
    task.reload()
    assert task.get_parameters() == {"Args/n": str(number)}, task.get_parameters()
"""
    ran(user.run(script))


def test_a_child_process_does_not_overwrite_the_arguments_of_its_parent(user: User) -> None:
    script = """
import argparse, os, subprocess, sys
from atrains import Task

parser = argparse.ArgumentParser()
parser.add_argument("--rank", type=int)
options = parser.parse_args()
task = Task.init("project", "parent", reuse_last_task_id=False)
if options.rank == 0:
    assert task.get_parameters() == {"Args/rank": "0"}
    subprocess.run([sys.executable, __file__, "--rank", "1"], check=True)
    if not os.fork():
        parser.parse_args(["--rank", "2"])
        task.get_logger().report_text("in the child")
        os._exit(0)
    assert os.wait()[1] == 0
"""
    finished = ran(user.run(script, "--rank", "0", PYTHONWARNINGS="error,ignore::DeprecationWarning"))
    (task,) = finished.task_ids
    assert values(task) == {"rank": "0"}


UNTOUCHED = """
import argparse, gc, sys, weakref
originals = [argparse.ArgumentParser.__dict__[name] for name in ("parse_known_args", "parse_known_intermixed_args", "_get_value")]
def now():
    return [argparse.ArgumentParser.__dict__[name] for name in ("parse_known_args", "parse_known_intermixed_args", "_get_value")]
import atrains
"""


def test_a_program_that_never_begins_a_run_is_untouched(user: User) -> None:
    script = (
        UNTOUCHED
        + """
class Big:
    def __str__(self): raise AssertionError("nobody looks at it")
    __repr__ = __eq__ = __str__
    __hash__ = None

parser = argparse.ArgumentParser()
parser.add_argument("--big", type=lambda text: Big())
parser.add_argument("--rate", type=float, default=0.5)
options = parser.parse_args(["--big", "1"])
assert options.rate == 0.5 and type(options.big) is Big
gone = [weakref.ref(thing) for thing in (parser, options, options.big)]
del parser, options
gc.collect()
assert [each() for each in gone] == [None] * 3
for slow in ("atrains._config", "atrains._engine", "atrains._wire", "asyncio", "json"):
    assert slow not in sys.modules, slow
"""
    )
    finished = ran(user.run(script))
    assert finished.stderr == ""
    assert not user.home.exists()


def test_nothing_is_imported_for_argparse(user: User) -> None:
    script = """
import sys
from atrains import Task
assert "argparse" not in sys.modules
Task.init("project", "a run")
assert "argparse" not in sys.modules
count = len(sys.meta_path)
import argparse
assert len(sys.meta_path) == count - 1
assert type(argparse.__loader__) is type(argparse.__spec__.loader) is type(sys.modules["enum"].__loader__)
parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int, default=1)
parser.parse_args([])
print(Task.current_task().get_parameters())
"""
    assert ran(user.run(script)).stdout == "{'Args/n': '1'}\n"


def test_the_variable_switches_it_off(user: User) -> None:
    script = (
        UNTOUCHED + PARSER + "options = make().parse_args()\n" + INIT + "assert now() == originals\nmake().parse_args()\nshow(options)\n"
    )
    finished = ran(user.run(script, *COMMAND_LINE, ATRAINS_NO_ARGPARSE="1"))
    (task,) = finished.task_ids
    assert values(task) == {}
    wrapped_again = (
        UNTOUCHED
        + """
inner = argparse.ArgumentParser.parse_known_args
def outer(self, args=None, namespace=None):
    return inner(self, args, namespace)
argparse.ArgumentParser.parse_known_args = outer
atrains.Task.init("project", "a run")
assert argparse.ArgumentParser.parse_known_args is outer
assert now()[1:] == originals[1:]
parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int)
assert parser.parse_args(["--n", "2"]).n == 2
"""
    )
    ran(user.run(wrapped_again, ATRAINS_NO_ARGPARSE="1"))


def test_a_failure_in_the_hook_is_said_and_the_parse_goes_on(user: User) -> None:
    script = (
        PARSER
        + INIT
        + """
class Odd:
    def __str__(self): raise RuntimeError("no text")
parser = argparse.ArgumentParser(prog="odd")
parser.add_argument("--odd", type=lambda text: Odd(), default=Odd())
parser.add_argument("--n", type=int, default=1)
options = parser.parse_args(["--n", "2"])
assert options.n == 2 and type(options.odd) is Odd
"""
    )
    finished = ran(user.run(script))
    assert "the arguments of odd were not connected: RuntimeError('no text')" in finished.stderr


def test_a_parse_that_fails_ends_the_program_as_ever(user: User) -> None:
    script = PARSER + INIT + "make().parse_args()\n"
    finished = user.run(script, "--epochs", "many")
    assert finished.code == 2
    assert "error: argument --epochs: invalid int value: 'many'" in finished.stderr
    (task,) = finished.task_ids
    found = Task.get_task(task)
    assert found is not None
    assert (values(task), found.status) == ({}, "failed")


def test_threads_parse_at_once(user: User) -> None:
    script = """
import argparse, threading
from atrains import Task

task = Task.init("project", "threads")
def parse(number):
    parser = argparse.ArgumentParser()
    parser.add_argument(f"--n{number}", type=int)
    inner = parser.add_subparsers(dest=f"command{number}").add_parser("go")
    inner.add_argument(f"--m{number}", type=int, default=number)
    for _ in range(20):
        options = parser.parse_args([f"--n{number}", "7", "go"])
        assert vars(options) == {f"n{number}": 7, f"command{number}": "go", f"m{number}": number}
threads = [threading.Thread(target=parse, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
expected = {f"Args/{name}{n}": text for n in range(8) for name, text in (("n", "7"), ("command", "go"), ("m", str(n)))}
task.flush()
assert Task.get_task(task.id).get_parameters() == expected
"""
    ran(user.run(script))
