"""Fine tuning: weights come from a model, checkpoints become models, the best one is published."""

import json
import os
import tempfile

from atrains import InputModel, OutputModel, Task

folder = tempfile.mkdtemp()


def save(weights, name):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        json.dump(weights, f)
    return path


def load(path):
    with open(path) as f:
        return json.load(f)


# pretraining
task = Task.init("migrated", "pretraining")
task.connect_label_enumeration({"background": 0, "object": 1})
task.connect_configuration({"layers": 2, "width": 4})
pretrained = OutputModel(task, name="pretrained", tags=["base"], framework="Custom", comment="as made at first")
pretrained.update_weights(save([0.0, 0.5], "pretrained.json"), iteration=1, auto_delete_file=False)
pretrained.publish()
print("pretrained has", pretrained.labels, "from", task.name)
task.close()

# fine tuning
task = Task.init("migrated", "models")
base = InputModel(pretrained.id)
task.connect(base)
weights = load(base.get_weights())
print("starting with", weights, base.config_dict["width"], base.name)

snapshots = OutputModel(task, config_dict={"layers": 2, "width": 4}, label_enumeration={"background": 0, "object": 1}, name="tuned")
for epoch in range(3):
    weights = [w + 0.25 for w in weights]
    snapshots.update_weights(save(weights, "tuned.json"), iteration=epoch)
    task.get_logger().report_scalar("weight", "first", weights[0], epoch)

# what others made can be registered by its address
other = InputModel.import_model(weights_url="file://" + save([1.0, 1.0], "other.json"), name="somebody's", tags=["foreign"], framework="Custom",
                                label_enumeration={"object": 1})
task.connect(other)

best = OutputModel(task, name="best")
best.update_weights(save(weights, "best.json"), auto_delete_file=False)
best.publish()
task.flush(wait_for_uploads=True)

models = task.get_models()
print("input:", sorted(model.name for model in models["input"]))
print("output:", sorted(model.name for model in models["output"]))
tuned = [model for model in models["output"] if "tuned" in model.name][0]
print("tuned weights:", load(tuned.get_weights()))
