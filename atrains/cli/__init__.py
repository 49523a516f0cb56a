"""The command `atrains`: its arguments, exit codes and errors. Each sub-command has a file of its own beside this one."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from atrains.cli import export, ls, rm, serve, show, sync
from atrains.errors import AtrainsError

DONE: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as a shell reports it. A mistake in the arguments is 2, by argparse."""

_COMMANDS: Final = {"ls": ls, "show": show, "export": export, "rm": rm, "serve": serve, "sync": sync}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments behind the program's name; those of the process by default.

    Returns:
        The exit code: 0 when it was done, 1 when atrains refused (one line on standard error says why) or could not do all of it, 130 after
        Ctrl-C.

    Raises:
        SystemExit: with code 2 for arguments that cannot be used, with 0 after `--help`.
    """
    options = _parser().parse_args(argv)
    if sys.stdout is None:  # it was closed, as in `>&-`: nobody is told anything
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # for as long as the process lasts  # noqa: SIM115
    try:
        done = asyncio.run(_COMMANDS[options.command].run(options))
        sys.stdout.flush()
        return DONE if done is not False else FAILED
    except AtrainsError as error:
        print("atrains:", " ".join(str(error).split()), file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        _give_up_output()  # the reader has seen enough, as in `atrains ls | head`
    except OSError as error:  # of the home all are ours: a full disk behind standard output, mostly
        print(f"atrains: cannot write {error.filename or 'standard output'}: {error.strerror or error}", file=sys.stderr)
        _give_up_output()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE


def _give_up_output() -> None:
    """See to it that what is still buffered does not fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, for programs")
    common.add_argument("--home", metavar="PATH", help="the local home (default: ATRAINS_HOME, else ~/.atrains)")
    description = (
        "Look at recorded runs, which changes nothing, delete or archive them, serve them, and deliver what killed processes left."
    )
    parser = argparse.ArgumentParser(prog="atrains", description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        command.configure(commands.add_parser(name, parents=[common], help=command.SUMMARY, description=command.SUMMARY))
    return parser
