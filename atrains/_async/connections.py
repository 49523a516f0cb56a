"""What is connected to a run without being asked for, and what of that is asked for in `Task.connect`: tasks as `_connect` sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from atrains._api import current
from atrains._connect import parsing
from atrains._engine.notices import say
from atrains._wire.parameters import HyperParameter, StoredItem

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from atrains._async.base import TaskPart
    from atrains._async.parameters import Parameters

_ARGUMENTS: Final = "Args"


class TaskRecorder(NamedTuple):
    """A task, with what `_connect` may know of it; see `_api.recorder`."""

    task: Parameters

    def held_parameters(self, section: str) -> Mapping[str, StoredItem] | None:
        """What the task held in a section when its run began; None if no agent runs it."""
        task = self.task
        return dict(task._sections.get(section, {})) if task._takes_values_from_home else None  # noqa: SLF001  # one package

    def record_parameters(self, items: Sequence[HyperParameter]) -> None:
        """Have parameters stored soon. A child process has arguments of its own, which are not those of the run."""
        task = self.task
        if task.begun_here or task._takes_values_from_home:  # noqa: SLF001
            for section in dict.fromkeys(item.section for item in items):
                task._push(section, {item.name: item for item in items if item.section == section})  # noqa: SLF001

    def refuse_parameter(self, section: str, name: str, text: str, wanted: str) -> None:
        """Say that the code keeps its own value."""
        self.task._refuse(section, name, text, wanted)  # noqa: SLF001

    def remark(self, text: str) -> None:
        """Say something about the run."""
        say(self.task._settings, f"task {self.task.id}: {text}")  # noqa: SLF001


def begin(task: TaskPart, arguments: bool | Mapping[str, bool]) -> None:
    """Connect what a program does by itself to its main task; of several tasks in one process the others record what they are given."""
    if current.main_task() is task:
        parsing.begin(TaskRecorder(cast("Parameters", task)), arguments, is_off=task._settings.no_argparse)  # noqa: SLF001


def end(task: TaskPart) -> None:
    """Connect nothing to a task any more."""
    parsing.end(TaskRecorder(cast("Parameters", task)))


async def connect_arguments(task: Parameters, given: ArgumentParser | Namespace) -> None:
    """Connect a parser whole, or the result of its last parse; before that, the defaults are stored."""
    from argparse import ArgumentParser, Namespace

    from atrains._connect import arguments

    parse = parsing.last_parse(given)
    parser = given if isinstance(given, ArgumentParser) else None if parse is None else parse.parser
    connection = parsing.connection_of(TaskRecorder(task))
    if connection is not None and parser is not None:
        connection.ask_for(parser)
    held = await task._held_for(_ARGUMENTS)  # noqa: SLF001
    if parse is not None:
        namespace = parse.namespace
        if held and parser is not None and namespace is not None:
            parsing.patch(parser, namespace, held, parse.seen, partial(task._refuse, _ARGUMENTS))  # noqa: SLF001
        found = parse.arguments()
    else:
        assert parser is not None
        found = tuple(arguments.arguments_of(parser, Namespace(), arguments.Seen(frozenset(), {}, {})))
    await task._store_new([parsing.item_of(argument) for argument in found], held)  # noqa: SLF001


def is_parsed(given: object) -> bool:
    """Whether something is the result of a parse of which the parser is known."""
    return (parse := parsing.last_parse(given)) is not None and parse.namespace is given
