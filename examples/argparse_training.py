"""An ordinary training script with a command line, and two lines that record it: its arguments are stored without being asked for.

Run it from anywhere, with nothing configured::

    python examples/argparse_training.py --learning-rate 0.5 --hidden 6

The two lines are the import and `Task.init`. The arguments are stored with the run under `Args`, with their types and help. When an agent
runs the task again, perhaps as a copy in which somebody changed a value, `parse_args` gives what the task holds then; what stands on the
command line still wins. `automl.py` does that with many copies at once.

A small network learns to tell the inside of a circle from its outside, in plain Python, so that there is nothing to install.
"""

from __future__ import annotations

import argparse
import math
import random

from atrains import Task

Point = tuple[float, float, bool]
"""Where it lies, and whether that is inside."""
Network = list[list[float]]
"""One row for each hidden unit: two weights, a bias, and the weight with which it counts."""


def main() -> None:
    task = Task.init("Examples", "argparse training")
    arguments = parse_arguments()

    chance = random.Random(arguments.seed)  # noqa: S311  # no secret
    train, test = make_points(chance, arguments.points), make_points(chance, 500)
    network = [[chance.gauss(0, 1) for _ in range(4)] for _ in range(arguments.hidden)]
    for epoch in range(arguments.epochs):
        loss = improve(network, train, arguments.learning_rate)
        task.get_logger().report_scalar("loss", "train", value=loss, iteration=epoch)
        task.get_logger().report_scalar("accuracy", "test", value=accuracy(network, test), iteration=epoch)
        if arguments.verbose:
            print(f"epoch {epoch}: loss {loss:.4f}")
    task.get_logger().report_single_value("test accuracy", accuracy(network, test))
    print(f"test accuracy {accuracy(network, test):.3f} with learning rate {arguments.learning_rate:g} and {arguments.hidden} hidden units")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Learn where a circle is.")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="how far a step goes (default: %(default)s)")
    parser.add_argument("--hidden", type=int, default=3, help="hidden units of the network (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="how often all points are seen (default: %(default)s)")
    parser.add_argument("--points", type=int, default=300, help="points to learn from (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print the loss of each epoch")
    return parser.parse_args()


def make_points(chance: random.Random, count: int) -> list[Point]:
    places = [(chance.uniform(-1, 1), chance.uniform(-1, 1)) for _ in range(count)]
    return [(x, y, math.hypot(x, y) < 0.75) for x, y in places]


def forward(network: Network, x: float, y: float) -> tuple[float, list[float]]:
    """How sure the network is that a point is inside, and what its hidden units say."""
    hidden = [math.tanh(unit[0] * x + unit[1] * y + unit[2]) for unit in network]
    total = sum(unit[3] * value for unit, value in zip(network, hidden, strict=True))
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, total)))), hidden


def improve(network: Network, points: list[Point], rate: float) -> float:
    """Go through all points once, a step of gradient descent for each, and return the mean loss on the way."""
    loss = 0.0
    for x, y, is_inside in points:
        sure, hidden = forward(network, x, y)
        loss -= math.log(max(1e-12, sure if is_inside else 1 - sure))
        error = sure - is_inside
        for unit, value in zip(network, hidden, strict=True):
            inner = error * unit[3] * (1 - value * value)
            for index, factor in enumerate((x, y, 1.0)):
                unit[index] -= rate * inner * factor
            unit[3] -= rate * error * value
    return loss / len(points)


def accuracy(network: Network, points: list[Point]) -> float:
    return sum((forward(network, x, y)[0] > 0.5) is is_inside for x, y, is_inside in points) / len(points)


if __name__ == "__main__":
    main()
