"""`atrains export`: the scalars of tasks as one table: CSV, JSON lines or Parquet."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import aclosing, nullcontext
from datetime import UTC, datetime
from typing import Final, TextIO

from atrains._wire.curves import chunks
from atrains._wire.table import COLUMNS, ScalarTable
from atrains.cli.home import Home, opened
from atrains.errors import UsageError
from atrains.types import ScalarChunk

SUMMARY: Final = "Write the scalars of tasks as one table, a row for each point."

_FORMS: Final = ("csv", "jsonl", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("tasks", metavar="ID", nargs="+", help="a task's id, or the beginning of it")
    parser.add_argument("--format", choices=_FORMS, help="default: as FILE ends, else csv, or jsonl with --json")
    parser.add_argument("--output", metavar="FILE", help="where to (default: standard output); Parquet needs a file")


async def run(options: argparse.Namespace) -> None:
    """Write the table."""
    form = options.format or _form_of(options.output) or ("jsonl" if options.json else "csv")
    if form == "parquet" and options.output is None:
        raise UsageError("Parquet is written to a file: name it with --output")
    table = ScalarTable()
    async with opened(options.home) as home:
        for given in options.tasks:
            task = await home.find_task(given)
            table.add(task, await _points(home, task))
    try:
        _write(table, form, options.output)
    except OSError as error:
        if options.output is None:  # a matter of standard output, for any command
            raise
        raise UsageError(f"cannot write {options.output}: {error.strerror or error}") from error


def _form_of(output: str | None) -> str | None:
    """What the name of a file says about its form."""
    ending = os.path.splitext(output or "")[1].removeprefix(".").lower()
    return ending if ending in _FORMS else None


async def _points(home: Home, task: str) -> deque[ScalarChunk]:
    found: deque[ScalarChunk] = deque()
    async with aclosing(home.transport.scalars(task)) as blocks:
        async for block in blocks:
            found.extend(chunks(block, 0, len(block)))
    return found


def _write(table: ScalarTable, form: str, output: str | None) -> None:
    if form == "parquet":
        from atrains.export import arrow_of, require  # with the whole Task API, which no other command needs

        found = arrow_of(table)
        require("pyarrow.parquet").write_table(found, output)
        return
    if output is None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as in a file: it is for programs, whatever the terminal can show
    with open(output, "w", encoding="utf-8", newline="") if output else nullcontext(sys.stdout) as file:
        (_write_csv if form == "csv" else _write_json_lines)(table, file)


def _write_csv(table: ScalarTable, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(table))


def _write_json_lines(table: ScalarTable, file: TextIO) -> None:
    file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in _rows(table))


def _rows(table: ScalarTable) -> Iterator[tuple[str, str, str, int, str, float]]:
    for task, title, series, iteration, moment, value in table.rows():
        yield task, title, series, iteration, datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds"), value
