"""What is recorded of the program behind a run, with real repositories, real git and real ways to start Python; and what it never does."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from atrains.testing import RunningServer
from tests.checkout import PROGRAM, Checkout


@pytest.fixture
def checkout(user: Any, tmp_path: Path) -> Checkout:
    package = str(Path(sys.modules["atrains"].__file__ or "").parents[1])
    return Checkout(tmp_path / "checkout", user.environment(PYTHONPATH=package))


def test_clean(checkout: Checkout) -> None:
    """A run of what is committed is that commit, and nothing else."""
    commit = checkout.commit()
    checkout.git("remote", "add", "origin", "https://somebody:secret-word@example.com/team/project.git")
    found = checkout.run()
    script = found["script"]
    requirements = script.pop("requirements")["pip"]
    assert script == {
        "repository": "https://example.com/team/project.git",
        "branch": "main",
        "version_num": commit,
        "entry_point": "train.py",
        "working_dir": ".",
        "binary": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "diff": "",
    }
    first, *lines = requirements.splitlines()
    assert first == f"# Python {' '.join(sys.version.split())}"
    assert len(lines) == 2, f"atrains, which brings along what it needs itself: {lines}"
    assert lines[1].startswith(("atrains == ", "-e file:"))
    assert found["program"] == {"root": str(checkout.folder)}
    assert found["status"] == "completed"


def test_what_differs_runs_again_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    """Changed, staged, new, removed, renamed, binary and odd files: an agent that applies the difference has the same program."""
    for name in ("changed.txt", "removed.txt", "renamed.txt", "staged.txt", "both.txt"):
        checkout.write(name, f"{name}\n" * 20)
    checkout.write("no newline.txt", "one")
    checkout.write("windows.txt", "one\r\ntwo\r\n")
    (checkout.folder / "image.bin").write_bytes(bytes(range(256)))
    checkout.commit()
    checkout.write("staged.txt", "staged\n")
    checkout.write("both.txt", "first\n")
    checkout.write("added.txt", "added\n")
    checkout.git("add", "staged.txt", "both.txt", "added.txt")
    checkout.write("both.txt", "second\n")
    checkout.write("changed.txt", "grün\n")
    checkout.write("no newline.txt", "one\ntwo")
    checkout.write("windows.txt", "one\r\nthree\r\n")
    (checkout.folder / "image.bin").write_bytes(bytes(reversed(range(256))))
    (checkout.folder / "removed.txt").unlink()
    checkout.git("mv", "renamed.txt", "new name.txt")
    checkout.write("unknown.txt", "not in git")
    found = checkout.run()
    assert found["script"]["diff"].startswith("diff ")
    assert found["program"]["untracked"] == ["unknown.txt"]
    folder = checkout.again(found["script"], tmp_path / "agent")
    there = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    here = {path.name: path.read_bytes() for path in checkout.folder.iterdir() if path.is_file()}
    here.pop("unknown.txt")
    assert there == here


def test_a_program_that_git_does_not_know_yet_comes_along(checkout: Checkout, tmp_path: Path) -> None:
    """The usual beginning: a new script in an old repository."""
    checkout.write("tools/README", "tools\n")
    checkout.commit()
    checkout.write("experiments/new.py", PROGRAM.rstrip("\n"))
    found = checkout.run("new.py", folder=checkout.folder / "experiments")
    assert found["script"]["working_dir"] == "experiments"
    folder = checkout.again(found["script"], tmp_path / "agent")
    assert (folder / found["script"]["entry_point"]).read_text() == PROGRAM.rstrip("\n")


def test_staged_only(checkout: Checkout) -> None:
    """What was only staged is a difference as well."""
    checkout.commit()
    checkout.write("train.py", PROGRAM + "# staged\n")
    checkout.git("add", "train.py")
    assert "+# staged" in checkout.run()["script"]["diff"].splitlines()


def test_detached_head(checkout: Checkout) -> None:
    """A checked-out commit is that commit, of no branch."""
    first = checkout.commit()
    checkout.write("more", "more")
    checkout.commit()
    checkout.git("checkout", "--quiet", first)
    script = checkout.run()["script"]
    assert (script["version_num"], script["branch"]) == (first, "")


def test_the_branch_is_the_one_that_is_followed(checkout: Checkout, tmp_path: Path) -> None:
    """Others know a branch by its name at the remote; commits that were not pushed are in the difference on request."""
    pushed = checkout.commit()
    checkout.git("init", "--quiet", "--bare", str(tmp_path / "remote.git"))
    checkout.git("remote", "add", "upstream", str(tmp_path / "remote.git"))
    checkout.git("push", "--quiet", "upstream", "main:feature/one")
    checkout.git("branch", "--quiet", "--set-upstream-to=upstream/feature/one")
    checkout.write("train.py", PROGRAM + "# not pushed\n")
    local = checkout.commit()
    script = checkout.run()["script"]
    assert (script["branch"], script["version_num"], script["diff"]) == ("feature/one", local, "")
    assert script["repository"] == str(tmp_path / "remote.git")
    config = checkout.folder.parent / "clearml.conf"
    config.write_text("sdk.development.store_code_diff_from_remote: true\n")
    script = checkout.run(ATRAINS_CONFIG_FILE=str(config))["script"]
    assert (script["branch"], script["version_num"]) == ("feature/one", pushed)
    folder = checkout.again(script, tmp_path / "agent")
    assert (folder / "train.py").read_text() == PROGRAM + "# not pushed\n"


def test_submodules(checkout: Checkout, tmp_path: Path) -> None:
    """What differs inside of a submodule is in the difference, and one with new files alone does not turn it into a program."""
    library = Checkout(tmp_path / "library", checkout.environ)
    library.write("lib.py", "value = 1\n")
    library.commit()
    checkout.git("submodule", "--quiet", "add", str(library.folder), "library")
    checkout.commit()
    checkout.write("library/lib.py", "value = 2\n")
    script = checkout.run()["script"]
    assert script["diff"].startswith("diff ")
    assert "+value = 2" in script["diff"].splitlines()
    assert "Submodule" not in script["diff"]
    checkout.git("checkout", "lib.py", folder=checkout.folder / "library")
    checkout.write("library/unknown.py", "value = 3\n")
    assert checkout.run()["script"]["diff"] == ""


def test_shallow(checkout: Checkout, tmp_path: Path) -> None:
    """A clone of the last commit alone is enough."""
    checkout.commit()
    checkout.write("more", "more")
    commit = checkout.commit()
    checkout.git("clone", "--quiet", "--depth=1", checkout.folder.as_uri(), str(tmp_path / "shallow"))
    script = checkout.run(folder=tmp_path / "shallow")["script"]
    assert (script["version_num"], script["branch"], script["diff"]) == (commit, "main", "")


@pytest.mark.parametrize("kind", ["no repository", "no commits", "no git"])
def test_a_program_alone(kind: str, checkout: Checkout) -> None:
    """Where there is no commit to go back to, the whole program is kept, and runs elsewhere."""
    variables = {}
    if kind == "no repository":
        shutil.rmtree(checkout.folder / ".git")
    if kind == "no git":
        checkout.commit()
        empty = checkout.folder.parent / "bin"
        empty.mkdir()
        variables["PATH"] = str(empty)
    found = checkout.run(str(checkout.folder / "train.py"), folder=checkout.folder.parent, **variables)
    script = found["script"]
    assert script["diff"] == PROGRAM
    assert (script["entry_point"], script["working_dir"]) == ("train.py", ".")
    assert (script["repository"], script["branch"], script["version_num"]) == ("", "", "")
    assert ("repository" in found["program"].get("missing", {})) == (kind == "no git")


def test_a_huge_difference_is_an_artifact_and_still_runs(checkout: Checkout, tmp_path: Path) -> None:
    """The files that fit whole are applied elsewhere; everything is in the artifact."""
    checkout.write("data.txt", "small\n")
    checkout.commit()
    checkout.write("data.txt", "".join(f"line {number}\n" for number in range(60_000)))
    checkout.write("train.py", PROGRAM + "# changed\n")
    found = checkout.run()
    assert len(found["script"]["diff"]) < 500_000
    assert found["program"]["left_out"] == ["data.txt"]
    folder = checkout.again(found["script"], tmp_path / "agent")
    assert (folder / "train.py").read_text() == PROGRAM + "# changed\n"
    (artifact,) = found["artifacts"]
    assert artifact["key"] == "auxiliary_git_diff"
    stored = Path(checkout.environ["ATRAINS_HOME"], artifact["uri"].removeprefix("home:").lstrip("/")).read_text()
    assert "+line 59999" in stored
    assert "+# changed" in stored


def test_secrets_are_left_out(checkout: Checkout) -> None:
    """Keys in the text, on the command line and in the environment reach no record; the program itself keeps them."""
    key = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    checkout.write("package/__init__.py", "")
    checkout.write("package/__main__.py", PROGRAM + "assert sys.argv[1:] == ['--password', 'swordfish-7', '--size=3']\n")
    checkout.commit()
    checkout.git("remote", "add", "origin", "https://bot:hunter2-hunter2@example.com/team/project.git")
    checkout.write("train.py", PROGRAM + f"url = 'https://{key}@example.com'\nvalue = 'environment-secret'\n")
    variables = {"MY_SERVICE_TOKEN": "environment-secret", "ATRAINS_LOG_ENVIRONMENT": "MY_*", "MY_SIZE": "3"}
    found = checkout.run("-m", "package", "--password", "swordfish-7", "--size=3", **variables)
    assert found["script"]["entry_point"] == "-m package --password '***' --size=3"
    text = json.dumps(found)
    for secret in (key, "swordfish-7", "environment-secret", "hunter2"):
        assert secret not in text, secret
    assert "+url = 'https://***@example.com'" in found["script"]["diff"].splitlines()
    assert [*found["hyperparams"]["Environment"]] == ["MY_SIZE"]
    kept = checkout.run("-m", "package", "--password", "swordfish-7", "--size=3", ATRAINS_CAPTURE_REDACT="no")
    assert key in kept["script"]["diff"]


def test_modules(checkout: Checkout) -> None:
    """`python -m` is recorded as such, with arguments that are found from the working directory."""
    checkout.write("sources/package/__init__.py", "")
    checkout.write("sources/package/train.py", PROGRAM)
    data = checkout.write("data/one.txt", "one")
    checkout.commit()
    script = checkout.run("-m", "package.train", str(data), "--epochs", "3", folder=checkout.folder / "sources")["script"]
    assert (script["working_dir"], script["entry_point"]) == ("sources", "-m package.train ../data/one.txt --epochs 3")


def test_archives_and_folders(checkout: Checkout) -> None:
    """A zipapp is started as the file that it is, a folder by the program in it."""
    checkout.write("tool/__main__.py", PROGRAM)
    with zipfile.ZipFile(checkout.folder / "tool.pyz", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    checkout.commit()
    assert checkout.run("tool.pyz")["script"]["entry_point"] == "tool.pyz"
    assert checkout.run("tool")["script"]["entry_point"] == "tool/__main__.py"
    shutil.rmtree(checkout.folder / ".git")
    script = checkout.run("tool.pyz")["script"]
    assert (script["entry_point"], script["diff"]) == ("tool.pyz", "")


def test_code_without_a_file(checkout: Checkout) -> None:
    """Code on the command line is kept as a program; what was piped in has no text that could be."""
    commit = checkout.commit()
    script = checkout.run("-c", PROGRAM)["script"]
    assert (script["entry_point"], script["diff"], script["version_num"]) == ("command.py", PROGRAM, commit)
    script = checkout.run("-", stdin=PROGRAM)["script"]
    assert (script["entry_point"], script["diff"], script["version_num"]) == ("", "", commit)


def test_a_run_under_pytest(checkout: Checkout) -> None:
    """A command that was installed is started as its module."""
    indented = PROGRAM.replace("\n", "\n    ")
    checkout.write("test_it.py", f"def test_it(monkeypatch):\n    monkeypatch.undo()\n    {indented}\n")
    checkout.commit()
    command = str(Path(sys.executable).with_name("pytest"))
    quiet = ["-q", "-s", "-p", "no:atrains", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run([command, *quiet], cwd=checkout.folder, env=checkout.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert found["script"]["entry_point"] == "-m pytest -q -s -p no:atrains -p no:cacheprovider test_it.py"
    assert "pytest" in found["script"]["requirements"]["pip"]


def slow_git(folder: Path, seconds: float) -> str:
    """A PATH with a git that takes its time, and a child that would hold its pipes even longer."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n/bin/sleep {seconds * 20} &\n/bin/sleep {seconds}\nexit 1\n")
    (folder / "git").chmod(0o755)
    return str(folder)


def test_init_does_not_wait_for_git(checkout: Checkout, tmp_path: Path) -> None:
    """Whatever git does, `init` returns at once; and the end of the run waits for it only so long."""
    checkout.commit()
    found = checkout.run(PATH=slow_git(tmp_path / "bin", 3))
    assert found["init"] < 1.5
    assert found["status"] == "completed"
    shutil.rmtree(tmp_path / "bin")
    found = checkout.run(PATH=slow_git(tmp_path / "bin", 60))
    assert found["init"] < 1.5
    assert found["close"] < 9
    assert found["status"] == "completed"


def test_switched_off(checkout: Checkout) -> None:
    """By the call, or by a setting: nothing is looked at, and nothing recorded."""
    checkout.commit()
    assert not checkout.run(ATRAINS_CAPTURE="no")["script"].get("entry_point")
    checkout.write("train.py", PROGRAM.replace('"program")', '"program", auto_connect_frameworks={"detect_repository": False})'))
    assert not checkout.run()["script"].get("entry_point")
    checkout.write("train.py", PROGRAM + "# changed")
    assert checkout.run(ATRAINS_CAPTURE_DIFF="no")["script"]["diff"] == ""


def test_nothing_of_it_is_imported_before_init_returns(checkout: Checkout) -> None:
    """A program begins as fast as without it."""
    look = PROGRAM.replace("task.close()", "early = [name for name in sys.modules if name == 'atrains._capture.script']\ntask.close()")
    checkout.write("train.py", look.replace('"init": took', '"early": early, "init": took'))
    assert checkout.run()["early"] == []


def test_children_and_agents_record_nothing(checkout: Checkout) -> None:
    """A task has one program: that of its main process, or the one that an agent was given, with the variables of the task."""
    checkout.write("child.py", "from atrains import Task\nTask.init('capture', 'program').close()\n")
    child = "import subprocess\nsubprocess.run([sys.executable, 'child.py'], check=True)\n"
    checkout.write("train.py", PROGRAM.replace("took = time", child + "took = time"))
    checkout.commit()
    assert checkout.run()["script"]["entry_point"] == "train.py"
    draft = """
import sys
from atrains import Task
task = Task.create("capture", "draft")
task.set_parameter("Environment/FROM_THE_TASK", "yes")
task.set_parameter("Environment/ATRAINS_QUIET", "0")
print(task.id)
"""
    made = subprocess.run([sys.executable, "-c", draft], env=checkout.environ, capture_output=True, text=True, check=True).stdout.strip()
    look = PROGRAM.replace("task.close()", "import os\nassert os.environ['FROM_THE_TASK'] == 'yes'\ntask.close()")
    checkout.write("train.py", look)
    assert not checkout.run(TRAINS_TASK_ID=made)["script"].get("entry_point")


def test_variables_of_a_run_without_history(checkout: Checkout) -> None:
    """What an environment without git says of the program holds, as do the image and the packages that are asked for."""
    checkout.write(
        "train.py", PROGRAM.replace("begun =", "Task.add_requirements('numpy', '1.0')\nTask.add_requirements('wanted.txt')\nbegun =")
    )
    checkout.write("wanted.txt", "# a file\nlocal-thing >= 2  # wanted\n-r other.txt\n")
    shutil.rmtree(checkout.folder / ".git")
    given = {
        "CLEARML_VCS_REPO_URL": "ssh://git:secret@example.com/x.git",
        "CLEARML_VCS_COMMIT_ID": "a" * 40,
        "CLEARML_VCS_BRANCH": "release",
        "TRAINS_VCS_DIFF": "",
        "TRAINS_DOCKER_IMAGE": "python:3.12 --ipc=host",
    }
    found = checkout.run(**given)
    script = found["script"]
    assert script["repository"] == "ssh://git@example.com/x.git"
    assert (script["branch"], script["version_num"], script["diff"]) == ("release", "a" * 40, "")
    assert found["container"] == {"image": "python:3.12", "arguments": "--ipc=host", "setup_shell_script": ""}
    lines = script["requirements"]["pip"].splitlines()
    assert {"numpy == 1.0", "local-thing >= 2", "-r other.txt"} <= set(lines)


def test_packages_that_are_asked_for_late(checkout: Checkout) -> None:
    """They are recorded all the same, and a line says that it was late."""
    checkout.write("train.py", PROGRAM.replace("task.close()", "Task.add_requirements('late', '>2')\ntask.close()"))
    found = checkout.run()
    assert "late >2" in found["script"]["requirements"]["pip"].splitlines()
    assert "add_requirements('late') came after task" in found["stderr"]


def test_packages_of_conda(checkout: Checkout, tmp_path: Path) -> None:
    """What conda has installed of what the program uses is also recorded by the name that conda knows it by."""
    meta = tmp_path / "environment" / "conda-meta"
    meta.mkdir(parents=True)
    version = importlib.metadata.version("multidict")
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    files = [f"lib/{python}/site-packages/multidict-{version}.dist-info/METADATA"]
    (meta / f"many-dicts-{version}-py_0.json").write_text(json.dumps({"name": "many-dicts", "files": files}))
    found = checkout.run()
    assert set(found["script"]["requirements"]) == {"pip"}
    checkout.write("train.py", f"import sys, multidict, yarl\nsys.prefix = {str(meta.parent)!r}\n{PROGRAM}")
    requirements = checkout.run()["script"]["requirements"]
    assert requirements["conda"].splitlines()[1:] == ["", f"many-dicts == {version}"]
    assert f"multidict == {version}" in requirements["pip"].splitlines()


def test_at_a_server(checkout: Checkout, atrains_server: RunningServer) -> None:
    """It is sent as agents expect it: the script first, the packages after it, once each."""
    commit = checkout.commit()
    found = checkout.run(**atrains_server.environment)
    assert (found["script"]["version_num"], found["status"]) == (commit, "completed")
    sent = [name for name, _, body in atrains_server.requests if name == "tasks.set_requirements" or "script" in (body or {})]
    assert sent == ["tasks.edit", "tasks.set_requirements"]
    assert "aiohttp" not in found["script"]["requirements"]["pip"]
    checkout.write("train.py", f"import aiohttp, multidict\n{PROGRAM}")
    lines = checkout.run(**atrains_server.environment)["script"]["requirements"]["pip"].splitlines()
    assert {"aiohttp", "multidict", "yarl"} <= {line.partition(" ")[0] for line in lines}
    assert not any(line.startswith("psutil ") for line in lines)


def test_while_the_server_is_away(checkout: Checkout, atrains_server: RunningServer) -> None:
    """It waits with everything else, and is delivered by the next run."""
    commit = checkout.commit()
    away = {**atrains_server.environment, "ATRAINS_API_HOST": "http://127.0.0.1:9", "TRAINS_API_HOST": "http://127.0.0.1:9"}
    program = "from atrains import Task\ntask = Task.init('capture', 'away')\nprint('{\"id\": \"' + task.id + '\"}')\n"
    checkout.write("away.py", program)
    checkout.environ["ATRAINS_JOURNAL_DIRECTORY"] = str(checkout.folder.parent / "journals")
    made = checkout.run("away.py", **away)["id"]
    jobs = [path.read_bytes() for path in (checkout.folder.parent / "journals").glob("*/jobs")]
    assert len(jobs) == 1
    assert commit.encode() in jobs[0]
    assert made.encode() in jobs[0]


def test_a_notebook(checkout: Checkout, tmp_path: Path) -> None:
    """A real kernel runs a real notebook: its cells are the program, without what only IPython understands, also those added later."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    commit = checkout.commit()
    cells = [
        "%matplotlib --list\nfrom atrains import Task\ntask = Task.init('capture', 'notebook')",
        "value = 6 * 7",
        "!true",
        "%%time\nkept = 1",
        "if value:\n    !true\nshown = ('%s'\n    % value)",
        "names = !echo one",
        "%%bash\ntrue",
        "task.close()",
    ]
    read = "import json\nrecord = Task.get_task(task.id).data\nprint(json.dumps(record['script']))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in [*cells[1:2], cells[0], *cells[2:], read]])
    path = checkout.folder / "study.ipynb"
    nbformat.write(notebook, path)
    environment = {**checkout.environ, "JPY_SESSION_NAME": str(path), "PYTHONWARNINGS": "default"}
    previous = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(checkout.folder)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(previous)
    printed = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    script = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    assert (script["entry_point"], script["version_num"]) == ("study.py", commit)
    assert "value = 6 * 7" in script["diff"]
    assert "# !true" in script["diff"]
    assert "# %matplotlib --list" in script["diff"]
    without = "\n".join(line for line in script["diff"].splitlines() if not any(word in line for word in ("Task", "task", "record")))
    ran: dict[str, object] = {}
    exec(compile(without, "study.py", "exec"), ran)
    assert (ran["kept"], ran["shown"]) == (1, "42")
