"""How the program ended: its uncaught exception, or the code that it exited with. Watches only; what follows from it is in `exit`.

`sys.excepthook` is wrapped and chained, and before Python 3.12 also `sys.exit`, `exit` and `quit`; since then `sys.monitoring` tells more.
All of it is given back on `restore`, unless somebody wrapped it again meanwhile.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import threading
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, Final

from atrains._engine.endings import UNKNOWN_EXIT, Ending, ending_of

_TOOL: Final = 4
"""The number under which `sys.monitoring` knows us; 0 to 3 and 5 are meant for debuggers, coverage, profilers and optimisers."""


class _Exit(SystemExit):
    """What our `sys.exit` raises: it notices when the interpreter itself, rather than any Python code, asks for its code."""

    watch: ProgramEnd

    @property
    def code(self) -> Any:  # type: ignore[override]  # the base class has an attribute
        """The exit code."""
        if sys._getframe().f_back is None:  # noqa: SLF001  # nobody's frame: it was not caught, and ends the process
            self.watch.error = self
        return self.args[0] if self.args else None


class ProgramEnd:
    """Watches how the program ends, from its making to `restore`.

    Attributes:
        error: The exception that ended it, as far as is known; None while it runs and when it just ran to its end.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._main_has_file = hasattr(sys.modules.get("__main__"), "__file__")
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._wrap(sys, "excepthook", self._noting_uncaught(sys.excepthook))
        self._monitored = self._watch_unwinding()
        if not self._monitored:
            self._wrap(sys, "exit", self._noting_exit(sys.exit))
            for name in ("exit", "quit"):
                if self._main_has_file and hasattr(builtins, name):  # at a prompt they say how to leave; without `site` they are missing
                    self._wrap(builtins, name, self._noting_exit(getattr(builtins, name)))

    def ending(self) -> Ending:
        """How the program ended, asked for at its end."""
        # A bare `raise SystemExit(n)`: no hook sees it, and before Python 3.12 nothing tells its code.
        if self.error is None and not self._monitored and self._main_was_left_early():
            return UNKNOWN_EXIT
        return ending_of(self.error)

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended the program, rather than a line at a prompt."""
        return isinstance(self.error, KeyboardInterrupt) and not (hasattr(sys, "ps1") or sys.flags.interactive)

    def restore(self) -> None:
        """Give back what was wrapped, unless somebody else has wrapped it since."""
        for holder, name, before, own in self._wrapped:
            if getattr(holder, name, None) is own:
                setattr(holder, name, before)
        self._wrapped.clear()
        if self._monitored:
            monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]  # from Python 3.12 on
            monitoring.set_events(_TOOL, 0)
            monitoring.free_tool_id(_TOOL)
            self._monitored = False

    def _wrap(self, holder: Any, name: str, own: Callable[..., Any]) -> None:
        self._wrapped.append((holder, name, getattr(holder, name), own))
        setattr(holder, name, own)

    def _noting_uncaught(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def note_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            self.error = error
            hook(kind, error, trace)

        return note_uncaught

    def _noting_exit(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def raise_exit(*args: Any, **kwargs: Any) -> Any:
            try:
                return leave(*args, **kwargs)
            except SystemExit as error:
                # Elsewhere it ends a thread; somebody's own, of another wrapper, has its reasons.
                if type(error) is not SystemExit or threading.current_thread() is not threading.main_thread():
                    raise
                leaving = _Exit(*error.args)
                leaving.watch = self
                raise leaving from None

        return raise_exit

    def _main_was_left_early(self) -> bool:
        # The interpreter takes `__file__` out of a script's namespace after its last line, but not when an exception left it.
        main = sys.modules.get("__main__")
        return self._main_has_file and getattr(main, "__spec__", None) is None and hasattr(main, "__file__")

    def _watch_unwinding(self) -> bool:
        """From Python 3.12 on: see every SystemExit that leaves a function; 0.2 us for each exception that does."""
        monitoring: Any = getattr(sys, "monitoring", None)
        if monitoring is None or monitoring.get_tool(_TOOL) is not None:
            return False
        monitoring.use_tool_id(_TOOL, "atrains")
        monitoring.register_callback(_TOOL, monitoring.events.PY_UNWIND, self._note_unwinding)
        monitoring.set_events(_TOOL, monitoring.events.PY_UNWIND)
        return True

    def _note_unwinding(self, code: CodeType, offset: int, error: BaseException) -> None:
        del code, offset
        if not isinstance(error, SystemExit) or threading.current_thread() is not threading.main_thread():
            return
        # It leaves the program when the frame that it leaves has nobody below it that could catch it.
        if sys._getframe(1).f_back is None:  # noqa: SLF001
            self.error = SystemExit(error.code)  # without the frames that the traceback holds


def remind_of_interrupt() -> None:
    """Have the interpreter end as killed by SIGINT, as it was going to: it forgets that once source is evaluated at exit.

    Any import may do so: named tuples are made of source. An uncaught KeyboardInterrupt in source makes it remember.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102
