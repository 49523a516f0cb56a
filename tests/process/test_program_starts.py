"""The many ways in which a program is started, and what an agent gets to start it again: run for real, with real repositories."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.checkout import PROGRAM, Checkout

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, and programs of Unix")


@pytest.fixture
def checkout(user: Any, tmp_path: Path) -> Checkout:
    package = str(Path(sys.modules["atrains"].__file__ or "").parents[1])
    return Checkout(tmp_path / "checkout", user.environment(PYTHONPATH=package))


def installed(folder: Path, name: str, version: str, module: str, text: str = "") -> None:
    """A package of one module, as pip leaves it."""
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text(f"{module}.py,,\n{name}-{version}.dist-info/METADATA,,\n")
    (folder / f"{module}.py").write_text(text)


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def test_links(checkout: Checkout, tmp_path: Path) -> None:
    """A link to a program is that program; but one in a repository to a file in none stays, since that is what the others have."""
    commit = checkout.commit()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "train").symlink_to(checkout.folder / "train.py")
    script = checkout.run(str(tmp_path / "bin" / "train"), folder=tmp_path)["script"]
    assert (script["version_num"], script["entry_point"], script["working_dir"]) == (commit, "train.py", ".")
    (tmp_path / "lonely.py").write_text(PROGRAM)
    (checkout.folder / "link.py").symlink_to(tmp_path / "lonely.py")
    commit = checkout.commit()
    script = checkout.run("link.py")["script"]
    assert (script["version_num"], script["entry_point"], script["diff"]) == (commit, "link.py", "")


def test_programs_run_by_programs(checkout: Checkout) -> None:
    """`runpy` names the program that it runs, whatever runs it; what `exec` runs is a part of the program that does so."""
    checkout.write("package/__init__.py", "")
    checkout.write("package/train.py", PROGRAM)
    checkout.write("by_path.py", "import runpy\nrunpy.run_path('package/train.py', run_name='__main__')\n")
    checkout.write("by_name.py", "import runpy\nrunpy.run_module('package.train', run_name='__main__', alter_sys=True)\n")
    checkout.write("by_exec.py", "exec(open('train.py').read())\n")
    later = PROGRAM[PROGRAM.index("took =") :]
    checkout.write("begun.py", PROGRAM[: PROGRAM.index("took =")])
    checkout.write("by_parts.py", f"import runpy\nglobals().update(runpy.run_path('begun.py', run_name='__main__'))\n{later}")
    checkout.commit()
    starts = {name: checkout.run(f"by_{name}.py")["script"]["entry_point"] for name in ("path", "name", "exec", "parts")}
    assert starts == {"path": "package/train.py", "name": "-m package.train", "exec": "by_exec.py", "parts": "begun.py"}


def test_a_change_of_directory(checkout: Checkout, tmp_path: Path) -> None:
    """The program is found; a directory that was made for the run, which no clone has, is not the one to start in."""
    checkout.write("conf/README", "")
    commit = checkout.commit()
    move = "import os\nos.makedirs('conf/outputs/one', exist_ok=True)\nos.chdir({!r})\n"
    for folder, working in ((str(tmp_path), "."), ("conf", "conf"), ("conf/outputs/one", "conf")):
        (checkout.folder / "train.py").write_text(move.format(folder) + PROGRAM)
        script = checkout.run("train.py")["script"]
        entry = "train.py" if working == "." else "../train.py"
        assert (script["version_num"], script["working_dir"], script["entry_point"]) == (commit, working, entry)


def test_hydra(checkout: Checkout) -> None:
    """The working directory is the one in which Hydra was started, not the one that it makes for each run."""
    pytest.importorskip("hydra")
    body = textwrap.indent(PROGRAM, "    ")
    hydra = f"import hydra\n\n@hydra.main(config_path=None, version_base='1.3')\ndef main(options):\n{body}\nmain()\n"
    checkout.write("tools/train.py", hydra)
    checkout.commit()
    script = checkout.run("train.py", "hydra.job.chdir=True", folder=checkout.folder / "tools")["script"]
    assert (script["working_dir"], script["entry_point"]) == ("tools", "train.py")


def test_a_command_of_a_package(checkout: Checkout, tmp_path: Path) -> None:
    """One whose package cannot be started with `-m` comes along as the few lines that it is."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next((venv / "lib").glob("python*/site-packages"))
    body = textwrap.indent(PROGRAM, "    ")
    installed(site, "my_tools", "1.2", "my_tools", f"def main():\n{body}\n    return 0\n")
    command = venv / "bin" / "my-train"
    command.write_text(f"#!{venv}/bin/python\nimport sys\nfrom my_tools import main\nif __name__ == '__main__':\n    sys.exit(main())\n")
    commit = checkout.commit()
    path = os.pathsep.join([checkout.environ["PYTHONPATH"], *(place for place in sys.path if place.endswith("-packages"))])

    def run() -> dict[str, Any]:
        return checkout.run(str(command), interpreter=str(venv / "bin" / "python"), PYTHONPATH=path)["script"]

    script = run()
    assert (script["entry_point"], script["version_num"], script["diff"]) == ("my-train", commit, command.read_text())
    assert "my_tools == 1.2" in script["requirements"]["pip"].splitlines()
    checkout.write("train.py", PROGRAM + "# changed\n")
    script = run()
    folder = checkout.again(script, tmp_path / "agent")
    assert (folder / script["entry_point"]).read_text() == command.read_text()
    assert (folder / "train.py").read_text() == PROGRAM + "# changed\n"


def test_code_on_the_command_line_with_other_changes(checkout: Checkout, tmp_path: Path) -> None:
    checkout.commit()
    checkout.write("train.py", PROGRAM + "# changed\n")
    script = checkout.run("-c", PROGRAM)["script"]
    folder = checkout.again(script, tmp_path / "agent")
    assert (folder / script["entry_point"]).read_text() == PROGRAM
    assert (folder / "train.py").read_text() == PROGRAM + "# changed\n"


def test_a_program_that_git_ignores(checkout: Checkout, tmp_path: Path) -> None:
    """It comes along as one that is new does."""
    checkout.write(".gitignore", "scratch/\n")
    checkout.commit()
    checkout.write("scratch/try it \u00fc.py", PROGRAM)
    script = checkout.run("scratch/try it \u00fc.py")["script"]
    folder = checkout.again(script, tmp_path / "agent")
    assert (folder / script["entry_point"]).read_text() == PROGRAM


def test_names_and_texts_in_other_encodings(checkout: Checkout) -> None:
    """A name that is no text does not keep the rest out of the record; a text is one that runs when it is written as UTF-8."""
    name = os.fsdecode(b"caf\xe9.py")
    (checkout.folder / name).write_bytes(f"# -*- coding: latin-1 -*-\nword = 'caf\u00e9'\n{PROGRAM}".encode("latin-1"))
    (checkout.folder / ".git").rename(checkout.folder / "no.git")
    script = checkout.run(name)["script"]
    assert script["entry_point"] == "caf\ufffd.py"
    assert script["diff"] == f"# -*- coding: utf-8 -*-\nword = 'caf\u00e9'\n{PROGRAM}"
    (checkout.folder / "no.git").rename(checkout.folder / ".git")
    checkout.write("train.py", PROGRAM)
    checkout.commit()
    assert checkout.run(name)["script"]["entry_point"] == "caf\ufffd.py"


LAUNCHER = """\
import os, subprocess, sys
sys.exit(subprocess.run([sys.executable, "-u", *sys.argv[{}:]], env={{**os.environ, {!r}: "1"}}).returncode)
"""


@pytest.mark.parametrize(
    ("name", "variable", "given", "entry"),
    [
        ("torchrun", "TORCHELASTIC_RUN_ID", [], "-m torch.distributed.run train.py --lr 1 --token '***'"),
        (
            "accelerate",
            "ACCELERATE_MIXED_PRECISION",
            ["launch"],
            "-m accelerate.commands.accelerate_cli launch train.py --lr 1 --token '***'",
        ),
    ],
)
def test_launchers(name: str, variable: str, given: list[str], entry: str, checkout: Checkout, tmp_path: Path) -> None:
    """A process that a launcher started is started by that again, from its real command line; secrets stay here."""
    launcher = executable(tmp_path / "bin" / name, LAUNCHER.format(1 + len(given), variable))
    checkout.commit()
    secret = "a1b2c3d4e5f6a7b8"
    script = checkout.run(str(launcher), *given, "train.py", "--lr", "1", "--token", secret)["script"]
    assert script["entry_point"] == entry


def test_packages_of_the_programs_own_modules(checkout: Checkout, tmp_path: Path) -> None:
    """Wherever they are imported, and if they never are: an agent that starts the program again may get that far."""
    site = tmp_path / "site"
    for number, module in enumerate(("direct", "by_module", "relative", "conditional", "by_name", "late", "unused")):
        installed(site, f"{module}-dist".replace("-", "_"), f"{number}.0", module)
    checkout.write("own/__init__.py", "")
    checkout.write("own/model.py", "def train():\n    import by_module\n    from .deep import thing\n    import own.other\n")
    checkout.write("own/deep/__init__.py", "try: import conditional\nexcept ImportError: pass\n")
    checkout.write("own/deep/thing.py", "import relative as r, os\n")
    checkout.write("own/other.py", "import importlib\nmodule = importlib.import_module('by_name')\n")
    late = "name = 'la' + 'te'\ntime.sleep(0.5)\n__import__(name)\ntask.close()"
    text = PROGRAM.replace("from atrains", "from own import (\n    model,  # own\n)\nif not sys:\n    import direct\nfrom atrains")
    checkout.write("train.py", text.replace("task.close()", late))
    checkout.commit()
    script = checkout.run(PYTHONPATH=os.pathsep.join([checkout.environ["PYTHONPATH"], str(site)]))["script"]
    lines = [line for line in script["requirements"]["pip"].splitlines() if "_dist" in line]
    assert lines == [
        f"{module}_dist == {number}.0"
        for number, module in sorted(
            enumerate(("direct", "by_module", "relative", "conditional", "by_name", "late")), key=lambda one: one[1]
        )
    ]


def test_a_git_that_hangs_is_missing_and_nothing_else_is(checkout: Checkout, tmp_path: Path) -> None:
    """At the end of a short run, which waits for it only so long."""
    checkout.commit()
    executable(tmp_path / "bin" / "git", "import time\ntime.sleep(60)\n")
    found = checkout.run(PATH=str(tmp_path / "bin"))
    assert "took longer than" in found["program"]["missing"]["repository"]
    assert (found["script"]["entry_point"], found["script"]["diff"]) == ("train.py", PROGRAM)
    assert found["script"]["requirements"]["pip"].startswith("# Python ")
    assert found["close"] < 6
    assert found["status"] == "completed"


def test_a_difference_that_the_environment_names(checkout: Checkout) -> None:
    """It holds no secrets either."""
    secret = "password = 'hunter2'"
    for text in (f"{secret}\n", f"diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+{secret}\n"):
        given = {"CLEARML_VCS_DIFF": base64.b64encode(text.encode()).decode()}
        assert checkout.run(**given)["script"]["diff"] == text.replace("hunter2", "***")
