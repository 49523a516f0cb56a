"""Names that nobody gave: every way to start Python gives a name that a server takes, and a repository gives its own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from atrains._capture.defaults import default_project_name, default_task_name
from atrains._wire.names import validate_name

CHECKOUT = Path(__file__).parents[3]
PROGRAM = """\
import os
from atrains._capture.defaults import default_project_name, default_task_name
print(f"<{default_project_name(os.environ)}|{default_task_name(os.environ)}>", flush=True)
"""


def names_from(arguments: list[str], cwd: Path, *, stdin: str = "", variables: Mapping[str, str] | None = None) -> tuple[str, str]:
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(variables or {})}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, input=stdin, env=environ, capture_output=True, text=True, check=False)
    assert "<" in done.stdout, done.stderr
    return in_brackets(done.stdout)


def in_brackets(output: str) -> tuple[str, str]:
    project, _, task = output.partition("<")[2].partition(">")[0].partition("|")
    for name in (project, task):
        assert validate_name(name, what="default") == name
    return project, task


def repository(folder: Path, url: str | None = None) -> Path:
    git("init", "--quiet", str(folder))
    if url is not None:
        git("-C", str(folder), "remote", "add", "origin", url)
    return folder


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


# The task's name, by how the program was started.


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("train.py", "train"),
        ("a.py", "a.py"),
        ("my model.v2.py", "my model.v2"),
        ("run", "run"),
        ("ab", "script ab"),
        ("trainer/__main__.py", "trainer"),
        ("naïve.py", "naïve"),
    ],
)
def test_a_script_is_named_by_its_file(tmp_path: Path, path: str, name: str) -> None:
    script = tmp_path / path
    script.parent.mkdir(exist_ok=True)
    script.write_text(PROGRAM)
    assert names_from([str(script)], tmp_path)[1] == name


def test_a_script_whose_name_is_no_text_still_has_a_valid_name(tmp_path: Path) -> None:
    script = os.fsencode(tmp_path) + b"/caf\xe9.py"
    try:
        Path(os.fsdecode(script)).write_text(PROGRAM)
    except OSError:  # a file system that takes UTF-8 only cannot hold such a script
        assert sys.platform == "darwin"
        return
    assert names_from([os.fsdecode(script)], tmp_path)[1] == "caf?"


@pytest.mark.parametrize(("module", "name"), [("jobs.nightly", "jobs.nightly"), ("jobs", "jobs"), ("x", "module x")])
def test_a_module_is_named_as_it_was_started(tmp_path: Path, module: str, name: str) -> None:
    (tmp_path / "jobs").mkdir()
    for path in ("jobs/__init__.py", "jobs/__main__.py", "jobs/nightly.py", "x.py"):
        (tmp_path / path).write_text(PROGRAM if not path.endswith("__init__.py") else "")
    assert names_from(["-m", module], tmp_path)[1] == name


def test_an_archive_and_a_folder_are_named_by_their_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "trainer.pyz", "w") as archive:
        archive.writestr("__main__.py", PROGRAM)
    assert names_from(["trainer.pyz"], tmp_path)[1] == "trainer"
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "__main__.py").write_text(PROGRAM)
    assert names_from(["job/"], tmp_path)[1] == "job"
    assert names_from(["."], tmp_path / "job")[1] == "job"


def test_code_without_a_file_is_named_by_the_way_it_came(tmp_path: Path) -> None:
    assert names_from(["-c", PROGRAM], tmp_path) == ("Untitled", "python -c")
    assert names_from([], tmp_path, stdin=PROGRAM) == ("Untitled", "stdin")
    assert names_from(["-"], tmp_path, stdin=PROGRAM) == ("Untitled", "stdin")


def test_a_prompt_on_a_terminal_has_a_name(tmp_path: Path) -> None:
    (tmp_path / "program").write_text(PROGRAM)
    terminal, end = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "dumb"}
    child = subprocess.Popen([sys.executable, "-i"], cwd=tmp_path, stdin=end, stdout=end, stderr=end, env=environ, close_fds=True)
    os.close(end)
    output = b""
    try:
        os.write(terminal, b"exec(open('program').read()); exit()\n")
        deadline = time.monotonic() + 30
        while b">" not in output.partition(b"<")[2] and time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                output += os.read(terminal, 4096)
    finally:
        child.kill()
        child.wait()
        os.close(terminal)
    assert in_brackets(output.decode(errors="replace")) == ("Untitled", "interactive")


def test_a_script_that_ends_in_a_prompt_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    assert names_from(["-i", "train.py"], tmp_path, stdin=PROGRAM)[1] == "train"


def test_a_worker_of_a_pool_has_the_name_of_the_script(tmp_path: Path) -> None:
    script = """\
import multiprocessing, os
from atrains._capture.defaults import default_project_name, default_task_name
def show(): print(f"<{default_project_name(os.environ)}|{default_task_name(os.environ)}>", flush=True)
if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=show)
    worker.start()
    worker.join()
"""
    (tmp_path / "pooled.py").write_text(script)
    assert names_from(["pooled.py"], tmp_path)[1] == "pooled"


NOTEBOOK_KERNEL = """\
import sys, types
shell = types.SimpleNamespace(kernel=object())
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = lambda: shell
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
"""


def test_a_notebook_is_named_by_its_file_where_the_front_end_tells_it(tmp_path: Path) -> None:
    kernel = NOTEBOOK_KERNEL + PROGRAM
    session = {"JPY_SESSION_NAME": str(tmp_path / "Explore data.ipynb")}
    assert names_from(["-c", kernel], tmp_path)[1] == "notebook"
    assert names_from(["-c", kernel], tmp_path, variables=session)[1] == "Explore data"
    assert names_from(["-c", kernel], tmp_path, variables={"JPY_SESSION_NAME": "console-1-0f3a"})[1] == "notebook"
    in_editor = f"__vsc_ipynb_file__ = {str(tmp_path / 'ab.ipynb')!r}\n" + kernel
    assert names_from(["-c", in_editor], tmp_path)[1] == "ab.ipynb"


def test_a_script_started_from_a_notebook_is_still_a_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    assert names_from(["train.py"], tmp_path, variables={"JPY_SESSION_NAME": "/x/Explore.ipynb"})[1] == "train"


def test_ipython_on_a_terminal_has_a_name(tmp_path: Path) -> None:
    terminal = NOTEBOOK_KERNEL.replace("kernel=object()", "").replace('sys.modules["ipykernel"]', "_")
    assert names_from(["-c", terminal + PROGRAM], tmp_path)[1] == "ipython"


def test_under_a_test_runner_the_names_are_valid() -> None:
    assert validate_name(default_task_name(), what="task")
    assert validate_name(default_project_name(), what="project")


# The project's name, by the repository.


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/org/vision-lab.git", "vision-lab"),
        ("https://user:secret@host.example/org/vision-lab/", "vision-lab"),
        ("git@github.com:org/vision-lab.git", "vision-lab"),
        ("host:vision-lab.git", "vision-lab"),
        ("ssh://git@host:2222/org/vision-lab", "vision-lab"),
        ("file:///srv/git/vision-lab.git/", "vision-lab"),
        ("/srv/git/vision-lab/.git", "vision-lab"),
        ("C:\\repos\\vision-lab.git", "vision-lab"),
        ("https://dev.azure.com/org/Vision%20Lab/_git/Vision%20Lab", "Vision Lab"),
        ("https://host/org/a b #1", "a b #1"),
        ("https://host/org/ml.git", "repository ml"),
        ("https://user:secret@host.example", "checkout"),
        ("..", "checkout"),
        ("", "checkout"),
    ],
)
def test_the_project_is_the_repository_that_origin_names(tmp_path: Path, url: str, name: str) -> None:
    folder = repository(tmp_path / "checkout", url)
    script = folder / "deep" / "er" / "train.py"
    script.parent.mkdir(parents=True)
    script.write_text(PROGRAM)
    assert names_from([str(script)], tmp_path)[0] == name


def test_without_a_remote_the_folder_gives_the_name_and_origin_wins_over_others(tmp_path: Path) -> None:
    folder = repository(tmp_path / "my-repo")
    assert names_from(["-c", PROGRAM], folder)[0] == "my-repo"
    git("-C", str(folder), "remote", "add", "upstream", "https://host/other/upstream-name.git")
    assert names_from(["-c", PROGRAM], folder)[0] == "upstream-name"
    git("-C", str(folder), "remote", "add", "origin", "https://host/other/origin-name.git")
    assert names_from(["-c", PROGRAM], folder)[0] == "origin-name"


def test_a_config_written_by_hand_is_read_as_git_does(tmp_path: Path) -> None:
    folder = repository(tmp_path / "checkout")
    config = '[Remote "origin"] ; mine\n\tpushurl = https://host/push.git\n\tURL = "https://host/org/\\\nby-hand.git" # note\n'
    (folder / ".git" / "config").write_text(config)
    assert names_from(["-c", PROGRAM], folder)[0] == "by-hand"
    (folder / ".git" / "config").write_text("[remote.origin]\nurl=https://host/org/old-form ; note\n")
    assert names_from(["-c", PROGRAM], folder)[0] == "old-form"


def test_worktrees_and_submodules_have_the_name_of_their_repository(tmp_path: Path) -> None:
    library = repository(tmp_path / "library")
    git("-C", str(library), "commit", "--allow-empty", "-m", "first")
    git("-C", str(library), "worktree", "add", str(tmp_path / "feature-branch"))
    assert names_from(["-c", PROGRAM], tmp_path / "feature-branch")[0] == "library"
    product = repository(tmp_path / "product")
    git("-C", str(product), "submodule", "add", str(library), "vendored")
    assert names_from(["-c", PROGRAM], product / "vendored")[0] == "library"
    git("-C", str(library), "remote", "add", "origin", "git@host:org/the-library.git")
    assert names_from(["-c", PROGRAM], tmp_path / "feature-branch")[0] == "the-library"
    git("clone", "--bare", str(library), str(tmp_path / "bare-one.git"))
    git("-C", str(tmp_path / "bare-one.git"), "remote", "remove", "origin")
    git("-C", str(tmp_path / "bare-one.git"), "worktree", "add", str(tmp_path / "topic"), "-b", "topic")
    assert names_from(["-c", PROGRAM], tmp_path / "topic")[0] == "bare-one"


def test_the_repository_of_the_script_wins_over_that_of_the_working_directory(tmp_path: Path) -> None:
    script = repository(tmp_path / "of-script") / "train.py"
    script.write_text(PROGRAM)
    other = repository(tmp_path / "of-folder")
    (other / "link.py").symlink_to(script)
    assert names_from([str(script)], other)[0] == "of-script"
    assert names_from(["link.py"], other)[0] == "of-script"
    lonely = tmp_path / "lonely.py"
    lonely.write_text(PROGRAM)
    assert names_from([str(lonely)], other)[0] == "of-folder"


@pytest.mark.parametrize("content", [None, b"", b"gitdir:", b"gitdir: /nowhere", b"\xff\x00gitdir", b"gitdir: a\0b"])
def test_a_broken_repository_is_no_error(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    if content is None:
        (folder / ".git").mkdir()
    else:
        (folder / ".git").write_bytes(content)
    assert names_from(["-c", PROGRAM], folder)[0] in {"Untitled", "broken"}


def test_a_working_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"import os; os.rmdir({str(gone)!r})\n" + PROGRAM
    assert names_from(["-c", program], gone) == ("Untitled", "python -c")


def test_names_cost_no_process_and_no_heavy_import(tmp_path: Path) -> None:
    folder = repository(tmp_path / "checkout", "https://host/org/quick%20one.git")
    program = PROGRAM + "import sys\nassert not {'subprocess', 'asyncio', 'IPython', 'configparser', 'orjson'} & set(sys.modules)\n"
    (folder / "train.py").write_text(program + "print('light')\n")
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "train.py"], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert "light" in done.stdout, done.stderr
