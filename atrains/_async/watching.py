"""What a run watches beside what is reported to it: what is printed and logged, what the machine does, and whether somebody stops it.

Begun and ended with the run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atrains._api import current
from atrains._api.console import check_streams, open_console
from atrains._async import stopping
from atrains._config import MonitorSettings, Settings
from atrains._config.env import tasks_of_masters
from atrains._engine.channel import Channel
from atrains._engine.notices import say
from atrains.errors import ValidationError

if TYPE_CHECKING:
    from atrains._async.base import TaskPart

_START: Final = ("report_start_sec", "first_report_sec", "seconds_from_start")
_FREQUENCY: Final = "sample_frequency_per_sec"
_PERIOD: Final = "report_frequency_sec"
_OWN_MEMORY: Final = "report_mem_used_per_process"
_AXIS: Final = ("wait_for_first_iteration_to_start_sec", "max_wait_for_first_iteration_to_start_sec")
"""Taken and not used: the x axis does not wait for iterations."""


class Watch(NamedTuple):
    """What `init` was asked to watch, checked.

    Attributes:
        streams: Which of `stdout`, `stderr` and `logging`.
        monitor: What is said of the monitor, by the names of its settings; None for no monitor.
    """

    streams: frozenset[str]
    monitor: Mapping[str, Any] | None


def check_watch(streams: bool | Mapping[str, bool], monitoring: bool | Mapping[str, Any]) -> Watch:
    """Refuse what is not understood, before anything is opened.

    Raises:
        ValidationError: naming the argument.
    """
    return Watch(check_streams(streams), _check_monitoring(monitoring))


def _check_monitoring(wish: bool | Mapping[str, Any]) -> Mapping[str, Any] | None:
    if isinstance(wish, bool):
        return {} if wish else None
    names = (*_START, _PERIOD, _FREQUENCY, _OWN_MEMORY, *_AXIS)
    if not isinstance(wish, Mapping) or not set(wish) <= set(names):
        raise ValidationError(f"auto_resource_monitoring is True, False or a dict with some of {', '.join(names)}, not {wish!r}")
    found: dict[str, Any] = {}
    for name, value in wish.items():
        if name == _OWN_MEMORY:
            found["global_memory"] = not value
        elif value is None or name in _AXIS:
            continue
        elif isinstance(value, bool) or not isinstance(value, int | float) or not (value >= 0 if name in _START else value > 0):
            least = "0 or more" if name in _START else "above 0"
            raise ValidationError(f"auto_resource_monitoring: {name} is a number, {least}, not {value!r}")
        elif name in _START:
            found["first_report"] = float(value)
        elif name == _PERIOD:
            found["report_period"] = max(1.0, float(value))
        else:
            found["sample_period"] = max(0.1, 1.0 / value)
    return found


def begin(task: TaskPart, watch: Watch) -> None:
    """Watch what was asked for, from now until the run is closed; nothing in a process in which atrains is switched off."""
    channel = task._channel  # noqa: SLF001  # one package
    if not isinstance(channel, Channel):
        return
    settings = channel.settings
    stopping.begin(task)
    # Under an agent the agent captures what the process prints: both would report each line.
    if watch.streams and settings.console.capture and task.running_locally():
        task._console = open_console(task.get_logger(), watch.streams, settings.console.cr_flush_period)  # noqa: SLF001
    is_ours = current.main_task() is task and (task.begun_here or (not task.running_locally() and task.id not in tasks_of_masters()))
    if watch.monitor is not None and settings.monitor.enabled and is_ours:
        _begin_monitor(task, channel, settings.monitor._replace(**watch.monitor), settings)


def _begin_monitor(task: TaskPart, channel: Channel, chosen: MonitorSettings, settings: Settings) -> None:
    from atrains._engine.resources import ResourceMonitor

    outlet = channel.outlet
    if outlet is not None:
        remark = partial(say, settings)
        channel.watch(ResourceMonitor(task.reported_as, outlet, chosen, folder=settings.home.path, age=_age(task), remark=remark))


def _age(task: TaskPart) -> float:
    """Seconds since the task began, where it may have points of an earlier run: those must not be replaced by ours."""
    if task.begun_here and not task.data.get("last_metrics"):
        return 0.0
    began = task.data.get("started") if not task.begun_here else task.data.get("created")
    return max(0.0, time.time() - datetime.fromisoformat(began).timestamp()) if isinstance(began, str) else 0.0


def end(task: TaskPart, *, at_exit: bool) -> None:
    """Watch nothing more; at the exit of the process what is printed after this is still captured, until all is over."""
    stopping.end(task)
    if isinstance(task._channel, Channel):  # noqa: SLF001
        task._channel.unwatch(task.reported_as)  # noqa: SLF001
    if task._console is not None:  # noqa: SLF001
        if at_exit:
            task._console.finish()  # noqa: SLF001
        else:
            task._console.close()  # noqa: SLF001
