"""A run that is configured by a dictionary and by a file, with labels."""

import json
import os
import tempfile
from pathlib import Path

from atrains import Task

os.chdir(tempfile.mkdtemp())  # the file's path has to be a relative one
with open("network.json", "w") as f:
    json.dump({"layers": [16, 8], "activation": "relu"}, f)

task = Task.init("migrated", "configuration", task_type=Task.TaskTypes.testing)

# a dictionary
config = {"input": {"width": 224, "height": 224, "mean": [0.5, 0.25]}, "classes": 3, "name": "small net"}
config = task.connect_configuration(config)

labels = {"background": 0, "person": 1, "people": 1, "car": 2}
labels = task.connect_label_enumeration(labels)

# a file: connected first, read afterwards
config_file = task.connect_configuration(Path("network.json"), name="network", description="layers of the network")
my_params = json.load(open(str(config_file), "rt"))

cells = config["input"]["width"] * config["input"]["height"]
for layer in my_params["layers"]:
    cells = cells // layer
    task.get_logger().report_text("a layer of %d leaves %d cells" % (layer, cells))
task.get_logger().report_scalar("cells", "left", iteration=0, value=cells)

print("classes:", task.get_num_of_classes(), sorted(task.get_labels_enumeration().items()))
print("design:", task.get_model_config_dict()["input"]["width"])
task.set_comment("configured by a dictionary and a file")
task.add_tags(["configured", "small"])
