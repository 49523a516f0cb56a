"""A script that parses arguments: `python arguments.py PACKAGE NAME LINE OUTCOME`, LINE being a JSON list. By any of the packages.

What it goes on with is its outcome; of a task that is given in the environment these are the values of the task.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

package, name, line, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
sys.argv[1:] = json.loads(line)  # the official clients look there, too
options = {} if package == "atrains" else {"auto_connect_frameworks": False}
task = Task.init("interop/arguments", name, reuse_last_task_id=False, **options)

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.1, help="step size")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--name", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--text")
parser.add_argument("--layers", type=int, nargs="+", default=[8])
parser.add_argument("--half", action="store_true")
parser.add_argument("--plain", default=5)
commands = parser.add_subparsers(dest="command")
train = commands.add_parser("train")
train.add_argument("--momentum", type=float, default=0.9)
commands.add_parser("test").add_argument("--split", default="a")
values = vars(parser.parse_args())

task.flush()
found = {"id": task.id, "values": repr(values)}
task.close()
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
