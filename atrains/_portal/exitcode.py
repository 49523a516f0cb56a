"""How the program ended: its uncaught exception, or the code that it exited with. Watches only; what follows from it is in `exit`.

`sys.excepthook` and `sys.exit` are wrapped and chained, and given back on `restore` unless somebody wrapped them again meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import CodeType, TracebackType
from typing import Any, Final, NoReturn

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
        self._hook = sys.excepthook
        self._exit = sys.exit
        self._own_hook: Callable[..., Any] = self._note_uncaught
        self._own_exit: Callable[..., NoReturn] = self._raise_exit
        sys.excepthook = self._own_hook
        sys.exit = self._own_exit
        self._main_has_file = hasattr(sys.modules.get("__main__"), "__file__")
        self._monitored = self._watch_unwinding()

    def settle(self) -> BaseException | None:
        """The exception that ended the program, asked for at its end."""
        if self.error is None and self._main_was_left_early():
            # A bare `raise SystemExit(n)`: neither hook sees it, and before Python 3.12 nothing tells its code.
            self.error = SystemExit("a SystemExit that was not raised by sys.exit, of unknown code")
        return self.error

    def restore(self) -> None:
        """Give back what was wrapped, unless somebody else has wrapped it since."""
        if sys.excepthook is self._own_hook:
            sys.excepthook = self._hook
        if sys.exit is self._own_exit:
            sys.exit = self._exit
        if self._monitored:
            monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]  # from Python 3.12 on
            monitoring.set_events(_TOOL, 0)
            monitoring.free_tool_id(_TOOL)
            self._monitored = False

    def _note_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.error = error
        self._hook(kind, error, trace)

    def _raise_exit(self, status: Any = None, /) -> NoReturn:
        try:
            self._exit(status)
        except SystemExit as error:
            if type(error) is not SystemExit:  # somebody's own, of another wrapper: it has its reasons
                raise
            leaving = _Exit(*error.args)
            leaving.watch = self
            raise leaving from None

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
        # It leaves the program when the frame that it leaves has nobody below it that could catch it.
        if isinstance(error, SystemExit) and not isinstance(error, _Exit) and sys._getframe(1).f_back is None:  # noqa: SLF001
            if threading.current_thread() is threading.main_thread():
                self.error = SystemExit(*error.args)
