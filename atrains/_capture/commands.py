"""Commands of other programs, run within a time and a size: whatever the command does, the caller goes on. Blocking; for worker threads."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_CHUNK: Final = 1 << 16
_MOST_COMPLAINT: Final = 4096
_LOOK: Final = 0.2
"""Seconds until the deadline is looked at again."""
_KILL_WAIT: Final = 1.0
"""Seconds that a killed command is waited for; one that hangs in the kernel is left to it."""


class CommandError(Exception):
    """A command that gave no usable answer; the text says why."""


class Deadline:
    """A time after which a command is no longer waited for, which may be moved nearer meanwhile, by any thread."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then."""
        return self._at - time.monotonic()

    def shorten(self, seconds: float) -> None:
        """Move it to so many seconds from now, unless it is nearer."""
        self._at = min(self._at, time.monotonic() + seconds)


NEVER: Final = Deadline()


class Output(NamedTuple):
    """What a command printed.

    Attributes:
        data: Its standard output.
        is_whole: Whether that is all of it, rather than the bytes up to the limit.
    """

    data: bytes
    is_whole: bool

    @property
    def text(self) -> str:
        """The output as text."""
        return self.data.decode("utf-8", "replace")


class Command:
    """A command of another program, which runs from here on, without input.

    It gets a session of its own: the terminal's Ctrl-C is not its business, and it is killed with everything that it started. Whatever
    happens, its output is to be waited for, or it is to be ended.

    Args:
        command: The program, looked up in `PATH` of `environ`, and its arguments.
        folder: Its working directory.
        environ: Its variables.

    Raises:
        CommandError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> None:
        self._said = f"{Path(command[0]).name} {_verb(command)}"
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise CommandError(f"{Path(command[0]).name} cannot be run ({error})") from error

    def output(self, *, seconds: float, most: int, deadline: Deadline = NEVER) -> Output:
        """Wait until it has ended, and return what it printed.

        Args:
            seconds: After which it is killed, from now on.
            most: Bytes of its output after which it is killed.
            deadline: When it is killed whatever it has used of its seconds.

        Raises:
            CommandError: it fails or takes too long.
        """
        begun = time.monotonic()
        try:
            output, complaint = _read(self._process, begun + seconds, most, deadline)
            if output is None:
                raise CommandError(f"{self._said} took longer than {time.monotonic() - begun:.1f} seconds")
            if len(output) > most:
                return Output(output[:most], is_whole=False)
            status = self._process.wait(_KILL_WAIT)
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"{self._said} does not end") from error
        finally:
            self.end()
        if status:
            said = complaint.decode("utf-8", "replace").strip().partition("\n")[0]
            raise CommandError(f"{self._said} failed ({said or f'status {status}'})")
        return Output(output, is_whole=True)

    def end(self) -> None:
        """Kill what is left of it."""
        _end(self._process)


def _verb(command: Sequence[str]) -> str:
    """What the command is to do, as git writes it: the first argument that is neither an option nor the value of one."""
    skip = False
    for argument in command[1:]:
        if not skip and not argument.startswith("-"):
            return argument
        skip = argument == "-c"
    return ""


def _read(process: subprocess.Popen[bytes], until: float, most: int, deadline: Deadline) -> tuple[bytes | None, bytes]:
    """Standard output and the beginning of standard error; None for the former when time is over."""
    if os.name == "nt":  # pipes cannot be waited for there
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=max(0.0, min(until - time.monotonic(), deadline.left())))
        return None, b""
    assert process.stdout is not None
    assert process.stderr is not None
    output, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, complaint)
        while selector.get_map() and len(output) <= most:
            left = min(until - time.monotonic(), deadline.left())
            if left <= 0:
                return None, bytes(complaint)
            for key, _ in selector.select(min(left, _LOOK)):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.data is output or len(complaint) < _MOST_COMPLAINT:
                    key.data.extend(chunk)
    return bytes(output), bytes(complaint)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command and of what it started, and let go of its pipes."""
    if process.poll() is None:
        with contextlib.suppress(OSError):  # it ended in this moment
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_WAIT)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
