"""Data preparation that keeps its results as artifacts, and a second step that finds them by the names of project and task."""

import os
import shutil
import tempfile

import numpy as np
import pandas as pd
from PIL import Image

from atrains import Task

task = Task.init("migrated", "artifacts", Task.TaskTypes.data_processing)

df = pd.DataFrame({"sepal": [5.1, 4.9, 4.7, 4.6], "petal": [1.4, 1.4, 1.3, 1.5]}, index=["s1", "s2", "s3", "s4"])

# follows the table: what changes later is stored as well
task.register_artifact("train", df, metadata={"counting": "legs", "max legs": 69})
df.sample(frac=0.5, replace=True, random_state=1)
df["ratio"] = df["sepal"] / df["petal"]
task.get_registered_artifacts()["train"].loc["s5"] = [5.0, 1.0, 5.0]

# stored as they are now
folder = tempfile.mkdtemp()
os.chdir(folder)
for number in range(3):
    with open("part_%d.txt" % number, "w") as f:
        f.write("part %d\n" % number)
task.upload_artifact("data file", artifact_object=os.path.join(folder, "part_0.txt"))
task.upload_artifact("folder", artifact_object=folder)
task.upload_artifact("wildcard", os.path.join(folder, "part_*.txt"))
task.upload_artifact("dictionary", {"legs": 4, "names": ["cat", "dog"], "nested": {"a": 1.5}}, {"by": "hand"})
task.upload_artifact("table", artifact_object=df)
task.upload_artifact("numpy", np.eye(3, 3))
task.upload_artifact("image", Image.fromarray(np.full((4, 6, 3), 128, dtype=np.uint8)))
with open("temporary.txt", "w") as f:
    f.write("not needed afterwards")
task.upload_artifact("temporary", "./temporary.txt", delete_after_upload=True)
assert task.upload_artifact("dictionary 2", artifact_object={"key": "value"}, metadata={"owner": "somebody"})

task.unregister_artifact("train")
task.flush(wait_for_uploads=True)
print("uploaded", sorted(task.artifacts.keys()))

# another step would do this in a process of its own
preparation = Task.get_task(project_name="migrated", task_name="artifacts")
local_csv = preparation.artifacts["data file"].get_local_copy()
with open(local_csv) as f:
    print("data file:", f.read().strip())
print("dictionary:", preparation.artifacts["dictionary"].get())
print("numpy:", preparation.artifacts["numpy"].get().sum())
print("table:", preparation.artifacts["table"].get()["sepal"].mean())
print("metadata:", preparation.artifacts["dictionary"].metadata)

os.chdir(tempfile.gettempdir())
task.close()
shutil.rmtree(folder)
