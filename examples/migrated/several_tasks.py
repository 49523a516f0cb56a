"""Several tasks in one process: one after the other, one beside the other, one that belongs to somebody else."""

from atrains import Logger, Task


def train(fold):
    task = Task.init("migrated/folds", "fold %d" % fold, reuse_last_task_id=False)
    parameters = task.connect({"fold": fold, "epochs": 5})
    assert Task.current_task().id == task.id
    score = 0.0
    for epoch in range(parameters["epochs"]):
        score = 1.0 - 1.0 / (1 + epoch + fold)
        Logger.current_logger().report_scalar("score", "validation", score, iteration=epoch)
    print("fold", fold, "has a score of", score)
    task.close()
    return task.id, score


# one after the other
results = [train(fold) for fold in range(3)]

# the main task of the rest, and tasks beside it
summary = Task.init("migrated", "several tasks")
assert Task.init("migrated", "several tasks") is summary
for part in ("left", "right"):
    beside = Task.create(task_name="beside " + part)  # in the project of the main task
    beside.mark_started()
    for x in range(10):
        beside.get_logger().report_scalar("title", part, value=x * 2, iteration=x)
    beside.flush(wait_for_uploads=True)
    beside.mark_stopped()

# reports to a task that has ended already
for fold, (task_id, score) in enumerate(results):
    trained = Task.get_task(task_id=task_id)
    trained.get_logger().report_scalar("afterwards", "rank", value=len(results) - fold, iteration=0)
    trained.flush(wait_for_uploads=True)
    trained.add_tags("ranked")
    summary.get_logger().report_scalar("score", "by fold", value=score, iteration=fold)

best = max(results, key=lambda result: result[1])[0]
summary.set_parent(best)
summary.set_comment("best: " + Task.get_task(best).name)
print("main:", summary.is_main_task(), "others:", [Task.get_task(task_id).status for task_id, _ in results])
