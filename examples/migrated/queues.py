"""A controller that fills a queue, empties it again, and hands itself over at the end."""

import sys

from atrains import Task

controller = Task.init("migrated", "queues", task_type=Task.TaskTypes.controller)
settings = controller.connect({"jobs": 3, "queue": "default"})

jobs = []
for number in range(settings["jobs"]):
    job = Task.create(project_name="migrated/jobs", task_name="job %d" % number, task_type=Task.TaskTypes.inference)
    job.set_parameters({"General/number": number})
    job.set_base_docker("python:3.8 --ipc=host")
    response = Task.enqueue(job, queue_name=settings["queue"])
    print("job", number, "is", job.get_status(), response.queued)
    jobs.append(job)

# the second one is not wanted after all
Task.dequeue(jobs[1])
print("job 1 is", jobs[1].status)

# by id, and again
Task.enqueue(jobs[1].id, settings["queue"])
Task.dequeue(jobs[1].id)
jobs[1].mark_started()
jobs[1].mark_failed(status_reason="not wanted", status_message="took too long")
print("job 1 is", jobs[1].get_status())
try:
    jobs[1].wait_for_status(check_interval_sec=1.0)
except RuntimeError:
    print("job 1 failed, as expected")

# what an agent does with the first one
jobs[0].started()
jobs[0].stopped()
jobs[0].wait_for_status(status=(Task.TaskStatusEnum.stopped,), check_interval_sec=0.5)

controller.get_logger().report_text("filled the queue")
print("running here:", Task.running_locally(), "main:", controller.is_main_task())
sys.stdout.flush()
controller.execute_remotely(queue_name=settings["queue"])
print("this line is printed where an agent executes the task")
