"""The examples as a user runs them: from another folder, with nothing configured but where the home is."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fault_proxy import refused_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(folder: Path, *command: str) -> str:
    """Run Python in an empty folder that is the user's home directory as well."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    variables |= {"HOME": str(folder), "USERPROFILE": str(folder), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def show(folder: Path) -> dict[str, Any]:
    """What a second process sees of the newest task."""
    (task,) = json.loads(run(folder, "-m", "atrains", "ls", "--json", "--limit", "1"))
    shown: dict[str, Any] = json.loads(run(folder, "-m", "atrains", "show", task["id"], "--json"))
    return shown


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, run(folder, str(EXAMPLES / "quickstart.py"))


def test_the_data_is_fishers_iris() -> None:
    with (EXAMPLES / "data" / "iris.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["species"] for row in rows) == {"setosa": 50, "versicolor": 50, "virginica": 50}
    means = [sum(float(row[name]) for row in rows) / 150 for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")]
    assert means == pytest.approx([5.843333, 3.057333, 3.758, 1.199333], abs=1e-6)


def test_quickstart_reads_back_what_it_recorded(quickstart: tuple[Path, str]) -> None:
    _, printed = quickstart
    assert "'iris softmax' in project 'Examples', completed" in printed
    assert "equal to the trained weights" in printed
    assert re.search(r"General/learning_rate +0\.3", printed)


def test_a_second_process_sees_the_values_that_quickstart_printed(quickstart: tuple[Path, str]) -> None:
    folder, printed = quickstart
    shown = show(folder)
    assert (shown["name"], shown["project"], shown["status"]) == ("iris softmax", "Examples", "completed")
    assert shown["parameters"]["General/epochs"] == "60"
    assert shown["last_iteration"] == 59
    for title in ("loss", "accuracy"):
        for part in ("train", "test"):
            line = re.search(rf"{title}/{part} +(\S+) +\(lowest (\S+), highest (\S+)\)", printed)
            assert line is not None
            curve = shown["scalars"][title][part]
            assert [f"{curve[name]:.4f}" for name in ("last", "min", "max")] == list(line.groups())
    assert shown["single_values"]["test accuracy"] == shown["scalars"]["accuracy"]["test"]["last"] > 0.85
    assert shown["console"] == printed.splitlines()[:2]
    assert set(shown["artifacts"]) == {"weights", "confusion"}
    table = json.loads(shown["artifacts"]["confusion"]["preview"])
    assert sum(sum(row.values()) for row in table.values()) == 45


def test_quickstart_leaves_nothing_but_its_home(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    assert [path.name for path in folder.iterdir()] == [".atrains"]
    assert list((folder / ".atrains" / "journals").iterdir()) == []


def test_the_configured_run_keeps_its_file_and_its_dictionary(tmp_path: Path) -> None:
    printed = run(tmp_path, str(EXAMPLES / "config_file.py"))
    best = re.search(r"best threshold (\S+), accuracy (\S+), classes background, object", printed)
    assert best is not None
    assert 0.4 < float(best[1]) < 0.8 < float(best[2])
    assert "  noise {\n    mean = 0.0\n" in printed
    assert "2 classes: {0: 'background', 1: 'object'}" in printed
    assert "as a dictionary again: {'seed': 7, 'size': 2000, 'noise': {'mean': 0.0, 'spread': 0.15}}" in printed
    shown = show(tmp_path)
    assert (shown["status"], shown["last_iteration"]) == ("completed", 20)
    assert f"{shown['single_values']['accuracy']:.3f}" == best[2]


def test_the_training_script_has_its_arguments_stored(tmp_path: Path) -> None:
    printed = run(tmp_path, str(EXAMPLES / "argparse_training.py"), "--learning-rate", "0.5", "--epochs", "4", "--verbose")
    shown = show(tmp_path)
    assert shown["parameters"] == {
        "Args/learning_rate": "0.5", "Args/hidden": "3", "Args/epochs": "4", "Args/points": "300", "Args/seed": "1", "Args/verbose": "True",
    }  # fmt: skip
    assert (shown["status"], shown["last_iteration"]) == ("completed", 3)
    assert f"test accuracy {shown['single_values']['test accuracy']:.3f} with learning rate 0.5" in printed
    assert f"epoch 3: loss {shown['scalars']['loss']['train']['last']:.4f}" in printed


def test_the_search_runs_each_copy_with_its_own_arguments_and_finds_the_best(tmp_path: Path) -> None:
    printed = run(tmp_path, str(EXAMPLES / "automl.py"))
    rows = [line.split() for line in printed.splitlines() if line.endswith(" completed")]
    assert {(rate, hidden) for rate, hidden, _, _ in rows} == {(rate, hidden) for rate in ("0.003", "0.03", "0.3") for hidden in "28"}
    accuracies = [float(row[2]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > 0.9 > accuracies[-1]
    best = re.search(r"the best is task (\w+), 'rate (\S+), (\d) hidden'", printed)
    assert best is not None
    assert [best[2], best[3]] == rows[0][:2]
    shown: dict[str, Any] = json.loads(run(tmp_path, "-m", "atrains", "show", best[1], "--json"))
    assert (shown["status"], shown["parameters"]["Args/hidden"]) == ("completed", best[3])
    assert f"{shown['single_values']['test accuracy']:.3f}" == rows[0][2]
    assert any(f"test accuracy {rows[0][2]} with learning rate {best[2]}" in line for line in shown["console"])
    tasks = json.loads(run(tmp_path, "-m", "atrains", "ls", "--json", "--limit", "20"))
    assert {task["status"] for task in tasks} == {"completed"}
    assert len(tasks) == 8


def test_the_pipeline_stores_every_point_and_lets_the_loop_breathe(tmp_path: Path) -> None:
    points = 400_000
    printed = run(tmp_path, str(EXAMPLES / "async_pipeline.py"), str(points))
    assert f"{points:,} of {points:,} points stored, 0 pending, dropped: none" in printed
    worst = re.search(r"max (\S+) ms, of \S+ ticks  \(reporting and storing\)", printed)
    assert worst is not None
    # Far above what is promised: this only tells a loop that was held from one that was not, on any machine.
    assert float(worst[1]) < 1000
    shown = show(tmp_path)
    assert (shown["status"], shown["last_iteration"]) == ("completed", points // 4 - 1)
    assert len(shown["scalars"]["signal"]) == 4


def test_the_service_records_its_requests_and_ends_cleanly_when_it_is_told_to(tmp_path: Path) -> None:
    port = refused_port()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    command = [sys.executable, "-W", "error", str(EXAMPLES / "async_service.py"), str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env={**variables, "HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True) as service:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while True:
            try:
                ask(f"{address}/metrics")
                break
            except OSError:
                assert time.monotonic() < deadline
                assert service.poll() is None, service.communicate()
                time.sleep(0.05)
        for _ in range(20):
            assert json.loads(ask(f"{address}/words", b"a rose is a rose is a rose"))["rose"] == 3
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(f"{address}/nothing")
        told = json.loads(ask(f"{address}/metrics"))
        assert told["served"] == {"/metrics": 1, "/words": 20, "elsewhere": 1}
        assert told["points"]["reported"] == 44
        assert (told["points"]["dropped"], told["last_error"]) == ({}, None)
        service.send_signal(signal.SIGTERM)
        _, stderr = service.communicate(timeout=30)
    assert service.returncode == 0, stderr
    assert "Traceback" not in stderr
    shown = show(tmp_path)
    assert (shown["id"], shown["status"], shown["last_iteration"]) == (told["task"], "completed", 23)
    assert set(shown["scalars"]["latency in ms"]) == {"/words", "/metrics", "elsewhere"}


def ask(address: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(address, body, timeout=10) as answer:
        content: bytes = answer.read()
        return content
