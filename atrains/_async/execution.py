"""What a run needs where an agent executes it again: packages. A part of AsyncTask; what is recorded unasked is in `capturing`."""

from __future__ import annotations

from atrains._api import current
from atrains._api.task import TaskBase
from atrains._engine.notices import say
from atrains.errors import ValidationError


class Execution(TaskBase):
    """Packages that a run needs."""

    @classmethod
    def add_requirements(cls, package_name: str, package_version: str | None = None) -> None:
        """Have a package among those that an agent installs for the main task, whether or not the program imports it.

        Call it before `init`. Afterwards it changes the requirements of the open main task, and a line says so, since they may have been
        read by then. Nothing is installed, and nothing is sent by the call itself. Under an agent it has no effect.

        Args:
            package_name: The package, as an index knows it; `name[extra]` is taken as well. The path of a file of requirements wants each
                line of that.
            package_version: Its version, with an operator (`">=1.2"`) or without one, which means exactly that version. None for the one
                that is installed here; a package that is not gets no version.

        Raises:
            ValidationError: the name is empty or no text.

        Example:
            >>> Task.add_requirements("torch", ">=2.1")
            >>> task = Task.init("project", "name")
        """
        from atrains._capture.forced import force

        if not isinstance(package_name, str) or not package_name.strip():
            raise ValidationError(f"add_requirements needs the name of a package or of a file of requirements, not {package_name!r}")
        force(package_name.strip(), None if package_version is None else str(package_version))
        main = current.main_task()
        if main is not None and main.begun_here and main._capturing is not None:  # noqa: SLF001  # one class
            main._capturing.again()  # noqa: SLF001
            say(
                main._settings,  # noqa: SLF001
                f"add_requirements({package_name!r}) came after task {main.id} began: its requirements are changed now; "
                "call it before init",
            )
