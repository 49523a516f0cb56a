"""Training that goes on where the last run stopped, from a checkpoint of its own, in the same task; `--continue` the second time."""

import argparse
import json
import os

from atrains import Task

parser = argparse.ArgumentParser()
parser.add_argument("--continue", dest="resume", action="store_true")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()

if args.resume:
    task = Task.init("migrated", "continuing", continue_last_task=True)
else:
    task = Task.init("migrated", "continuing")

checkpoint = "checkpoint.json"
if args.resume and os.path.exists(checkpoint):
    with open(checkpoint) as f:
        state = json.load(f)
    print("going on after %d epochs, iterations begin at %d" % (state["epochs"], task.get_initial_iteration()))
else:
    state = {"epochs": 0, "loss": 1.0}

for epoch in range(args.epochs):
    state["loss"] *= 0.5
    state["epochs"] += 1
    # from 0 again: the offset is the task's business
    task.get_logger().report_scalar("loss", "train", value=state["loss"], iteration=epoch)
    print("epoch %d: loss %s" % (state["epochs"], state["loss"]))

with open(checkpoint, "w") as f:
    json.dump(state, f)
task.upload_artifact("checkpoint %d" % state["epochs"], artifact_object=checkpoint)
task.flush(wait_for_uploads=True)
print("last iteration is %d" % task.get_last_iteration())
