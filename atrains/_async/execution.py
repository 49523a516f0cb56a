"""What a run needs where an agent executes it: packages, a container. A part of AsyncTask; what is recorded unasked is in `capturing`."""

from __future__ import annotations

from atrains._api import current
from atrains._async.base import TaskPart
from atrains._engine.notices import say
from atrains.errors import ValidationError


class Execution(TaskPart):
    """Packages and the container that a run needs."""

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

    def get_base_docker(self) -> str | None:
        """The image in which agents are to execute this task, with the arguments for docker behind it, as of the last `reload`; or None."""
        container = self._record.get("container") or {}
        parts = (container.get("image"), container.get("arguments"))
        # Server: before 2.13 it is one text.
        return " ".join(part for part in parts if part) or (self._record.get("execution") or {}).get("docker_cmd") or None

    async def set_base_docker(self, docker_cmd: str | None) -> None:
        """Set the image in which agents are to execute this task. While an agent executes it this has no effect.

        Args:
            docker_cmd: The image, and behind it the arguments for docker, such as `"python:3.12 --ipc=host"`. None or an empty text for
                none.

        Raises:
            ValidationError: it is no text.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        if not (docker_cmd is None or isinstance(docker_cmd, str)):
            raise ValidationError(
                f"the base docker of task {self.id} is a text (an image, and arguments behind it) or None, not {docker_cmd!r}"
            )
        if self._takes_values_from_home:
            say(self._settings, f"the base docker was not set to {docker_cmd!r}: an agent executes task {self.id}")
            return
        self._check_open()
        if self._capturing is not None:
            self._capturing.has_container = True
        image, _, arguments = (docker_cmd or "").strip().partition(" ")
        container = {"image": image, "arguments": arguments.strip(), "setup_shell_script": ""}
        await self._edit("set the base docker of", container=container)
