"""The standard streams of this process, captured while somebody wants what is written to them, and given back by identity.

What is written goes to the terminal first, as ever. Whose it is, and how it is reported, is up to `_api/console`; how it becomes lines, to
`_wire/console_lines`. Captured is what Python code writes: what C libraries and child processes write to the descriptors is not.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Protocol, Self

from atrains._engine.held import reentrant_lock

Take = Callable[[str, str], None]
"""Takes what was written: the name of the stream (`stdout`, `stderr`), and the text."""
TakeRecord = Callable[[logging.LogRecord, logging.Handler], None]
"""Takes a record that a handler has dealt with."""
Wants = Callable[[str], bool]
"""Whether somebody wants what is written or logged here and now: to a stream, or to `logging`."""
STREAMS: Final = ("stdout", "stderr")
LOGGING: Final = "logging"
OWN_LOG: Final = "atrains"


class Wanting(Protocol):
    """Who wants something of the console."""

    def finish(self) -> None:
        """Take what was begun and not ended as it is."""

    def reset_in_child(self) -> None:
        """Forget, in a forked child, what the parent goes on with."""


class _Here(threading.local):
    """What this thread is in the middle of."""

    writing = False
    """Whether what is written now is not to be captured: by the report of what was captured, by atrains itself, or for the second time."""


_here: Final = _Here()


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Write to the standard streams in the block what is not captured."""
    before, _here.writing = _here.writing, True
    try:
        yield
    finally:
        _here.writing = before


class CapturedStream:
    """Stands in for a standard stream: the stream itself in every respect, but that what is written to it is captured.

    Args:
        stream: The stream.
        tap: What writes to it, and captures.
    """

    __slots__ = ("_atrains_buffer", "_atrains_stream", "_atrains_tap", "_atrains_write", "write")

    def __init__(self, stream: Any, tap: Tap, write: Callable[[Any], int] | None = None) -> None:
        object.__setattr__(self, "_atrains_write", write or tap.hook)
        object.__setattr__(self, "write", self._atrains_write)  # without a method in between, for the sake of each line
        object.__setattr__(self, "_atrains_stream", stream)
        object.__setattr__(self, "_atrains_tap", tap)
        object.__setattr__(self, "_atrains_buffer", None)

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The binary stream below; what is written to it is captured as well.

        Raises:
            AttributeError: the stream has none.
        """
        inner = self._atrains_stream.buffer
        held = self._atrains_buffer
        if held is None or held._atrains_stream is not inner:  # noqa: SLF001  # one module
            held = CapturedBytes(inner, self._atrains_tap, getattr(self._atrains_stream, "encoding", None))
            object.__setattr__(self, "_atrains_buffer", held)
        return held

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the stream, so that `isinstance` is none the wiser."""
        return type(self._atrains_stream)

    def __enter__(self) -> Self:
        self._atrains_stream.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._atrains_stream.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[str]:
        return iter(self._atrains_stream)

    def __next__(self) -> str:
        return str(next(self._atrains_stream))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._atrains_stream, name)

    def __setattr__(self, name: str, value: object) -> None:
        # Who puts something around our `write` puts it around this, as who takes it away again: it must not stay on the stream.
        if name == "write":
            object.__setattr__(self, name, value)
        else:
            setattr(self._atrains_stream, name, value)

    def __delattr__(self, name: str) -> None:
        if name == "write":
            object.__setattr__(self, name, self._atrains_write)
        else:
            delattr(self._atrains_stream, name)

    def __dir__(self) -> Iterable[str]:
        return dir(self._atrains_stream)

    def __repr__(self) -> str:
        return repr(self._atrains_stream)

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self._atrains_stream == other)

    def __hash__(self) -> int:
        return hash(self._atrains_stream)


class CapturedBytes(CapturedStream):
    """The same for the binary stream below one. What is no text (it holds zero bytes) passes by."""

    __slots__ = ()

    def __init__(self, stream: Any, tap: Tap, encoding: str | None) -> None:
        decoder = codecs.getincrementaldecoder(encoding or "utf-8")("replace")
        super().__init__(stream, tap, lambda data, /: tap.write_bytes(stream, data, decoder))


class Tap:
    """What captures one stream: a stand-in for it in `sys`, and in place of its `write`, which others hold the stream for.

    A handler of `logging` that was made before keeps the stream itself.
    """

    def __init__(self, name: str, stream: Any, take: Take) -> None:
        self.name = name
        self.stream = stream
        self._take: Take | None = take
        self._write: Callable[[str], int] = stream.write
        self._had = vars(stream).get("write") if hasattr(stream, "__dict__") else None
        self.hook = self.write if self._had is None else self._write_past  # one object, to be known again
        self.stand_in = CapturedStream(stream, self)
        # What has no such attributes, as a class with slots, is captured in `sys` alone.
        with contextlib.suppress(AttributeError, TypeError):
            stream.write = self.hook
        setattr(sys, name, self.stand_in)

    def write(self, text: str, /) -> int:
        """Write to the stream as it was, then capture it; also what the terminal did not take, since the log may be all that is left."""
        take = self._take
        if take is None or _here.writing:
            return self._write(text)
        _here.writing = True
        try:
            return self._write(text)
        finally:
            try:
                if isinstance(text, str):
                    take(self.name, text)
            except Exception:  # noqa: BLE001, S110  # printing never fails for the journal's sake; what was lost is counted in the ledger
                pass
            finally:
                _here.writing = False

    def _write_past(self, text: str, /) -> int:
        """`write` of a stream whose own method somebody had replaced before: not for good, maybe. IPython does it while a cell runs."""
        current = vars(self.stream).get("write")
        if current is not self.hook and (current is None or getattr(current, "__self__", None) is self.stream):
            self._write, self._had = current or self.stream.write, None
            self.stream.write = self.hook
        return self.write(text)

    def write_bytes(self, stream: Any, data: Any, decoder: codecs.IncrementalDecoder) -> int:
        """The same for the binary stream below."""
        take = self._take
        if take is None or _here.writing:
            return stream.write(data)  # type: ignore[no-any-return]
        _here.writing = True
        try:
            written = stream.write(data)
            copied = bytes(data)
            if b"\0" not in copied:
                with contextlib.suppress(Exception):  # as above
                    take(self.name, decoder.decode(copied))
        finally:
            _here.writing = False
        return written  # type: ignore[no-any-return]  # None for a raw stream that would block

    def end(self) -> None:
        """Give the stream back, unless somebody has put something in its place, or around it, meanwhile: then it just passes through."""
        self._take = None
        if getattr(sys, self.name, None) is self.stand_in:
            setattr(sys, self.name, self.stream)
        if hasattr(self.stream, "__dict__") and vars(self.stream).get("write") is self.hook:
            if self._had is None:
                del self.stream.write
            else:
                self.stream.write = self._had


class LogTap:
    """What captures the records of `logging`: each once, as the first handler that deals with it formats it.

    What handlers write meanwhile is not captured as the lines of a stream.
    """

    def __init__(self, wants: Wants, take: TakeRecord) -> None:
        self._open = True
        before = self._before = logging.Handler.handle
        seen = "_atrains_captured"

        def handle(handler: logging.Handler, record: logging.LogRecord) -> Any:
            if not self._open or _here.writing or record.name == OWN_LOG or not wants(LOGGING):
                return before(handler, record)
            with unseen():
                handled = before(handler, record)
                if handled and not hasattr(record, seen):
                    setattr(record, seen, True)
                    with contextlib.suppress(Exception):  # as for what is printed
                        take(record, handler)
            return handled

        self._ours = handle
        logging.Handler.handle = handle  # type: ignore[method-assign, assignment]

    def end(self) -> None:
        """Give the method back, unless somebody has wrapped it again."""
        self._open = False
        if logging.Handler.handle is self._ours:
            logging.Handler.handle = self._before  # type: ignore[method-assign]


class OwnLog:
    """Keeps what atrains itself logs out of what is captured: it is about the capture, or about what was captured."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(OWN_LOG)
        inner = self._logger.handle

        def handle(record: logging.LogRecord) -> None:
            with unseen():
                inner(record)

        self._ours = handle
        self._logger.handle = handle  # type: ignore[method-assign]

    def end(self) -> None:
        """Log as before."""
        if vars(self._logger).get("handle") is self._ours:
            del self._logger.handle


class Console:
    """The capture of this process: begun for the first who wants something of it, ended with the last.

    Args:
        wants: Whether somebody wants what is written here and now.
        take: Given what was written to a stream.
        take_record: Given what was logged.
    """

    def __init__(self, wants: Wants, take: Take, take_record: TakeRecord) -> None:
        self._wants = wants
        self._take = take
        self._take_record = take_record
        self._wanted: dict[Wanting, frozenset[str]] = {}
        self._taps: dict[str, Tap | LogTap] = {}
        self._own_log: OwnLog | None = None
        self.lock = reentrant_lock()

    def open(self, who: Wanting, streams: frozenset[str]) -> None:
        """Capture some streams for somebody."""
        with self.lock:
            self._wanted[who] = streams
            self._own_log = self._own_log or OwnLog()
            for name in sorted(streams - self._taps.keys()):
                if name == LOGGING:
                    self._taps[name] = LogTap(self._wants, self._take_record)
                    continue
                stream = _bare(getattr(sys, name))
                if stream is not None:  # a program without a terminal has none
                    self._taps[name] = Tap(name, stream, self._take)

    def close(self, who: Wanting) -> None:
        """Give back what nobody else wants."""
        with self.lock:
            self._wanted.pop(who, None)
            still = frozenset().union(*self._wanted.values())
            # In the opposite order: where both streams are one, its `write` was replaced twice.
            for name in [name for name in reversed(self._taps) if name not in still]:
                self._taps.pop(name).end()
            if not self._wanted and self._own_log is not None:
                self._own_log.end()
                self._own_log = None

    def reset_in_child(self) -> None:
        """In a forked child: go on, with a lock that nobody of the parent holds, and without the lines that the parent has begun."""
        self.lock = reentrant_lock()
        for who in self._wanted:
            who.reset_in_child()

    def end(self) -> None:
        """Have reported what was begun, and give everything back: the process ends."""
        for who in list(self._wanted):
            who.finish()
            self.close(who)


def _bare(stream: Any) -> Any:
    """A stream without a stand-in of ours that somebody kept and put back after it had ended."""
    while type(stream) is CapturedStream:
        stream = object.__getattribute__(stream, "_atrains_stream")
    return stream
