"""What is asked of Mercurial, with real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atrains._capture import mercurial
from atrains._capture.patches import file_changes

PLACE = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
pytestmark = pytest.mark.skipif(shutil.which("hg", path=PLACE) is None, reason="Mercurial is not installed")
ENVIRON = {**os.environ, "PATH": PLACE, "HGUSER": "tester", "HGRCPATH": ""}


def hg(*arguments: str, at: Path) -> str:
    return subprocess.run(["hg", *arguments], cwd=at, env=ENVIRON, check=True, capture_output=True, text=True).stdout.strip()


def test_what_mercurial_says(tmp_path: Path) -> None:
    """A commit, its branch and what differs from it, as patches that apply; without the password of the place it comes from."""
    root = tmp_path / "checkout"
    root.mkdir()
    hg("init", at=root)
    (root / "train.py").write_text("value = 1\n")
    found = mercurial.repository(root, ENVIRON, program=root / "train.py")
    assert (found.commit, found.diff, found.untracked, found.knows_program) == ("", b"", ("train.py",), False)
    hg("branch", "topic", at=root)
    hg("commit", "--addremove", "-m", "one", at=root)
    commit = hg("log", "-r", ".", "-T", "{node}", at=root)
    started = tmp_path / "started"
    settings = (
        f"[paths]\ndefault = https://me:hunter2@example.com/x\n[alias]\ndiff = !touch {started}\n[extdiff]\ncmd.x = touch {started}\n"
    )
    (root / ".hg" / "hgrc").write_text(settings)
    (root / "train.py").write_text("value = 2\n")
    (root / "gr\u00fcn blau").write_text("new\n")
    (root / "sub").mkdir()
    hg("add", "gr\u00fcn blau", at=root)
    (root / "unknown").write_text("x")
    found = mercurial.repository(root, ENVIRON, program=root / "train.py", working=root / "sub")
    assert (found.commit, found.branch, found.url, found.missing) == (commit, "topic", "https://example.com/x", {})
    assert (found.untracked, found.working, found.knows_program) == (("unknown",), root / "sub", True)
    assert not started.exists()
    assert {change.name for change in file_changes(found.diff)} == {"train.py", "gr\u00fcn blau"}
    clone = tmp_path / "clone"
    hg("clone", "--quiet", str(root), str(clone), at=tmp_path)
    (tmp_path / "patch").write_bytes(found.diff)
    hg("import", "--no-commit", str(tmp_path / "patch"), at=clone)
    assert (clone / "train.py").read_text() == "value = 2\n"


def test_the_nearest_repository_counts(tmp_path: Path) -> None:
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    (tmp_path / ".hg").mkdir()
    assert mercurial.root_of(inner) == tmp_path
    (tmp_path / "one" / ".git").mkdir()
    assert mercurial.root_of(inner) is None
