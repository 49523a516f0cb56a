"""A git repository with a program in it that prints what was recorded of its run, for the tests of what is recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = """\
import json, sys, time
from atrains import Task

begun = time.monotonic()
task = Task.init("capture", "program")
took = time.monotonic() - begun
task.close()
ended = time.monotonic() - begun - took
record = Task.get_task(task.id).data
print("\\n" + json.dumps({
    "init": took, "close": ended, "status": record["status"], "script": record["script"],
    "program": record.get("runtime", {}).get("program", {}), "artifacts": record["execution"]["artifacts"],
    "hyperparams": record["hyperparams"], "container": record.get("container"),
}))
"""


class Checkout:
    """A repository with one commit, and a program in it."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ)
        folder.mkdir()
        self.write("train.py", PROGRAM)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "protocol.file.allow=always"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=folder or self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "a commit")
        return self.git("rev-parse", "HEAD")

    def run(
        self, *arguments: str, folder: Path | None = None, stdin: str = "", interpreter: str = sys.executable, **variables: str
    ) -> dict[str, Any]:
        """Run a program, and return what it printed of its record."""
        command = [interpreter, *(arguments or ("train.py",))]
        done = subprocess.run(
            command, cwd=folder or self.folder, env={**self.environ, **variables}, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        found["stderr"] = done.stderr
        return found

    def again(self, script: Mapping[str, str], target: Path) -> Path:
        """What an agent makes of a record: the commit, with the difference applied; returns the working directory."""
        self.git("clone", "--quiet", "--recurse-submodules", script["repository"], str(target), folder=self.folder.parent)
        self.git("checkout", "--quiet", script["version_num"], folder=target)
        if script["diff"]:
            patch = target.parent / "patch"
            patch.write_bytes(script["diff"].encode())
            self.git("apply", str(patch), folder=target)
        return target / script["working_dir"]
