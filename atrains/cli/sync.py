"""`atrains sync`: what processes left in their journals when they were killed is delivered to the home now, rather than at the next run."""

from __future__ import annotations

import argparse
import json
from typing import Final

from atrains._engine.channel import Channel
from atrains._engine.journals import Left
from atrains._engine.process import WORKERS
from atrains._engine.recovery import Recovered, recover
from atrains._engine.runtime import Runtime
from atrains._wire.events import REPORTED, EventKind
from atrains.cli.home import opened
from atrains.cli.output import STATUS_STYLES, Output, Part, clean

SUMMARY: Final = "Deliver what killed processes reported, and end their runs."

_NAMES: Final = {EventKind.SCALARS: "points", EventKind.LOGS: "console lines", EventKind.PLOTS: "plots", EventKind.IMAGES: "images"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command: it has none of its own."""
    parser.epilog = "The exit code is 1 when a journal was left that should have been delivered. Journals of running processes are theirs."


async def run(options: argparse.Namespace) -> bool:
    """Recover, and print what was done and what was left; False when something was left that should have been delivered."""
    async with opened(options.home) as home:
        channel = Channel(home.settings, home.transport, Runtime.current())
        outcome = await recover(channel.journals, home.transport, WORKERS, storages=channel.storages)
    if options.json:
        print(json.dumps(_as_json(outcome), indent=2))
    else:
        _print(outcome, Output())
    return not any(found.left is Left.NOT_NOW for found in outcome.left)


def _as_json(outcome: Recovered) -> dict[str, object]:
    return {
        "journals": [str(folder) for folder in outcome.journals],
        "events": {kind.value: outcome.events[kind] for kind in REPORTED},
        "refused": dict(outcome.refused),
        "statuses": outcome.statuses,
        "uploads": {"stored": outcome.uploads, "failed": outcome.failed_uploads},
        "damaged": [
            {"file": str(part.path), "start": part.start, "end": part.end, "torn": part.torn} for part in outcome.damaged
        ],
        "left": [{"folder": str(found.folder), "reason": found.left, "detail": found.why} for found in outcome.left],
    }  # fmt: skip


def _print(outcome: Recovered, output: Output) -> None:
    if outcome.journals:
        count = len(outcome.journals)
        events = ", ".join(f"{outcome.events[kind]} {name}" for kind, name in _NAMES.items() if outcome.events[kind])
        output.line(f"delivered {count} journal{'' if count == 1 else 's'}: {events or 'the home had everything already'}")
        if outcome.uploads:
            output.line(f"uploaded {len(outcome.uploads)}: {clean(', '.join(outcome.uploads[:20]))}")
    elif not outcome.left:
        output.line("nothing was left behind")
    for task, status in outcome.statuses.items():
        output.line(f"task {task} is now ", (status, STATUS_STYLES.get(status, "")))
    for task, refused in outcome.refused.items():
        output.line(f"dropped {refused} events of task {task}, which takes none: it was deleted or published")
    for name, reason in outcome.failed_uploads.items():
        output.line(clean(f"not uploaded: {name}: {reason}"))
    for part in outcome.damaged:
        output.line(clean(f"left out: {part}"))
    for found in outcome.left:
        left: list[Part] = [f"left {clean(str(found.folder))}: ", (clean(found.why), "red" if found.left is Left.NOT_NOW else "dim")]
        output.line(*left)
