"""Scripts as users of the old package wrote them, with the import line changed, run as they run them, and read by another process.

Each runs on the local home and against `atrains serve` in a process of its own; the process of the test reads what is stored.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atrains import Task
from tests.conftest import User

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "migrated"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
TEN = [
    "artifacts", "cloning", "configuration", "continuing", "models", "parameters", "queues", "reporting", "several_tasks", "subprocesses",
]  # fmt: skip

Run = Callable[..., str]
Find = Callable[[str, str], Task]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server in a process of its own: the variables that point a client at it."""
    folder = tmp_path_factory.mktemp("server")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    command = [sys.executable, "-W", "error", "-m", "atrains", "serve", "--port", "0", "--json"]
    with (folder / "stderr.txt").open("w+") as errors:
        with subprocess.Popen(command, env={**kept, "HOME": str(folder)}, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["environment"]
            process.terminate()
            assert process.wait(30) == 0
        errors.seek(0)
        assert errors.read() == "", "a call surprised the server"


@pytest.fixture(params=["local", "served"])
def owner(request: pytest.FixtureRequest, user: User, monkeypatch: pytest.MonkeyPatch) -> User:
    """Who runs the scripts: somebody without a server, and somebody with one. The test looks at the same place."""
    if request.param == "local":
        return user
    variables: dict[str, str] = request.getfixturevalue("served")
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return replace(user, variables=variables)


@pytest.fixture
def run(owner: User) -> Run:
    """Run one of the scripts to its good end, and return what it printed."""

    def run(name: str, *arguments: str) -> str:
        text = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8")
        finished = owner.run(text, *arguments, name=f"{name}.py", PYTHONWARNINGS="default")
        assert finished.code == 0, finished.stderr
        assert "Traceback" not in finished.stderr, finished.stderr
        return finished.stdout

    return run


@pytest.fixture
def find(owner: User) -> Find:
    """A task by its names, as any other program finds it."""

    def find(project: str, name: str) -> Task:
        task = Task.get_task(project_name=project, task_name=name)
        assert task is not None
        return task

    return find


def printed(task: Task) -> list[str]:
    """The lines of its console."""
    return "\n".join(task.get_reported_console_output(1000)).splitlines()


def test_there_are_ten_and_their_import_is_all_that_is_ours() -> None:
    assert NAMES == TEN
    for name in NAMES:
        lines = [line for line in (SCRIPTS / f"{name}.py").read_text(encoding="utf-8").splitlines() if "atrains" in line]
        assert len(lines) == 1, name
        assert re.fullmatch(r"from atrains import \w+(, \w+)*", lines[0]), name


def test_reporting(run: Run, find: Find) -> None:
    run("reporting")
    task = find("migrated", "reporting")
    steps = list(range(100))
    scalars = task.get_reported_scalars()
    assert scalars["unified graph"]["series A"] == {"x": steps, "y": [1 / (step + 1) for step in steps]}
    assert scalars["unified graph"]["series B"]["y"] == [10 / (step + 1) for step in steps]
    assert len(scalars["accuracy"]["test"]["x"]) == 100

    plots = {(plot["metric"], plot["variant"]): json.loads(plot["plot_str"])["data"] for plot in task.get_reported_plots()}
    assert {plot["iter"] for plot in task.get_reported_plots()} == {100}
    kinds = {title: data[0]["type"] for (title, _), data in plots.items()}
    assert kinds == {
        "histogram": "bar", "two histograms": "bar", "vector": "bar", "confusion": "heatmap", "matrix": "heatmap", "scatter 2d": "scatter",
        "scatter 2d lines": "scatter", "scatter 3d": "scatter3d", "surface": "surface", "line plot": "scatter", "table": "table",
        "plotly": "bar", "matplotlib": "scatter",
    }  # fmt: skip
    assert plots["histogram", "counts"][0]["y"] == [4, 9, 6, 3, 3, 7, 7, 9, 7, 8], "what numpy makes of the seed"
    assert [bars["name"] for bars in plots["two histograms", "stacked"]] == ["first", "second"]
    assert plots["vector", "values"][0]["y"] == [0, 1, 4, 9, 16, 25]
    assert plots["confusion", "ignored"][0]["x"] == ["cat", "dog", "bird", "fish"]
    assert plots["confusion", "ignored"][0]["z"] == plots["matrix", "of counts"][0]["z"]
    assert (plots["scatter 2d", "markers"][0]["mode"], plots["scatter 2d lines", "line"][0]["mode"]) == ("markers", "lines")
    assert len(plots["scatter 3d", "points"][0]["z"]) == len(plots["surface", "of numbers"][0]["z"]) == 10
    assert plots["line plot", ""][0]["y"] == plots["matplotlib", "figure"][0]["y"] == [0, 1, 4]
    assert plots["table", "of a list"][0]["cells"]["values"] == [["cat", "bird"], [4, 2]]
    assert plots["plotly", "bars"][0]["y"] == [3, 5]

    for title, series, suffix in (
        ("image", "an array", "jpeg"),
        ("image", "of PIL", "jpeg"),
        ("image", "a file", "png"),
        ("media", "a page", "html"),
    ):
        (sample,) = task.get_debug_samples(title, series)
        assert sample["url"].endswith(suffix)
    assert printed(task) == ["reporting some graphs", "a line for the console", "a line for the task alone", "done reporting"]
    assert (task.status, task.get_last_iteration()) == ("completed", 100)


def test_artifacts(run: Run, find: Find) -> None:
    lines = run("artifacts").splitlines()
    assert lines[1:] == [
        "data file: part 0", "dictionary: {'legs': 4, 'names': ['cat', 'dog'], 'nested': {'a': 1.5}}", "numpy: 3.0",
        "table: 4.859999999999999", "metadata: {'by': 'hand'}",
    ]  # fmt: skip
    artifacts = find("migrated", "artifacts").artifacts
    assert {name: artifact.type for name, artifact in artifacts.items()} == {
        "train": "data-audit-table", "data file": "custom", "folder": "archive", "wildcard": "archive", "dictionary": "JSON",
        "table": "pandas", "numpy": "numpy", "image": "image", "temporary": "custom", "dictionary 2": "JSON",
    }  # fmt: skip
    # The registered table is stored as it was in the end, with the column and the row that came later.
    audited = artifacts["train"].get()
    assert list(audited.columns) == ["sepal", "petal", "ratio"]
    assert audited["sepal"].tolist() == [5.1, 4.9, 4.7, 4.6, 5.0]
    assert artifacts["train"].metadata == {"counting": "legs", "max legs": "69"}
    assert artifacts["table"].get().loc["s5"].tolist() == [5.0, 1.0, 5.0]
    for name in ("folder", "wildcard"):
        assert sorted(path.name for path in Path(artifacts[name].get_local_copy()).iterdir()) == ["part_0.txt", "part_1.txt", "part_2.txt"]
    assert Path(artifacts["temporary"].get_local_copy()).read_text() == "not needed afterwards"
    assert artifacts["numpy"].get().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert artifacts["image"].get().size == (6, 4)
    assert artifacts["dictionary 2"].get() == {"key": "value"}


def test_parameters(run: Run, find: Find) -> None:
    lines = run("parameters", "mnist", "--lr", "0.1", "--layers", "8", "4").splitlines()
    assert lines == ["trained on mnist with sgd, layers [8, 4], loss 0.1743", "dropout is 0.25 and missing is a default"]
    task = find("migrated", "parameters")
    assert task.get_parameters() == {
        "Args/dataset": "mnist", "Args/batch_size": "64", "Args/epochs": "10", "Args/lr": "0.1", "Args/no_cuda": "False",
        "Args/layers": "[8, 4]", "Args/optimizer": "sgd", "General/dropout": "0.25", "General/activation": "relu", "General/seed": "42",
        "General/schedule/step": "5", "General/schedule/gamma": "0.5", "General/flip": "True", "General/angle": "15",
        "General/crops": "[0.8, 0.9]", "General/owner": "somebody", "General/steps": "1000",
    }  # fmt: skip
    assert task.get_reported_scalars()["loss"]["train"]["y"][-1] == pytest.approx(0.9**10 * 0.5)


@pytest.mark.parametrize("owner", ["served"], indirect=True)
def test_parameters_under_an_agent(run: Run, find: Find, owner: User) -> None:
    """A copy with other parameters runs with them, wherever the script has its own from."""
    run("parameters", "mnist")
    copy = Task.clone(find("migrated", "parameters"), name="with others")
    copy.set_parameters({**copy.get_parameters(), "Args/optimizer": "adam", "Args/layers": "[2]", "General/schedule/gamma": "1.0"})
    text = (SCRIPTS / "parameters.py").read_text(encoding="utf-8")
    finished = owner.run(text, "mnist", name="parameters.py", PYTHONWARNINGS="default", TRAINS_TASK_ID=copy.id)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines()[0] == "trained on mnist with adam, layers [2], loss 0.9044"
    again = Task.get_task(copy.id)
    assert again is not None
    assert again.get_reported_scalars()["loss"]["train"]["y"][-1] == pytest.approx(0.99**10)


def test_configuration(run: Run, find: Find) -> None:
    lines = run("configuration").splitlines()
    assert lines[-2:] == ["classes: 3 [('background', 0), ('car', 2), ('people', 1), ('person', 1)]", "design: 224"]
    task = find("migrated", "configuration")
    stored = task.get_configuration_object_as_dict("General")
    assert stored == {"input": {"width": 224, "height": 224, "mean": [0.5, 0.25]}, "classes": 3, "name": "small net"}
    assert task.get_configuration_object("network") == '{"layers": [16, 8], "activation": "relu"}'
    assert task.get_labels_enumeration() == {"background": 0, "person": 1, "people": 1, "car": 2}
    assert task.get_reported_scalars()["cells"]["left"]["y"] == [392]
    assert (task.task_type, task.comment) == ("testing", "configured by a dictionary and a file")
    assert sorted(task.get_tags()) == ["configured", "small"]


def test_cloning(run: Run, find: Find) -> None:
    assert run("cloning").splitlines()[-1] == "the best of 4 is lr 0.01 width 16 completed"
    search = find("migrated", "cloning")
    assert search.artifacts["best"].get()["name"] == "lr 0.01 width 16"
    best = find("migrated/search", "lr 0.01 width 16")
    assert best.get_parameters() == {
        "General/lr": "0.01", "General/width": "16", "General/optimizer/name": "sgd", "General/optimizer/momentum": "0.9",
    }  # fmt: skip
    assert (best.parent, best.comment, best.status) == (search.id, "copy", "completed")
    assert set(best.get_tags()) == {"template", "copy"}
    assert best.get_reported_scalars()["accuracy"]["test"]["y"] == [1 - 1 / 16]
    renamed, template = find("migrated/search", "renamed"), find("migrated/search", "template")
    assert renamed.get_parameters() == template.get_parameters()
    assert (renamed.parent, renamed.comment, renamed.status, template.status) == (template.id, "to be copied", "created", "created")


def test_queues(run: Run, find: Find) -> None:
    lines = run("queues").splitlines()
    assert lines == [
        "job 0 is queued 1", "job 1 is queued 1", "job 2 is queued 1", "job 1 is created", "job 1 is failed", "job 1 failed, as expected",
        "filled the queue", "running here: True main: True",
    ]  # fmt: skip
    jobs = [find("migrated/jobs", f"job {number}") for number in range(3)]
    assert [job.status for job in jobs] == ["stopped", "failed", "queued"]
    assert (jobs[1].data["status_reason"], jobs[1].data["status_message"]) == ("not wanted", "took too long")
    assert {job.get_base_docker() for job in jobs} == {"python:3.8 --ipc=host"}
    # The controller itself waits for an agent, as a run that has not begun: its reports are gone, its parameters are not.
    controller = find("migrated", "queues")
    assert (controller.status, controller.get_parameters()) == ("queued", {"General/jobs": "3", "General/queue": "default"})
    assert printed(controller) == []
    assert controller.data["script"]["entry_point"] == "queues.py"


def test_models(run: Run, find: Find) -> None:
    lines = run("models").splitlines()
    assert lines == [
        "pretrained has {'background': 0, 'object': 1} from pretraining", "starting with [0.0, 0.5] 4 pretrained",
        """input: ['pretrained', "somebody's"]""", "output: ['best', 'tuned']", "tuned weights: [0.75, 1.25]",
    ]  # fmt: skip
    models = find("migrated", "models").get_models()
    base, other = models["input"]
    tuned, best = models["output"]
    assert (base.name, base.published, base.tags, base.framework) == ("pretrained", True, ["base"], "Custom")
    assert base.config_dict == {"layers": 2, "width": 4}
    assert (other.name, other.tags, other.labels) == ("somebody's", ["foreign"], {"object": 1})
    assert other.url.startswith("file://")
    assert (tuned.name, tuned.published, best.name, best.published) == ("tuned", False, "best", True)
    assert tuned.labels == {"background": 0, "object": 1}
    weights = {model.name: json.loads(Path(model.get_weights() or "").read_bytes()) for model in (base, tuned, best)}
    assert weights == {"pretrained": [0.0, 0.5], "tuned": [0.75, 1.25], "best": [0.75, 1.25]}
    (first,) = find("migrated", "pretraining").get_models()["output"]
    assert first.id == base.id


def test_several_tasks(run: Run, find: Find) -> None:
    assert run("several_tasks").splitlines()[-1] == "main: True others: ['completed', 'completed', 'completed']"
    folds = [find("migrated/folds", f"fold {number}") for number in range(3)]
    for number, fold in enumerate(folds):
        scalars = fold.get_reported_scalars()
        assert scalars["score"]["validation"]["y"] == [1 - 1 / (1 + epoch + number) for epoch in range(5)]
        assert scalars["afterwards"]["rank"]["y"] == [3 - number]
        assert fold.get_parameters() == {"General/fold": str(number), "General/epochs": "5"}
        assert fold.get_tags() == ["ranked"]
        assert printed(fold) == [f"fold {number} has a score of {1 - 1 / (5 + number)}"], "each console has what was printed in its time"
    for part in ("left", "right"):
        beside = find("migrated", f"beside {part}")
        assert beside.get_reported_scalars() == {"title": {part: {"x": list(range(10)), "y": [2 * x for x in range(10)]}}}
        assert beside.status == "stopped"
    summary = find("migrated", "several tasks")
    assert summary.get_reported_scalars()["score"]["by fold"]["y"] == [0.8, 1 - 1 / 6, 1 - 1 / 7]
    assert (summary.parent, summary.comment, summary.status) == (folds[2].id, "best: fold 2", "completed")


def test_subprocesses(run: Run, find: Find) -> None:
    assert run("subprocesses").splitlines()[-1] == "areas [1, 4, 9, 16] exit code 0"
    task = find("migrated", "sub-processes")
    steps = list(range(10))
    assert task.get_reported_scalars() == {
        "pool": {f"worker item {number}": {"x": steps, "y": [number * step for step in steps]} for number in range(1, 5)},
        "process": {"rank 0": {"x": [0], "y": [0]}, "rank 1": {"x": [0], "y": [1]}},
        "sum": {"of areas": {"x": [0], "y": [30]}},
    }
    assert task.get_parameters() == {"Args/processes": "2", "Args/rank": "-1"}, "those of the main process"
    assert {"hello from rank 0", "hello from rank 1"} < set(printed(task))
    assert task.status == "completed", "the end of a child is not that of the run"
    assert len(Task.get_tasks(project_name="migrated", task_name="sub-processes")) == 1


def test_continuing(run: Run, find: Find) -> None:
    assert run("continuing").splitlines()[-2:] == ["epoch 5: loss 0.03125", "last iteration is 4"]
    first = find("migrated", "continuing")
    lines = run("continuing", "--continue").splitlines()
    assert lines[:2] == ["going on after 5 epochs, iterations begin at 5", "epoch 6: loss 0.015625"]
    assert lines[-1] == "last iteration is 9"
    task = find("migrated", "continuing")
    assert (task.id, task.status) == (first.id, "completed")
    assert task.get_reported_scalars()["loss"]["train"] == {"x": list(range(10)), "y": [0.5**epoch for epoch in range(1, 11)]}
    assert len(printed(task)) == 6 + 7, "the console of both runs"
    assert sorted(task.artifacts) == ["checkpoint 10", "checkpoint 5"]
    # Without that option a run with artifacts is left alone, and another task is made.
    run("continuing", "--epochs", "1")
    assert find("migrated", "continuing").id != first.id
