"""The machine is watched while the main run is open: points under the titles that servers know, beside and not among the user's."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atrains._capture.containers import Limits, find_limits
from atrains._capture.gpus import Gpus
from tests.conftest import Finished, User

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]

MACHINE = ":monitor:machine"
WATCHED = """
import os, sys, threading, time
from atrains import Task

fast = {"report_start_sec": 1, "report_frequency_sec": 1, "sample_frequency_per_sec": 5}
task = Task.init("resources", "run", auto_resource_monitoring=fast)
"""


@pytest.fixture
def user(user: User) -> User:
    """A user as there are: with the monitor as it is by default."""
    return replace(user, variables={"ATRAINS_MONITOR": ""})


def test_the_curves_of_the_machine(run_script: RunScript, read_task: ReadTask) -> None:
    script = WATCHED + (
        "before = {thread.name for thread in threading.enumerate()}\n"
        "task.set_initial_iteration(1000)\n"
        "task.get_logger().report_scalar('loss', 'train', 0.5, 5)\n"
        "held = bytearray(200 << 20)\nheld[:: 4096] = b'x' * len(held[:: 4096])\n"
        "time.sleep(3.5)\n"
        "assert {thread.name for thread in threading.enumerate()} == before, threading.enumerate()\n"
    )
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    found = read_task("resources", "run")
    assert found["last_iteration"] == 1005
    assert found["scalars"]["loss"]["train"]["x"] == [1005]
    curves = found["scalars"][MACHINE]
    assert {"cpu_usage", "memory_used_gb", "memory_free_gb", "disk_free_percent"} <= set(curves)
    for name, curve in curves.items():
        assert curve["x"] == sorted(set(curve["x"])), name
        assert set(curve["x"]) <= {1, 2, 3, 4, 5, 6}
        assert all(value == round(value, 3) for value in curve["y"])
    assert max(curves["memory_used_gb"]["y"]) > 0.2
    assert all(0 <= value <= 100 for value in curves["disk_free_percent"]["y"])
    shown = run_script("import sys\nfrom atrains.cli import main\nsys.exit(main(['show', sys.argv[1]]))\n", found["id"]).stdout
    assert shown.index("loss/train") < shown.index(":resource monitor: machine/cpu_usage")


def test_a_short_run_neither_measures_nor_imports(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(
        "import sys, time\nfrom atrains import Task\nTask.init('resources', 'run')\ntime.sleep(0.5)\nprint('psutil' in sys.modules)\n"
    )
    assert finished.stdout == "False\n"
    assert read_task("resources", "run")["scalars"] == {}


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_it_can_be_switched_off(run_script: RunScript, read_task: ReadTask, how: str) -> None:
    script = WATCHED if how == "variable" else WATCHED.replace("=fast", "=False")
    finished = run_script(script + "time.sleep(2)\n", **({"ATRAINS_MONITOR": "no"} if how == "variable" else {}))
    assert finished.code == 0
    assert read_task("resources", "run")["scalars"] == {}


def test_the_settings_of_the_environment(run_script: RunScript, read_task: ReadTask) -> None:
    script = "import time\nfrom atrains import Task\ntask = Task.init('resources', 'run')\ntime.sleep(2.5)\n"
    period = {"ATRAINS_MONITOR_FIRST_REPORT": "0.5", "ATRAINS_MONITOR_REPORT_PERIOD": "1", "ATRAINS_MONITOR_SAMPLE_PERIOD": "0.1"}
    assert run_script(script, **period).code == 0
    assert len(read_task("resources", "run")["scalars"][MACHINE]["cpu_usage"]["x"]) >= 2


@pytest.mark.parametrize(
    ("wish", "named"),
    [("{'period': 3}", "report_start_sec"), ("{'report_frequency_sec': 'often'}", "report_frequency_sec is a number"), ("'yes'", "a dict")],
)
def test_a_wish_that_is_not_understood_is_refused(run_script: RunScript, wish: str, named: str) -> None:
    finished = run_script(f"from atrains import Task\nTask.init('resources', 'run', auto_resource_monitoring={wish})\n")
    assert finished.code == 1
    assert "ValidationError" in finished.stderr
    assert named in finished.stderr


def test_a_closed_task_gets_no_more_points_and_a_child_reports_none(run_script: RunScript, read_task: ReadTask) -> None:
    script = WATCHED + (
        "pid = os.fork()\n"
        "if not pid:\n    time.sleep(2.5)\n    os._exit(0)\n"
        "other = Task.create('resources', 'other')\n"
        "other.get_logger().report_text('keeps the journal open', print_console=False)\n"
        "time.sleep(1.5)\ntask.close()\n"
        "x = max(task.get_reported_scalars()[':monitor:machine']['cpu_usage']['x'])\n"
        "os.waitpid(pid, 0)\ntime.sleep(1.5)\n"
        "again = task.get_reported_scalars()[':monitor:machine']['cpu_usage']['x']\n"
        "assert max(again) == x and len(set(again)) == len(again)\n"
    )
    finished = run_script(script, PYTHONWARNINGS="error,ignore:This process:DeprecationWarning")
    assert finished.code == 0, finished.stderr
    assert set(read_task("resources", "run")["scalars"]) == {MACHINE}
    assert read_task("resources", "other")["scalars"] == {}


def test_a_run_that_goes_on_leaves_the_points_of_the_first_where_they_are(run_script: RunScript, read_task: ReadTask) -> None:
    assert run_script(WATCHED + "time.sleep(2.5)\n").code == 0
    first = read_task("resources", "run")["scalars"][MACHINE]["disk_free_percent"]
    assert run_script(WATCHED.replace("=fast", "=fast, continue_last_task=True") + "time.sleep(2.5)\n").code == 0
    both = read_task("resources", "run")["scalars"][MACHINE]["disk_free_percent"]
    assert both["x"][: len(first["x"])] == first["x"]
    assert both["y"][: len(first["y"])] == first["y"]
    assert len(both["x"]) > len(first["x"])


def test_in_asyncio_the_main_task_alone_is_watched(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import asyncio
from atrains import Task

fast = {"report_start_sec": 1, "report_frequency_sec": 1, "sample_frequency_per_sec": 5}

async def main():
    async with Task.ainit("resources", "main", auto_resource_monitoring=fast):
        async def beside():
            async with Task.ainit("resources", "sibling", auto_resource_monitoring=fast):
                await asyncio.sleep(2.5)
        await asyncio.gather(beside())

asyncio.run(main())
"""
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    assert set(read_task("resources", "main")["scalars"]) == {MACHINE}
    assert read_task("resources", "sibling")["scalars"] == {}


# ---- what is measured


CHILDREN = """
import subprocess, sys
from pathlib import Path
from atrains._capture.machine import Machine

machine = Machine(Path("."))
alone, pids = machine.used_memory()
held = "x = bytearray(300 << 20); x[::4096] = b'x' * len(x[::4096]); print('held', flush=True); input()"
with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
    child.stdout.readline()
    with_child, more = machine.used_memory()
    child.kill()
assert with_child > alone + 0.1, (alone, with_child)
assert more == pids | {child.pid}
"""


def test_children_count(run_script: Callable[..., Finished]) -> None:
    """What they hold beyond their parent counts; in a process of its own, since that of the tests may be larger than any child."""
    finished = run_script(CHILDREN)
    assert finished.code == 0, finished.stderr


def cgroup(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_limits_of_the_second_version(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    groups.write_text("0::/outer/inner\n")
    cgroup(
        root,
        {
            "cgroup.controllers": "cpu memory\n",
            "outer/memory.max": f"{4 << 30}\n",
            "outer/memory.current": f"{3 << 30}\n",
            "outer/memory.stat": f"anon 5\ninactive_file {1 << 30}\n",
            "outer/cpu.max": "max 100000\n",
            "outer/inner/memory.max": "max\n",
            "outer/inner/cpu.max": "150000 100000\n",
            "outer/inner/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        },
    )
    limits = find_limits(root, groups)
    assert limits.memory == (root / "outer", 4 << 30)
    assert limits.cpu == (root / "outer" / "inner", 1.5)
    assert limits.free_memory() == 2 << 30
    assert limits.cpu_seconds() == 2.5


def test_limits_of_the_first_version_and_none(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    groups.write_text("5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    cgroup(
        root,
        {
            "memory/memory.limit_in_bytes": f"{2 << 30}\n",
            "memory/memory.usage_in_bytes": f"{1 << 30}\n",
            "memory/memory.stat": "total_inactive_file 0\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/cpuacct.usage": "1500000000\n",
        },
    )
    limits = find_limits(root, groups)  # as a container sees it: its own group is the root, and has another name outside
    assert (limits.free_memory(), limits.cpu_seconds()) == (1 << 30, 1.5)
    assert limits.cpu is not None
    assert limits.cpu[1] == 0.5
    cgroup(root, {"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu,cpuacct/cpu.cfs_quota_us": "-1\n"})
    assert find_limits(root, groups) == Limits(is_first_version=True)
    assert find_limits(tmp_path / "none", tmp_path / "nothing") == Limits()


class NvmlError(Exception):
    """What `pynvml.NVMLError` is."""


class NotSupportedError(NvmlError):
    """What `pynvml.NVMLError_NotSupported` is."""


def nvml(devices: int = 2) -> Any:
    """The functions of NVML, as their documentation describes them: there is no such device on the machines that run the tests."""
    module = types.ModuleType("pynvml")
    total, used = 8 << 30, 2 << 30

    def utilization(device: int) -> Any:
        if device == 1:
            raise NotSupportedError
        return types.SimpleNamespace(gpu=60, memory=10)

    module.__dict__.update(
        NVMLError=NvmlError,
        NVMLError_NotSupported=NotSupportedError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: devices,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda device: f"GPU-{device}000",
        nvmlDeviceGetMemoryInfo=lambda _device: types.SimpleNamespace(total=total, used=used, free=total - used),
        nvmlDeviceGetTemperature=lambda device, _kind: 40 + device,
        nvmlDeviceGetUtilizationRates=utilization,
        nvmlDeviceGetPowerUsage=lambda _device: 150_500,
        nvmlDeviceGetComputeRunningProcesses=lambda _device: [types.SimpleNamespace(pid=7, usedGpuMemory=1 << 30)],
        nvmlDeviceGetGraphicsRunningProcesses=lambda _device: [],
    )
    return module


def test_the_curves_of_the_gpus() -> None:
    gpus = Gpus(nvml(), {})
    first = {"mem_usage": 25.0, "mem_free_gb": 6.0, "temperature": 40.0, "utilization": 60.0, "power_draw": 150.5}
    second = {name: value for name, value in first.items() if name != "utilization"} | {"temperature": 41.0}
    assert gpus.sample() == {f"gpu_0_{name}": value for name, value in first.items()} | {
        f"gpu_1_{name}": value for name, value in second.items()
    }
    assert gpus.used_memory({7, 8}) == {"gpu_0_mem_used_gb": 1.0, "gpu_1_mem_used_gb": 1.0}
    assert gpus.used_memory({9}) == {"gpu_0_mem_used_gb": 2.0, "gpu_1_mem_used_gb": 2.0}


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({"CUDA_VISIBLE_DEVICES": "1"}, {"1"}),
        ({"NVIDIA_VISIBLE_DEVICES": "all", "CUDA_VISIBLE_DEVICES": "1"}, {"0", "1"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1000"}, {"1"}),
        ({"CUDA_VISIBLE_DEVICES": "7"}, {"0", "1"}),
    ],
)
def test_which_gpus(variables: dict[str, str], chosen: set[str]) -> None:
    assert {name.split("_")[1] for name in Gpus(nvml(), variables).sample()} == chosen


def test_gpus_that_fail_three_times_are_left_alone(user: Any, run_script: RunScript, read_task: ReadTask) -> None:
    """A driver that goes away while the run goes on: a module of that name, beside the script, stands for it."""
    (user.directory / "pynvml.py").write_text(
        "import types\ncalls = 0\nclass NVMLError(Exception): pass\nclass NVMLError_NotSupported(NVMLError): pass\n"
        "NVML_TEMPERATURE_GPU = 0\nnvmlInit = lambda: None\nnvmlDeviceGetCount = lambda: 1\nnvmlDeviceGetHandleByIndex = lambda i: i\n"
        "nvmlDeviceGetUUID = lambda d: 'GPU-1'\nnvmlDeviceGetTemperature = lambda d, k: 50\nnvmlDeviceGetPowerUsage = lambda d: 1000\n"
        "nvmlDeviceGetUtilizationRates = lambda d: types.SimpleNamespace(gpu=7)\n"
        "nvmlDeviceGetComputeRunningProcesses = nvmlDeviceGetGraphicsRunningProcesses = lambda d: []\n"
        "def nvmlDeviceGetMemoryInfo(d):\n    global calls\n    calls += 1\n    if calls > 6: raise NVMLError('GPU is lost')\n"
        "    return types.SimpleNamespace(total=4 << 30, used=1 << 30)\n"
    )
    finished = run_script(WATCHED + "time.sleep(4)\n")
    assert finished.code == 0
    assert finished.stderr.count("the GPUs are not monitored any more, since NVML failed 3 times (GPU is lost)") == 1
    found = read_task("resources", "run")["scalars"]
    assert found[":monitor:gpu"]["gpu_0_utilization"]["y"][0] == 7
    assert max(found[MACHINE]["cpu_usage"]["x"]) > max(found[":monitor:gpu"]["gpu_0_utilization"]["x"])
