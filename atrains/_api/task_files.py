"""Where the files of a task's images go: what its logger asks the task about that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atrains._config import ImageSettings

if TYPE_CHECKING:
    from atrains._api.task import TaskBase


class TaskFiles:
    """The place of a task's images.

    Args:
        task: Whose.
    """

    def __init__(self, task: TaskBase) -> None:
        self._task = task

    @property
    def settings(self) -> ImageSettings:
        """How images are reported."""
        return self._task._settings.images  # noqa: SLF001  # one class in two files

    @property
    def names_are_ours(self) -> bool:
        """Whether this process began the run, so that file names may be counted from 0; others that report to it count as well."""
        return self._task.begun_here

    @property
    def usual(self) -> str | None:
        """Where files go unless told otherwise: a file server, a folder of the cache; None for the task's folder in the local home."""
        settings = self._task._settings  # noqa: SLF001
        if settings.target.kind == "local":
            return None
        return settings.api.files_host or (settings.home.cache_dir / "debug_images").resolve().as_uri()

    @property
    def shown(self) -> str:
        """The same as a URL that users can follow."""
        settings = self._task._settings  # noqa: SLF001
        return self.usual or (settings.home.path / "tasks" / self._task.id / "files").resolve().as_uri()

    def below(self, destination: str | None) -> str:
        """The task's folder below a destination, or in the local home."""
        if destination is None:
            return f"tasks/{self._task.id}/files"
        from atrains._storage import layout

        return layout.task_folder(self._task.known_project_name or self._task.project, self._task.name, self._task.id)
