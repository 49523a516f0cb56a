"""Auto-ML in a page: a recorded run is the template, copies of it with other arguments are run, and the best one is found.

Run it from anywhere, with nothing configured::

    python examples/automl.py
    python examples/automl.py --queue default   # with a server, and agents that serve the queue

1. `argparse_training.py` is run once as it is: that run is the template.
2. `Task.clone` copies it for each choice of arguments, and `update_parameters` writes the choice into the copy.
3. The copies are run. With `--queue` they go into the queue, and agents run them. Without, `execute` does what an agent does, for two at a
   time: it starts the task, runs the script in a process that finds the id of its task in its environment, passes on what that prints,
   and sets the status with which it ended. The script takes its arguments from the task: there are none on its command line.
4. `wait_for_status` waits for each, and the results are read and compared.

The search is a run of its own, a controller, which keeps the table that it prints.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from atrains import Task, TaskTypes

SCRIPT = Path(__file__).resolve().with_name("argparse_training.py")
PATIENCE = 60.0
"""Seconds that a copy may take."""
PATIENCE_IN_QUEUE = 1800.0
"""Seconds that it may take with its wait for an agent, and with what that installs for it."""


def main() -> None:
    with Task.init("Examples", "auto-ML", task_type=TaskTypes.optimizer, reuse_last_task_id=False) as search:
        options = parse_arguments()
        template = make_template()
        print(f"the template is task {template.id}, with {template.get_parameters()}")

        copies: list[Task] = []
        for rate, hidden in product(options.learning_rates, options.hidden):
            copy = Task.clone(template, name=f"rate {rate:g}, {hidden} hidden", parent=search)
            copy.update_parameters({"Args/learning_rate": rate, "Args/hidden": hidden})
            copies.append(copy)

        if options.queue:
            for copy in copies:
                Task.enqueue(copy, queue_name=options.queue)
            for copy in copies:
                copy.wait_for_status(check_interval_sec=2, timeout=PATIENCE_IN_QUEUE)
        else:
            with ThreadPoolExecutor(2) as agents:
                done = [agents.submit(execute, copy) for copy in copies]
                for copy in copies:
                    copy.wait_for_status(check_interval_sec=0.2, timeout=PATIENCE)
                for each in done:
                    each.result()

        best = compare(search, copies)
        print(f"\nthe best is task {best.id}, {best.name!r}; see it with: atrains show {best.id}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find good arguments for argparse_training.py.")
    parser.add_argument("--queue", help="have agents run the copies that are put into the queue of this name (default: run them here)")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.003, 0.03, 0.3])
    parser.add_argument("--hidden", type=int, nargs="+", default=[2, 8])
    return parser.parse_args()


def make_template() -> Task:
    """Run the script as a user would, and return the task that it recorded."""
    subprocess.run([sys.executable, str(SCRIPT)], env=environment(), check=True)
    template = Task.get_task(project_name="Examples", task_name="argparse training")
    assert template is not None
    return template


def execute(task: Task) -> None:
    """Run a task as an agent does."""
    task.mark_started(force=True)
    ids = {f"{prefix}_TASK_ID": task.id for prefix in ("CLEARML", "TRAINS")}
    output = {f"{prefix}_LOG_TASK_TO_BACKEND": "0" for prefix in ("CLEARML", "TRAINS")}
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env={**environment(), **ids, **output}, capture_output=True, text=True, check=False)
    task.get_logger().report_text(done.stdout + done.stderr, print_console=False)
    task.flush()
    if done.returncode == 0:
        task.mark_completed()
    else:
        task.mark_failed(status_reason=f"exit code {done.returncode}")


def environment() -> dict[str, str]:
    """The variables of a process that is no part of the search: without that, it would report to the run of the search."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_PROC_MASTER_ID")}


def compare(search: Task, copies: list[Task]) -> Task:
    """Print and keep the results, best first, and return the best copy."""
    results = [(copy.get_reported_single_values()["test accuracy"], copy) for copy in copies]
    results.sort(key=lambda result: result[0], reverse=True)
    table = [["learning rate", "hidden", "accuracy", "status"]]
    for place, (accuracy, copy) in enumerate(results):
        arguments = copy.get_parameters()
        table.append([arguments["Args/learning_rate"], arguments["Args/hidden"], f"{accuracy:.3f}", copy.status])
        search.get_logger().report_scalar("accuracy", "from best to worst", value=accuracy, iteration=place)
    print("\n" + "\n".join("".join(f"{cell:>15}" for cell in row) for row in table))
    search.upload_artifact("results", table)
    return results[0][1]


if __name__ == "__main__":
    main()
