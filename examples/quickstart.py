"""Two lines record a run: a softmax classifier is trained on Fisher's iris, and what it recorded is read back.

Run it from anywhere, with nothing configured::

    python examples/quickstart.py

It shows hyperparameters (`connect`), loss and accuracy per epoch (`report_scalar`), console text, a value that belongs to the whole run,
and two artifacts; then it opens the finished task again, as any other program could, and prints what is stored.

The data is `data/iris.csv`: 150 flowers of three species, measured by E. Anderson and published by R. A. Fisher, "The use of multiple
measurements in taxonomic problems", Annals of Eugenics 7 (1936). The classifier is plain Python, so that there is nothing to install.
"""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import TypedDict, cast

from atrains import Logger, Task

DATA = Path(__file__).resolve().parent / "data" / "iris.csv"

Sample = tuple[list[float], int]
"""The measurements of a flower, behind a constant 1 for the bias, and the number of its species."""
Weights = list[list[float]]
"""One row for each species, one column for each measurement and the bias."""


class Hyperparameters(TypedDict):
    """What the run is configured with."""

    learning_rate: float
    weight_decay: float
    epochs: int
    test_share: float
    seed: int


def main() -> None:
    with Task.init("Examples", "iris softmax") as task:
        parameters = task.connect(Hyperparameters(learning_rate=0.3, weight_decay=0.001, epochs=60, test_share=0.3, seed=42))
        species, train, test = load_data(parameters)
        logger = task.get_logger()
        logger.report_text(f"training on {len(train)} flowers, testing on {len(test)}: {', '.join(species)}")

        weights = fit(train, test, parameters, classes=len(species), logger=logger)

        accuracy, table = evaluate(weights, test, species)
        logger.report_single_value("test accuracy", accuracy)
        logger.report_text(f"done: {accuracy:.1%} of the test flowers are recognised")
        task.upload_artifact("weights", {"species": species, "rows": weights})
        task.upload_artifact("confusion", table, metadata={"rows": "actual species", "columns": "predicted species"})

    read_back(task.id, weights)


def load_data(parameters: Hyperparameters) -> tuple[list[str], list[Sample], list[Sample]]:
    """The species, and the flowers in two shuffled parts; measurements are scaled by the training part alone."""
    with DATA.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    species = sorted({row[-1] for row in rows})
    random.Random(parameters["seed"]).shuffle(rows)  # noqa: S311  # no secret
    held_out = round(len(rows) * parameters["test_share"])
    measured = [([float(text) for text in row[:-1]], species.index(row[-1])) for row in rows]
    columns = list(zip(*(flower for flower, _ in measured[held_out:]), strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    spreads = [math.dist(column, [mean] * len(column)) / math.sqrt(len(column)) for column, mean in zip(columns, means, strict=True)]
    samples = [
        ([1.0, *((value - mean) / spread for value, mean, spread in zip(flower, means, spreads, strict=True))], label)
        for flower, label in measured
    ]
    return species, samples[held_out:], samples[:held_out]


def fit(train: list[Sample], test: list[Sample], parameters: Hyperparameters, *, classes: int, logger: Logger) -> Weights:
    """Train by gradient descent, one flower at a time; report loss and accuracy of both parts after each epoch."""
    shuffle = random.Random(parameters["seed"])  # noqa: S311  # as above
    weights: Weights = [[0.0] * len(train[0][0]) for _ in range(classes)]
    for epoch in range(parameters["epochs"]):
        rate = parameters["learning_rate"] / (1 + epoch)
        for features, label in shuffle.sample(train, len(train)):
            for number, chance in enumerate(predict(weights, features)):
                slope = chance - (number == label)
                row = weights[number]
                weights[number] = [
                    weight - rate * (slope * value + parameters["weight_decay"] * weight)
                    for weight, value in zip(row, features, strict=True)
                ]
        for name, part in (("train", train), ("test", test)):
            loss, accuracy = score(weights, part)
            logger.report_scalar("loss", name, value=loss, iteration=epoch)
            logger.report_scalar("accuracy", name, value=accuracy, iteration=epoch)
    return weights


def predict(weights: Weights, features: list[float]) -> list[float]:
    """The probability of each species."""
    scores = [sum(weight * value for weight, value in zip(row, features, strict=True)) for row in weights]
    highest = max(scores)
    powers = [math.exp(value - highest) for value in scores]
    total = sum(powers)
    return [power / total for power in powers]


def score(weights: Weights, samples: list[Sample]) -> tuple[float, float]:
    """The mean cross-entropy, and the share that is recognised."""
    chances = [(predict(weights, features), label) for features, label in samples]
    loss = -sum(math.log(chance[label]) for chance, label in chances) / len(samples)
    return loss, sum(chance.index(max(chance)) == label for chance, label in chances) / len(samples)


def evaluate(weights: Weights, samples: list[Sample], species: list[str]) -> tuple[float, dict[str, dict[str, int]]]:
    """The share that is recognised, and how often each species was taken for each."""
    table = {actual: dict.fromkeys(species, 0) for actual in species}
    for features, label in samples:
        chances = predict(weights, features)
        table[species[label]][species[chances.index(max(chances))]] += 1
    return sum(table[name][name] for name in species) / len(samples), table


def read_back(task_id: str, weights: Weights) -> None:
    """Print what is stored about a finished task. Nothing of the run above is used but its id, and the weights to compare with."""
    task = Task.get_task(task_id)
    assert task is not None
    print(f"\nstored as task {task.id}: {task.name!r} in project {task.get_project_name()!r}, {task.status}")
    print("\nparameters")
    for name, text in task.get_parameters().items():
        print(f"  {name:24}{text}")
    metrics = task.get_last_scalar_metrics()
    print("\nlast values, in epoch", task.get_last_iteration())
    for title in ("loss", "accuracy"):
        for series, metric in metrics[title].items():
            print(f"  {title + '/' + series:24}{metric['last']:.4f}   (lowest {metric['min']:.4f}, highest {metric['max']:.4f})")
    for name, value in task.get_reported_single_values().items():
        print(f"  {name:24}{value:.4f}")
    print("\nconfusion table: actual species in rows, predicted in columns")
    confusion = cast("dict[str, dict[str, int]]", task.artifacts["confusion"].get())
    print(f"  {'':12}" + "".join(f"{name:>12}" for name in confusion))
    for actual, row in confusion.items():
        print(f"  {actual:12}" + "".join(f"{count:12}" for count in row.values()))
    stored = task.artifacts["weights"]
    same = stored.get() == {"species": list(confusion), "rows": weights}
    print(f"\nartifact {stored.name!r}: {stored.size} bytes, {'equal to' if same else 'DIFFERENT FROM'} the trained weights")
    print(f"\nlook at it with\n  atrains ls\n  atrains show {task.id[:8]}")


if __name__ == "__main__":
    main()
