"""A real kernel of Jupyter: what its cells print is on the page and in the console, once; figures are stored; the kernel goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="NOT TESTED: no kernel of Jupyter; install nbclient and ipykernel (both are in the extra `dev`)")
pytest.importorskip("ipykernel", reason="NOT TESTED: no kernel of Jupyter; install nbclient and ipykernel (both are in the extra `dev`)")

import nbclient
import nbformat

CELLS = {
    "begin": """
        import asyncio, logging, sys, threading
        import matplotlib.pyplot as plt
        from atrains import Task
        before = sys.stdout, sys.stderr
        handler = logging.StreamHandler()
        logging.getLogger("training").addHandler(handler)
        task = Task.init("notebook", "console", auto_resource_monitoring=False)
    """,
    "print": """
        print("printed")
        print("to stderr", file=sys.stderr)
        print("not ended", end="")
        logging.getLogger("training").warning("logged")
        !echo of a shell
    """,
    "captured": """
        %%capture kept
        print("kept by the cell")
    """,
    "await": """
        print()
        await asyncio.sleep(0.01)
        print("after an await")
        thread = threading.Thread(target=print, args=("in a thread",))
        thread.start()
        thread.join()
        await asyncio.to_thread(print, "in a worker")
    """,
    "bar": """
        from tqdm import tqdm
        for _ in tqdm(range(20), desc="training"):
            await asyncio.sleep(0.005)
    """,
    "figures": """
        figure, axes = plt.subplots()
        axes.plot([1, 2, 3], [2, 4, 8], label="powers")
        log = task.get_logger()
        log.report_matplotlib_figure("matplotlib", "powers", 1, figure)
        log.report_plotly("plotly", "bars", 1, {"data": [{"type": "bar", "y": [3, 1, 2]}]})
        log.report_scalar("loss", "train", 0.5, 1)
        plt.show()
    """,
    "broken": """
        1 / 0
    """,
    "close": """
        print("the last line")
        task.close()
        assert sys.stdout is before[0] and sys.stderr is before[1]
        print("after the close")
    """,
    "again": """
        second = Task.init("notebook", "second", auto_resource_monitoring=False)
        print("of the second run")
        second.close()
        print(6 * 7)
    """,
    "given back": """
        def own_method(stream):
            write = stream.write
            while getattr(write, "__closure__", None):  # what IPython puts around it while a cell runs
                write = dict(zip(write.__code__.co_freevars, write.__closure__))["original_write"].cell_contents
            return write
        assert all(own_method(stream).__self__ is stream for stream in before), [own_method(stream) for stream in before]
        kept = getattr(get_ipython().history_manager, "outputs", {})  # what newer versions keep of each cell
        assert not kept or [text for text in kept[2][0].bundle["stream"] if text.strip()][0] == "printed", kept
    """,
    "read": """
        import json
        plots = {plot["metric"]: json.loads(plot["plot_str"])["data"][0] for plot in Task.get_task(task.id).get_reported_plots()}
        print(json.dumps([[name, plot["type"], plot["y"]] for name, plot in sorted(plots.items())]))
    """,
}


def _shown(cell: Any, name: str) -> str:
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream" and output["name"] == name)


def test_cells_print_and_draw(user: Any, read_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.v4.new_notebook()
    for name, text in CELLS.items():
        lines = [line[8:] for line in text.strip("\n").split("\n")]
        notebook.cells.append(
            nbformat.v4.new_code_cell("\n".join(lines).strip(), metadata={"tags": ["raises-exception"] * (name == "broken")})
        )
    environment = user.environment(ATRAINS_QUIET="1")
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(user.directory)}}).execute()
    cells = dict(zip(CELLS, notebook.cells, strict=True))

    # On the page: everything, once.
    assert _shown(cells["print"], "stdout").replace("\r\n", "\n") == "printed\nnot endedof a shell\n"
    assert _shown(cells["print"], "stderr") == "to stderr\nlogged\n"
    assert not cells["captured"].outputs
    assert _shown(cells["await"], "stdout").split() == ["after", "an", "await", "in", "a", "thread", "in", "a", "worker"]
    assert "100%" in _shown(cells["bar"], "stderr")
    assert any("image/png" in output.get("data", {}) for output in cells["figures"].outputs)
    assert cells["broken"].outputs[0]["ename"] == "ZeroDivisionError"
    assert _shown(cells["close"], "stdout") == "the last line\nafter the close\n"
    assert _shown(cells["again"], "stdout") == "of the second run\n42\n"

    # In the console: what was printed, once; of the bar what is left of it.
    found = read_task("notebook", "console")
    lines = [line for event in found["console"] for line in event.split("\n")]
    bars = [line for line in lines if "training" in line]
    others = [line for line in lines if line and "training" not in line]
    said = ["printed", "to stderr", "logged", "not endedof a shell", "after an await", "in a thread", "in a worker", "the last line"]
    assert sorted(others) == sorted(said), others
    assert len(bars) == 1
    assert "100%" in bars[0]
    assert found["status"] == "completed"
    second = read_task("notebook", "second")
    assert second["console"] == ["of the second run"]
    assert json.loads(_shown(cells["read"], "stdout")) == [["matplotlib", "scatter", [2, 4, 8]], ["plotly", "bar", [3, 1, 2]]]
