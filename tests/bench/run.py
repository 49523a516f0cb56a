"""The benchmark: `python tests/bench/run.py`. Each measurement is a fresh process with its own home, several rounds; a timing never fails.

This file starts the processes and gathers their figures. What is measured is in the modules beside it, what is promised in `table`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import beside
import table

MEASUREMENTS = {
    "latency": "reporting",
    "latency_paced": "reporting",
    "one_by_one": "reporting",
    "arrays": "reporting",
    "memory": "reporting",
    "ticker_in_loop": "loops",
    "ticker_beside_thread": "loops",
    "longest_callback": "loops",
    "startup": "startup",
    "closing": "startup",
    "registered_look": "tables",
    "printed_line": "watched",
    "watched_latency": "watched",
    "watched_ticker": "watched",
    "watched_callback": "watched",
}
"""The module of each measurement in the local home; the function has its name. Those over HTTP are in `beside`."""
ALL = [*MEASUREMENTS, *beside.MEASUREMENTS]
MARKER = "benchmark"
QUICK = 0.2
SECONDS = 900


def main() -> None:
    """Run the command line."""
    arguments = _arguments()
    if arguments.measure:
        _measure(arguments.measure, arguments.scale)
        return
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    scale = arguments.scale * (QUICK if arguments.quick else 1)
    begin, load = time.monotonic(), os.getloadavg()[0]
    with TemporaryDirectory(prefix="atrains-bench-", dir=arguments.directory) as folder:
        official = None if arguments.without_official else arguments.official or Path(folder) / "official"
        results, notes = _all_rounds(arguments.only or ALL, rounds, scale, Path(folder), official)
    circumstances = _circumstances(rounds, scale, load, time.monotonic() - begin)
    text = "\n\n".join([circumstances, *_loads(results), *sorted(notes), table.render(results)])
    print(text)
    for line in table.missed(results):
        print(f"not kept here: {line}", file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(json.dumps({"scale": scale, "rounds": rounds, "figures": results}, indent=2) + "\n", encoding="utf-8")
    if arguments.write:
        page = arguments.write
        page.write_text(table.replace_between(page.read_text(encoding="utf-8"), MARKER, text), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what atrains promises, and print it as Markdown.")
    parser.add_argument("only", nargs="*", metavar="MEASUREMENT", help=f"what to measure, everything by default: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="three rounds of a fifth of the points")
    parser.add_argument("--rounds", type=int, help="how often each measurement is made, in turns (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of points and seconds (default 1)")
    parser.add_argument("--directory", type=Path, help="where the homes are made; the disk matters (default: the temporary directory)")
    parser.add_argument("--official", type=Path, metavar="DIR", help="keep the environment of the official client there, for the next run")
    parser.add_argument("--without-official", action="store_true", help="measure atrains alone: nothing is installed")
    parser.add_argument("--write", type=Path, metavar="FILE", help=f"also put the result between the {MARKER} markers of a Markdown file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure of every round")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)  # what the fresh processes are started with
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(ALL):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    return arguments


def _measure(name: str, scale: float) -> None:
    """Make one measurement in this process; the last line printed is its figures."""
    function: Callable[[float], dict[str, float]] = getattr(import_module(MEASUREMENTS[name]), name)
    print(json.dumps(function(scale)))


def _all_rounds(
    names: Sequence[str], rounds: int, scale: float, folder: Path, official: Path | None
) -> tuple[dict[str, list[dict[str, float]]], set[str]]:
    """Every measurement once a round, rather than all rounds of one in a row: a noisy minute then spoils one round of each."""
    environment = _environment(folder)
    _in_process("closing", 0.01, folder / "warm-up", environment)  # byte code is compiled and files are read once before anything counts
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with ExitStack() as stack:
        bench = None
        if any(name in beside.MEASUREMENTS for name in names):
            bench = stack.enter_context(beside.opened(environment, official))
        for turn in range(rounds):
            for name in names:
                load = os.getloadavg()[0]
                print(f"round {turn + 1} of {rounds}: {name} (load {load:.1f})", file=sys.stderr, flush=True)
                place = folder / f"{name}-{turn}"
                if bench is not None and name in beside.MEASUREMENTS:
                    results[name].append(bench.measure(name, scale, place, turn))
                    shutil.rmtree(place)  # artifacts of each round would fill the disk
                else:
                    results[name].append(_in_process(name, scale, place, environment))
                results[name][-1]["load"] = load
        return results, bench.notes if bench else set()


def _in_process(name: str, scale: float, home: Path, environment: dict[str, str]) -> dict[str, float]:
    home.mkdir()
    answer = subprocess.run(
        [sys.executable, __file__, "--measure", name, "--scale", str(scale)],
        env={**environment, "ATRAINS_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    *remarks, figures = answer.stdout.splitlines()
    for remark in remarks:
        print(f"    {remark}", file=sys.stderr)
    result: dict[str, float] = json.loads(figures)
    return result


def _environment(folder: Path) -> dict[str, str]:
    """The environment of the measurements: nothing configured but a quiet local home, and byte code cached as in an installation."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("ATRAINS_", "TRAINS_", "CLEARML_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    return {**kept, "ATRAINS_API_HOST": "local", "ATRAINS_QUIET": "1"}


def _circumstances(rounds: int, scale: float, load: float, seconds: float) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        f"CPython {platform.python_version()} on {platform.system()} {platform.machine()}",
        f"{cores} cores",
        f"load {load:.1f} at the start",
        f"{rounds} rounds at scale {scale:g} in {seconds:.0f} s",
    ]
    return f"{', '.join(parts)}. Bold: the median does not keep the promise."


def _loads(results: table.Results) -> list[str]:
    """A sentence that names what was measured while the machine had more to do than cores."""
    loads = {name: [figures["load"] for figures in rounds] for name, rounds in results.items()}
    busy = [f"`{name}` ({min(found):.1f} to {max(found):.1f})" for name, found in loads.items() if median(found) > (os.cpu_count() or 1)]
    return [f"Measured while other work kept the machine busy (load average when the rounds began): {', '.join(busy)}."] if busy else []


if __name__ == "__main__":
    main()
