"""What it costs to look at a registered table that did not change."""

from __future__ import annotations

import time
from statistics import median

from figures import Figures

from atrains import Task

ROWS = 1_000_000


def registered_look(scale: float) -> Figures:
    """The time of `flush()` in a run with a table of a million rows that is stored already; before that, without it."""
    import numpy as np
    import pandas as pd

    rows, flushes = max(int(ROWS * scale), 1000), 20
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": np.arange(rows),
            "group": random.integers(0, 1000, rows),
            "loss": random.random(rows),
            "score": random.random(rows).astype("float32"),
            "kept": random.random(rows) < 0.5,
            "label": pd.Categorical.from_codes(random.integers(0, 3, rows), ["cat", "dog", "bird"]),
        }
    )
    figures: Figures = {}
    with Task.init("benchmark", "a table") as task:
        for name in ("bare", "look"):
            if name == "look":
                task.register_artifact("table", table)
            task.flush(wait_for_uploads=True, timeout=300)
            took = []
            for _ in range(flushes):
                begin = time.perf_counter()
                task.flush()
                took.append(time.perf_counter() - begin)
            figures |= {name: median(took), f"{name} max": max(took)}
    return figures
