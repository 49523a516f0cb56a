"""`atrains rm`: tasks are deleted for good, or put away and taken out again."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final, TypeAlias

from atrains._async.removal import archive_tasks, carried_out, check_deletable, delete_task
from atrains._engine.channel import Channel
from atrains._engine.runtime import Runtime
from atrains._wire.edits import ARCHIVED
from atrains.cli.home import Home, opened
from atrains.cli.output import Output, clean
from atrains.errors import UsageError
from atrains.types import Deletion

SUMMARY: Final = "Delete tasks with what they reported and their files, or archive them."

Record: TypeAlias = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("tasks", metavar="ID", nargs="+", help="the id of a task, or the beginning of it")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--archive", action="store_true", help="put the tasks away instead: `atrains ls` leaves them out, nothing is lost")
    what.add_argument("--unarchive", action="store_true", help="take archived tasks out again")
    parser.add_argument("--force", action="store_true", help="delete also what runs or is published")
    parser.add_argument("--keep-files", action="store_true", help="leave artifacts and models that are outside of the home where they are")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed to delete where standard input is no terminal")
    parser.epilog = (
        "A deletion cannot be taken back: on a terminal it is asked about first. Nothing is deleted unless all of the tasks are there and "
        "may be deleted. The exit code is 1 when a file could not be deleted. Archiving never asks."
    )


async def run(options: argparse.Namespace) -> bool:
    """Do it, and print what was done; False when something was left that should have been deleted, or the answer was no."""
    async with opened(options.home) as home:
        channel = Channel(home.settings, home.transport, Runtime.current())
        tasks = list(dict.fromkeys([await home.find_task(given) for given in options.tasks]))
        if options.archive or options.unarchive:
            await archive_tasks(channel, tasks, archive=options.archive)
            _print_archived(options, tasks)
            return True
        records = [await check_deletable(channel, task, force=options.force) for task in tasks]
        if not options.yes and not _agreed(home, records):
            return False
        return await _delete(options, channel, records)


async def _delete(options: argparse.Namespace, channel: Channel, records: list[Record]) -> bool:
    """Delete one task after the other, each told of at once: what is done stays done if a later one fails."""
    deletions: list[Deletion] = []
    output = Output()
    try:
        for record in records:
            deletion = await carried_out(delete_task(channel, record, with_files=not options.keep_files))
            deletions.append(deletion)
            if not options.json:
                _print_deleted(output, record, deletion)
    finally:
        if options.json:
            print(json.dumps({"deleted": [_as_json(deletion) for deletion in deletions]}, indent=2))
    return all(deletions)


def _agreed(home: Home, records: list[Record]) -> bool:
    """Whether the user says yes, on a terminal."""
    count = f"{len(records)} task{'' if len(records) == 1 else 's'}"
    if not sys.stdin.isatty():
        raise UsageError(f"{count} would be deleted for good: say so with --yes, since there is no terminal to ask on; or use --archive")
    for record in records:
        away = ", archived" if ARCHIVED in (record.get("system_tags") or ()) else ""
        print(f"{record['id']} {clean(record.get('name') or '-')} ({record.get('status')}{away})", file=sys.stderr)
    print(f"Delete {count} for good from {home.transport.target}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _print_archived(options: argparse.Namespace, tasks: list[str]) -> None:
    done = "archived" if options.archive else "unarchived"
    if options.json:
        print(json.dumps({done: tasks}, indent=2))
        return
    output = Output()
    for task in tasks:
        output.line(f"{done} {task}")


def _print_deleted(output: Output, record: Record, deletion: Deletion) -> None:
    files = f" and {len(deletion.files)} file{'' if len(deletion.files) == 1 else 's'}" if deletion.files else ""
    output.line(f"deleted {deletion.task} {clean(record.get('name') or '-')}{files}")
    for url in deletion.kept:
        output.line(("  kept ", "dim"), clean(url))
    for url, why in deletion.failed.items():
        output.line("  ", ("not deleted ", "red"), clean(f"{url}: {why}"))


def _as_json(deletion: Deletion) -> dict[str, object]:
    return {"id": deletion.task, "files": deletion.files, "kept": deletion.kept, "failed": dict(deletion.failed)}
