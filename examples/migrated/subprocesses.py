"""One task, many processes: workers of a pool, a process of its own, and another interpreter report to the task of the main process."""

import multiprocessing
import subprocess
import sys
from argparse import ArgumentParser

from atrains import Task


def area(number):
    logger = Task.current_task().get_logger()
    for i in range(10):
        logger.report_scalar("pool", "worker item %d" % number, value=number * i, iteration=i)
    Task.current_task().flush(wait_for_uploads=True)
    return number * number


def evaluate(rank):
    task = Task.init("migrated", "sub-processes")  # the task of the main process
    task.get_logger().report_scalar("process", "rank %d" % rank, value=rank, iteration=0)
    print("hello from rank %d" % rank)
    task.flush(wait_for_uploads=True)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rank", type=int, default=-1)
    args = parser.parse_args()

    if args.rank >= 0:
        evaluate(args.rank)
        sys.exit(0)

    task = Task.init("migrated", "sub-processes")
    context = multiprocessing.get_context("fork")

    with context.Pool(args.processes) as pool:
        areas = pool.map(area, range(1, 5))
        pool.close()
        pool.join()

    process = context.Process(target=evaluate, args=(0,))
    process.start()
    process.join()

    subprocess.check_call([sys.executable, __file__, "--rank", "1"])

    task.get_logger().report_scalar("sum", "of areas", sum(areas), iteration=0)
    print("areas", areas, "exit code", process.exitcode)
