"""A grid over a template: copies of a task, each with its own parameters, name, tags and parent."""

from itertools import product

from atrains import Task

# the template is a task as a training script leaves it
template = Task.create("migrated/search", "template")
template.connect({"lr": 0.1, "width": 8, "optimizer": {"name": "sgd", "momentum": 0.9}})
template.set_comment("to be copied")
template.add_tags(["template"])

task = Task.init("migrated", "cloning", Task.TaskTypes.optimizer)
task.connect({"lr": [0.1, 0.01], "width": [8, 16]})

template = Task.get_task(project_name="migrated/search", task_name="template")
original = template.get_parameters()
section = "General/" if "General/lr" in original else ""

copies = []
for lr, width in product([0.1, 0.01], [8, 16]):
    cloned = Task.clone(source_task=template, name="lr {} width {}".format(lr, width), comment="copy", parent=task.id)
    parameters = cloned.get_parameters()
    parameters[section + "lr"] = lr
    parameters[section + "width"] = width
    cloned.set_parameters(parameters)
    cloned.add_tags(["copy"])
    copies.append(cloned.id)
    print("cloned {} as {}".format(template.name, cloned.name))

# one more by id alone: everything stays as it was but the name
last = Task.clone(template.id, "unchanged")
last.set_name("renamed")

# in a real search an agent executes them; here each is a formula
for number, task_id in enumerate(copies):
    cloned = Task.get_task(task_id=task_id)
    lr, width = float(cloned.get_parameters()[section + "lr"]), int(cloned.get_parameters()[section + "width"])
    cloned.mark_started()
    cloned.get_logger().report_scalar("accuracy", "test", 1.0 - abs(lr - 0.01) - 1.0 / width, iteration=0)
    cloned.flush(wait_for_uploads=True)
    cloned.completed()
    task.get_logger().report_scalar("search", "done", number + 1, iteration=number)

found = Task.get_tasks(project_name="migrated/search", task_name="lr ")
for candidate in found:
    candidate.wait_for_status()
best = max(found, key=lambda t: t.get_last_scalar_metrics()["accuracy"]["test"]["last"])
print("the best of", len(found), "is", best.name, best.status)
task.upload_artifact("best", {"name": best.name, "parameters": {k: str(v) for k, v in best.get_parameters().items()}})
task.close()
