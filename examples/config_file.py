"""A run that is configured by a file and a dictionary: both are stored with the task, and can be edited there before it is run again.

Run it from anywhere, with nothing configured::

    python examples/config_file.py

It writes a small configuration file, connects it (`connect_configuration`) beside a dictionary and the labels of the classes, searches for
the best threshold of a toy classifier as they say, and then reads from the finished task what it was configured with, as any other
program could. Under an agent the same lines hand the code what the task holds: the file is overwritten, the dictionary refilled.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import TypedDict

from atrains import Task


class Search(TypedDict):
    """Which thresholds are tried; the content of the file."""

    first: float
    last: float
    steps: int


class Noise(TypedDict):
    """How the samples are disturbed."""

    mean: float
    spread: float


class Data(TypedDict):
    """Which samples are made; the dictionary."""

    seed: int
    size: int
    noise: Noise


def main() -> None:
    os.chdir(tempfile.mkdtemp(prefix="atrains-example-"))
    Path("search.json").write_text(json.dumps(Search(first=0.0, last=1.0, steps=21), indent=2), encoding="utf-8")

    with Task.init("Examples", "configured by a file") as task:
        # Connected first, read afterwards: under an agent the file has another content then.
        path = task.connect_configuration(Path("search.json"), name="search", description="which thresholds are tried")
        search: Search = json.loads(path.read_text(encoding="utf-8"))
        data = task.connect_configuration(Data(seed=7, size=2000, noise=Noise(mean=0.0, spread=0.15)))
        labels = task.connect_label_enumeration({"background": 0, "object": 1})

        best, accuracy = find_threshold(task, search, make_samples(data))
        task.get_logger().report_single_value("accuracy", accuracy)
        print(f"best threshold {best:.2f}, accuracy {accuracy:.3f}, classes {', '.join(labels)}")

    read_back(task.id)


def make_samples(data: Data) -> list[tuple[float, bool]]:
    """Numbers, and whether each is that of an object: those above 0.6, but for some noise."""
    chance, noise = random.Random(data["seed"]), data["noise"]  # noqa: S311  # no secret
    values = [chance.random() for _ in range(data["size"])]
    return [(value, value + chance.gauss(noise["mean"], noise["spread"]) > 0.6) for value in values]


def find_threshold(task: Task, search: Search, samples: list[tuple[float, bool]]) -> tuple[float, float]:
    """Try the thresholds one by one, report the accuracy of each, and return the best with its accuracy."""
    found: list[tuple[float, float]] = []
    for step in range(search["steps"]):
        threshold = search["first"] + (search["last"] - search["first"]) * step / (search["steps"] - 1)
        accuracy = sum((value > threshold) is is_object for value, is_object in samples) / len(samples)
        task.get_logger().report_scalar("accuracy", "threshold", value=accuracy, iteration=step)
        found.append((accuracy, threshold))
    accuracy, threshold = max(found)
    return threshold, accuracy


def read_back(task_id: str) -> None:
    """Print what a finished task was configured with; nothing of the run above is used but its id."""
    task = Task.get_task(task_id)
    assert task is not None
    print(f"\nstored with task {task.id}, {task.status}")
    for name in ("General", "search"):
        text = task.get_configuration_object(name) or ""
        print(f"\n{name}:")
        print("\n".join(f"  {line}" for line in text.splitlines()))
    print(f"\n{task.get_num_of_classes()} classes: {task.get_label_num_description()}")
    print("\nas a dictionary again:", task.get_configuration_object_as_dict("General"))


if __name__ == "__main__":
    main()
