"""What is asked of git, with real repositories: what the record says is what is there, and asking starts no program of anybody's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from atrains._capture import git
from atrains._capture.commands import CommandError, Deadline
from atrains._capture.patches import addition, file_changes, fitting

pytestmark = pytest.mark.skipif(os.name == "nt" or shutil.which("git") is None, reason="git, and programs in sh")

IDENTITY = '[user]\nname = tester\nemail = tester@example.com\n[protocol "file"]\nallow = always\n[init]\ndefaultBranch = main\n'


class Machine:
    """A folder with a user's settings of git, and repositories in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "settings"
        self.settings.write_text(IDENTITY)
        given = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self.environ = {**given, "GIT_CONFIG_GLOBAL": str(self.settings), "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder)}

    def configure(self, text: str) -> None:
        """Add to the user's settings."""
        self.settings.write_text(IDENTITY + text)

    def git(self, *arguments: str, at: Path) -> str:
        """Run git."""
        return subprocess.run(["git", *arguments], cwd=at, env=self.environ, check=True, capture_output=True, text=True).stdout.strip()

    def repository(self, name: str) -> Path:
        """A repository with one commit of one program."""
        folder = self.folder / name
        folder.mkdir()
        self.git("init", "--quiet", at=folder)
        (folder / "train.py").write_text("value = 1\n")
        self.commit(folder)
        return folder

    def commit(self, folder: Path) -> str:
        """Commit everything."""
        self.git("add", "--all", at=folder)
        self.git("commit", "--quiet", "-m", "a commit", at=folder)
        return self.git("rev-parse", "HEAD", at=folder)

    def find(self, folder: Path, *, diff_from_remote: bool = False, program: Path | None = None, **variables: str) -> git.Repository:
        """What is found of a folder."""
        environ = {**self.environ, **variables}
        found = git.find_repository(folder, environ, from_remote=diff_from_remote, program=program)
        assert found is not None
        return found

    def applies(self, diff: str, source: Path) -> Mapping[str, bytes]:
        """The files of a fresh clone after `git apply`."""
        clone = self.folder / f"clone-{time.monotonic_ns()}"
        self.git("clone", "--quiet", "--recurse-submodules", str(source), str(clone), at=self.folder)
        patch = self.folder / "patch"
        patch.write_bytes(diff.encode())
        self.git("apply", str(patch), at=clone)
        return contents(clone)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def text_of(found: git.Repository) -> str:
    return "".join(change.text for change in file_changes(found.diff))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        "[diff]\nexternal = {program}\n",
        '[diff "mine"]\ncommand = {program}\n',
        '[diff "mine"]\ntextconv = {program}\n',
        "[core]\nfsmonitor = {program}\n",
        "[core]\npager = {program}\n[pager]\ndiff = true\nstatus = true\n",
        "[alias]\ndiff = !{program}\nstatus = !{program}\n",
        "[core]\nhooksPath = {folder}\n",
        "[core]\naskPass = {program}\nsshCommand = {program}\n[credential]\nhelper = {program}\n",
    ],
)
def test_no_program_of_the_users_is_started(settings: str, machine: Machine) -> None:
    """Neither for the repository nor for its submodules; and the difference is one that applies."""
    library, folder = machine.repository("library"), machine.repository("checkout")
    for each in (library, folder):
        (each / ".gitattributes").write_text("*.py diff=mine\n")
        machine.commit(each)
    machine.git("submodule", "--quiet", "add", str(library), "library", at=folder)
    machine.commit(folder)
    (folder / "train.py").write_text("value = 2\n")
    (folder / "library" / "train.py").write_text("value = 3\n")
    programs = machine.folder / "programs"
    programs.mkdir()
    for name in ("program", "post-index-change", "fsmonitor-watchman"):
        (programs / name).write_text(f"#!/bin/sh\necho $0 >> {machine.folder}/started\n")
        (programs / name).chmod(0o755)
    machine.configure(settings.format(program=programs / "program", folder=programs))
    found = machine.find(folder, GIT_EXTERNAL_DIFF=str(programs / "program"), GIT_PAGER=str(programs / "program"))
    assert not (machine.folder / "started").exists()
    machine.configure("")
    assert machine.applies(text_of(found), folder) == contents(folder)
    assert found.missing == {}


@pytest.mark.parametrize(
    "settings",
    [
        "[diff]\ncontext = 0\n",
        "[diff]\nnoprefix = true\n",
        "[diff]\nmnemonicPrefix = true\n",
        "[diff]\nrenames = copies\nalgorithm = histogram\nsubmodule = log\n",
        "[diff]\nsuppressBlankEmpty = true\nwsErrorHighlight = all\n[color]\nui = always\n",
        "[core]\nquotePath = false\n",
        "[core]\nabbrev = 4\n[status]\nsubmoduleSummary = true\nshowUntrackedFiles = no\n",
    ],
)
def test_settings_do_not_spoil_the_difference(settings: str, machine: Machine) -> None:
    """However somebody likes to look at differences, that of the record applies; whatever the names and contents of the files."""
    folder = machine.repository("check out\u00fc")
    names = ["with blank.txt", "gr\u00fcn.yaml", "a\nline.txt", 'quo"te.txt', "tab\t.txt", " b/x.txt", "back\\slash.txt"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join(f"{number}\n" for number in range(30)))
    (folder / "picture").write_bytes(bytes(range(256)))
    machine.commit(folder)
    for name in names:
        (folder / name).write_text("".join(f"{number}\n" for number in range(30) if number != 15) + "\n\n")
    (folder / "picture").write_bytes(bytes(range(255, -1, -1)))
    (folder / "new picture").write_bytes(b"\x00\x01\x02" * 100)
    (folder / "sub").mkdir()
    (folder / "train.py").rename(folder / "sub" / "train 2.py")
    machine.git("add", "--all", at=folder)
    machine.configure(settings)
    found = machine.find(folder, GIT_DIFF_OPTS="--unified=0")
    machine.configure("")
    assert {change.name for change in file_changes(found.diff)} == {*names, "picture", "new picture", "sub/train 2.py"} | (
        {"train.py"} & {change.name for change in file_changes(found.diff)}
    )
    assert machine.applies(text_of(found), folder) == contents(folder)


def test_names_that_git_does_not_know(machine: Machine) -> None:
    folder = machine.repository("checkout")
    (folder / ".gitignore").write_text("ignored/\n")
    machine.commit(folder)
    for name in ("with blank", "gr\u00fcn", "a\nline", "folder/one", "folder/two", "ignored/one"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / os.fsdecode(b"latin\xe9")).write_text("x")
    found = machine.find(folder, program=folder / "ignored" / "one")
    assert set(found.untracked) == {"with blank", "gr\u00fcn", "a\nline", "folder/", "latin\ufffd"}
    assert (found.diff, found.knows_program) == (b"", False)
    assert machine.find(folder, program=folder / "folder" / "one").knows_program is False
    assert machine.find(folder, program=folder / "train.py").knows_program is True


@pytest.mark.parametrize(
    "name", ["plain.py", "with blank.py", "gr\u00fcn.py", "a\nline.py", 'quo"te.py', "back\\slash.py", "folder/tab\t.py"]
)
@pytest.mark.parametrize("text", ["", "\n", "one", "one\n", "one\n\ntwo", "\x0c\n\u2028\n"])
def test_a_new_file_is_a_patch_that_applies(name: str, text: str, machine: Machine) -> None:
    folder = machine.repository("checkout")
    patch = machine.folder / "patch"
    change = addition(name, text)
    patch.write_bytes(change.text.encode())
    machine.git("apply", str(patch), at=folder)
    assert (folder / name).read_bytes() == text.encode()
    assert [each.name for each in file_changes(change.text.encode())] == [name]


def test_variables_of_another_repository(machine: Machine) -> None:
    """A program that a hook of git's starts has its variables: they are about the repository of the hook."""
    folder, other = machine.repository("checkout"), machine.repository("other")
    commit = machine.git("rev-parse", "HEAD", at=folder)
    for variables in ({"GIT_DIR": str(other / ".git")}, {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index.lock", "GIT_PREFIX": "x/"}):
        found = machine.find(folder, **variables)
        assert (found.root, found.commit, found.missing) == (folder, commit, {})
    tree = machine.folder / "tree"
    tree.mkdir()
    assert git.find_repository(tree, {**machine.environ, "GIT_DIR": str(other / ".git")}) is None
    found = machine.find(tree, GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(tree))
    assert (found.root, found.commit) == (tree, machine.git("rev-parse", "HEAD", at=other))


def test_trees_of_other_kinds(machine: Machine) -> None:
    """A linked tree is one; a bare repository and the inside of one are none."""
    folder = machine.repository("checkout")
    machine.git("worktree", "add", "--quiet", "-b", "topic", str(machine.folder / "linked"), at=folder)
    (machine.folder / "linked" / "train.py").write_text("value = 2\n")
    found = machine.find(machine.folder / "linked")
    assert (found.root, found.branch, [change.name for change in file_changes(found.diff)]) == (
        machine.folder / "linked",
        "topic",
        ["train.py"],
    )
    machine.git("clone", "--quiet", "--bare", str(folder), str(machine.folder / "bare.git"), at=machine.folder)
    assert git.find_repository(machine.folder / "bare.git", machine.environ) is None
    assert git.find_repository(folder / ".git", machine.environ) is None
    assert git.find_repository(machine.folder, machine.environ) is None


def test_a_tree_that_git_refuses(machine: Machine) -> None:
    """One of another user's: that is said, and is not the same as no repository."""
    folder = machine.repository("checkout")
    with pytest.raises(CommandError, match=r"git rev-parse failed \(fatal: (detected dubious|unsafe)"):
        git.find_repository(folder, {**machine.environ, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"})


def test_submodules_within_submodules(machine: Machine) -> None:
    """With changes that were committed there and ones that were not, with a new one, and one that was not fetched."""
    inner, library, folder = (machine.repository(name) for name in ("inner", "library", "checkout"))
    machine.git("submodule", "--quiet", "add", str(inner), "deep down", at=library)
    machine.commit(library)
    machine.git("submodule", "--quiet", "add", str(library), "library", at=folder)
    machine.git("submodule", "--quiet", "add", str(inner), "unused", at=folder)
    machine.commit(folder)
    machine.git("submodule", "--quiet", "update", "--init", "--recursive", at=folder)
    source = machine.folder / "source"
    machine.git("clone", "--quiet", str(folder), str(source), at=machine.folder)
    machine.git("submodule", "--quiet", "deinit", "--force", "unused", at=folder)
    (folder / "library" / "train.py").write_text("value = 2\n")
    machine.commit(folder / "library")
    (folder / "library" / "deep down" / "train.py").write_text("value = 3\n")
    machine.git("submodule", "--quiet", "add", str(inner), "another", at=folder)
    found = machine.find(folder)
    changes = {change.name: change.text for change in file_changes(found.diff)}
    assert set(changes) == {".gitmodules", "another/train.py", "library/train.py", "library/deep down/train.py"}
    assert "+value = 2" in changes["library/train.py"]
    assert "+value = 3" in changes["library/deep down/train.py"]
    assert machine.applies(text_of(found), source)["library/deep down/train.py"] == b"value = 3\n"


def test_without_network(machine: Machine) -> None:
    """A clone without all its objects is not completed for the record."""
    source = machine.repository("source")
    machine.git("config", "uploadpack.allowFilter", "true", at=source)
    (source / "train.py").write_text("value = 2\n")
    machine.commit(source)
    folder = machine.folder / "partial"
    machine.git("clone", "--quiet", "--filter=blob:none", source.as_uri(), str(folder), at=machine.folder)
    machine.git("branch", "behind", "HEAD~1", at=source)
    machine.git("fetch", "--quiet", at=folder)
    machine.git("branch", "--set-upstream-to=origin/behind", at=folder)
    (folder / "train.py").write_text("value = 3\n")
    found = machine.find(folder, diff_from_remote=True)
    assert "git diff failed" in found.missing["diff"]
    assert machine.find(folder).missing == {}


def test_what_is_too_large_leaves_out_only_what_is(machine: Machine) -> None:
    """Data that sorts before the program takes no room from it."""
    folder = machine.repository("checkout")
    for name in ("a data.csv", "b.csv", "small.txt"):
        (folder / name).write_text("x\n")
    machine.commit(folder)
    for name in ("a data.csv", "b.csv"):
        (folder / name).write_text("".join(f"{number:0100}\n" for number in range(60_000)))
    (folder / "small.txt").write_text("y\n")
    (folder / "train.py").write_text("value = 2\n")
    found = machine.find(folder)
    assert [change.name for change in file_changes(found.diff)] == ["small.txt", "train.py"]
    assert found.missing["diff"] == "these files have changed too much for it: a data.csv, b.csv"
    for number in range(30):
        (folder / f"many {number}").write_text("".join(f"{number} {row:0100}\n" for row in range(3000)))
    machine.git("add", "--all", at=folder)
    found = machine.find(folder)
    assert len(found.diff) <= git.MOST_BYTES
    assert "larger than" in found.missing["diff"]
    changes = file_changes(found.diff)
    text, left_out = fitting(changes, 500_000, first=changes[-1].name)
    assert changes[-1].text in text
    assert left_out
    assert machine.applies(text, folder)[changes[-1].name] == (folder / changes[-1].name).read_bytes()


def test_a_git_that_hangs(machine: Machine) -> None:
    """It is killed after its time, and earlier when the run ends."""
    programs = machine.folder / "programs"
    programs.mkdir()
    (programs / "git").write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import time; time.sleep(60)'\n")
    (programs / "git").chmod(0o755)
    deadline = Deadline()
    deadline.shorten(0.4)
    begun = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.\d seconds"):
        git.find_repository(machine.folder, {**machine.environ, "PATH": str(programs)}, deadline=deadline)
    assert time.monotonic() - begun < 3
