"""The project's checks. `nox` runs tests, lint and types on the interpreter that nox itself runs on; the rest is run by name."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
TOOLS = {Requirement(line).name: line for line in PYPROJECT["project"]["optional-dependencies"]["dev"]}
TEST_TOOLS = [
    TOOLS[name]
    for name in (
        "anyio",
        "attrs",
        "hypothesis",
        "matplotlib",
        "mercurial",
        "numpy",
        "pandas",
        "pillow",
        "plotly",
        "polars",
        "pyarrow",
        "pydantic",
        "PyYAML",
        "pytest",
        "pytest-timeout",
        "pytest-xdist",
        "tqdm",
        "trustme",
    )
]

NOTEBOOK_TOOLS = [TOOLS["ipykernel"], TOOLS["nbclient"]]
"""For the tests that run a kernel of Jupyter, which are skipped without: some ten seconds to install, and as many to run."""


def install(session: nox.Session, *packages: str) -> None:
    """Install the checkout and what a session needs beside it, and let Python keep the bytecode of what is then imported.

    To compile all that is installed takes longer than the installation. Without bytecode, each of the thousands of processes that the
    tests start would compile the package anew: half as much time again.
    """
    session.env["PYTHONDONTWRITEBYTECODE"] = ""  # as if it were not set
    session.install("--no-compile", "-e", ".", *packages)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the suite, in several processes: most of it waits for processes of its own. Arguments after `--` go to pytest."""
    install(session, *TEST_TOOLS, *NOTEBOOK_TOOLS)
    session.run("pytest", f"--numprocesses={2 * (os.cpu_count() or 1)}", "--dist=loadgroup", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, the direction of imports, and that the generated blocking API is up to date."""
    install(session, TOOLS["ruff"], TOOLS["import-linter"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("python", "atrains/_sync/generate.py", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the package with mypy, and what a user writes against it with mypy and pyright."""
    install(session, *TEST_TOOLS, *(TOOLS[name] for name in ("mypy", "pyright", "types-aiofiles", "types-psutil")))
    session.run("mypy", "--strict", "-p", "atrains")
    written = [folder for folder in ("examples", "tests/typing") if any(ROOT.joinpath(folder).rglob("*.py"))]
    if written:
        session.run("mypy", "--strict", *written)
        session.run("pyright", "--warnings", *written)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every snippet of the documentation."""
    if not ROOT.joinpath("tests/docs").is_dir():
        session.skip("there is no tests/docs")
    install(session, *TEST_TOOLS)
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what the project promises, beside the official client. Arguments after `--` go to the benchmark."""
    install(session, TOOLS["numpy"])
    official = Path(session.virtualenv.location, "official").resolve()  # kept, so that only the first run installs it
    session.run("python", "tests/bench/run.py", "--official", str(official), *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long versions of the tests that kill processes and break things."""
    install(session, *TEST_TOOLS)
    hour = "3600"
    session.run(
        "pytest",
        *(
            "tests/process",
            "tests/unit/engine/test_recovery.py",
            "tests/unit/engine/test_damaged_journals.py",
            "tests/unit/_wire/test_hocon_text.py",
        ),
        *(f"--timeout={hour}", "-o", f"faulthandler_timeout={hour}"),
        *session.posargs,
        env={"ATRAINS_SOAK": "1"},
    )


@nox.session(reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel and run the suite against it, where the checkout cannot be imported by accident."""
    session.install(*PYPROJECT["build-system"]["requires"])
    with TemporaryDirectory(prefix="atrains-wheel-") as name:
        place = Path(name).resolve()
        session.run("hatchling", "build", "--target", "wheel", "--directory", name)
        built = next(place.glob("*.whl"))
        files = zipfile.ZipFile(built).namelist()
        if "atrains/py.typed" not in files or "atrains/_sync/generate.py" in files:
            session.error(f"{built.name} must hold atrains/py.typed and must not hold atrains/_sync/generate.py")
        session.install(str(built), *TEST_TOOLS)
        for folder in ("docs", "examples", "tests"):
            shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("README.md", "pyproject.toml"):
            shutil.copy(ROOT / file, place)
        with session.chdir(place):
            session.run("pytest", *session.posargs)
