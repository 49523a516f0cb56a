"""The benchmark works: at a hundredth of its size every measurement gives every figure of the report. No timing is judged."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parent / "run.py"
ROOT = BENCHMARK.parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    return subprocess.run(
        [sys.executable, str(BENCHMARK), *arguments], env=environment, capture_output=True, text=True, timeout=170, check=False
    )


def test_every_measurement_fills_the_report_between_the_markers(tmp_path: Path) -> None:
    page, figures = tmp_path / "performance.md", tmp_path / "figures.json"
    page.write_text("# Before\n<!-- benchmark -->\nyesterday\n<!-- /benchmark -->\nafter\n", encoding="utf-8")
    places = ("--directory", str(tmp_path), "--json", str(figures), "--write", str(page))
    done = run("--rounds", "1", "--scale", "0.01", "--without-official", *places)
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Before\n")
    assert text.endswith("after\n")
    assert "yesterday" not in text
    missing = [line for line in text.splitlines() if "not measured" in line]
    assert all("numpy" in line or "official client" in line for line in missing), missing
    assert "The official client was not asked for." in text
    measured = json.loads(figures.read_text(encoding="utf-8"))["figures"]
    for name, rounds in measured.items():
        assert len(rounds) == 1, name
        assert len(rounds[0]) > 1, (name, rounds)
        assert all(math.isfinite(value) for value in rounds[0].values()), (name, rounds)
    assert measured["latency"][0]["call p50"] >= measured["latency"][0]["bare p50"] > 0


def test_a_measurement_that_is_not_there_is_named_with_those_that_are() -> None:
    done = run("latencies")
    assert done.returncode == 2
    assert "there is no measurement latencies" in done.stderr
    assert "latency_paced" in done.stderr


def test_the_official_client_stands_beside_it_where_it_can_be_installed(tmp_path: Path) -> None:
    names = ("http_one_by_one", "http_latency_refusing", "http_ticker", "http_memory", "http_artifacts_small")
    figures = tmp_path / "figures.json"
    done = run("--rounds", "1", "--scale", "0.01", "--directory", str(tmp_path), "--json", str(figures), *names)
    assert done.returncode == 0, done.stderr
    if "The official client was not measured" in done.stdout:
        pytest.skip(next(line for line in done.stdout.splitlines() if "was not measured" in line))
    measured = json.loads(figures.read_text(encoding="utf-8"))["figures"]
    for name in names:
        assert any(figure.startswith("official ") for figure in measured[name][0]), name
    assert measured["http_one_by_one"][0]["times"] > 0
