"""What a task is called and labelled with: name, comment, project, tags; the seed of its run. A part of AsyncTask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from atrains._async import opening
from atrains._async.base import TaskPart, call
from atrains._capture import seeds
from atrains._engine.notices import say
from atrains._wire import endpoints
from atrains._wire.names import validate_name
from atrains.errors import UsageError, ValidationError


class Identity(TaskPart):
    """Name, comment, project, tags."""

    async def set_name(self, name: str) -> None:
        """Rename the task.

        Args:
            name: At least 3 characters after stripping (a server rule).

        Raises:
            ValidationError: the name is shorter.
            TransportError: the home cannot be reached.
        """
        await self._edit("rename", name=validate_name(name, what="task", of=f" for task {self.id}"))

    async def set_comment(self, comment: str) -> None:
        """Set the comment, the free text that describes the task.

        Args:
            comment: The text; empty to clear it.

        Raises:
            TransportError: the home cannot be reached.
        """
        await self._edit("comment", comment="" if comment is None else str(comment))

    async def set_tags(self, tags: Sequence[str] | str) -> None:
        """Replace the task's tags.

        Args:
            tags: The new ones; a text is split at spaces.

        Raises:
            ValidationError: they are no texts.
            TransportError: the home cannot be reached.
        """
        await self._edit("tag", tags=self._tag_list(tags))

    async def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags to those that the task has, now, whoever else adds some. Has no effect while an agent executes the task.

        Args:
            tags: The ones to add; a text is split at spaces.

        Raises:
            ValidationError: they are no texts.
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        added = self._tag_list(tags)
        if not self.running_locally() and self.is_main_task():
            say(self._settings, f"tags {added} were not added: an agent executes task {self.id}")
            return
        self._check_open()
        async with self._editing():
            await self._change(endpoints.TASKS_UPDATE_TAGS, "tag", ids=[self.id], add_tags=added)
            await self._fetch()

    async def set_system_tags(self, tags: Sequence[str] | str) -> None:
        """Replace the tags that the system itself keeps: `archived` hides the task from lists and protects it from being reused.

        Args:
            tags: The new ones.

        Raises:
            ValidationError: they are no texts.
            TransportError: the home cannot be reached.
        """
        await self._edit("tag", system_tags=self._tag_list(tags))

    async def set_project(self, project_id: str | None = None, project_name: str | None = None) -> None:
        """Move the task to another project.

        Args:
            project_id: The id of the project; either this or `project_name` has to be given.
            project_name: The name of the project, which is created when there is none.

        Raises:
            UsageError: neither was given, or both.
            NotFoundError: there is no project of that id.
            ValidationError: the name has under 3 characters.
            TransportError: the home cannot be reached.
        """
        if bool(project_id) == bool(project_name):
            raise UsageError("Task.set_project needs the project_id or the project_name of the project, and not both")
        self._check_open()
        if project_id:
            answer = await call(self._channel, endpoints.PROJECTS_GET_BY_ID, f"cannot move task {self.id}", project=project_id)
            name = str(answer["project"]["name"])
        else:
            name = validate_name(str(project_name), what="project")
            project_id = await opening.project_id(self._channel, name)
        await self._edit("move", project=project_id)
        self._project_name = name

    async def get_project_name(self) -> str | None:
        """The name of the task's project, or None when it has none.

        Raises:
            TransportError: the home cannot be reached.
        """
        if self._project_name is None and self.project is not None:
            what = f"cannot read project {self.project}"
            answer = await call(self._channel, endpoints.PROJECTS_GET_BY_ID, what, project=self.project)
            self._project_name = str(answer["project"]["name"])
        return self._project_name

    @classmethod
    def get_random_seed(cls) -> int | None:
        """The seed that tasks which begin in this process give to the generators of random numbers; None when they leave them alone."""
        return seeds.get_seed()

    @classmethod
    def set_random_seed(cls, random_seed: int | None) -> None:
        """Have each task that begins in this process from now on seed the generators: `random`, and NumPy's where it was imported before.

        Call it before `init`. Without it, atrains never touches them.

        Args:
            random_seed: From 0 to 4,294,967,295; None to leave the generators alone again.

        Raises:
            ValidationError: it is no such number.
        """
        seeds.set_seed(random_seed)

    def _tag_list(self, tags: Iterable[str] | str) -> list[str]:
        if isinstance(tags, str):
            return tags.split()
        found = list(tags) if isinstance(tags, Iterable) and not isinstance(tags, bytes) else [None]
        if not all(isinstance(tag, str | int | float) for tag in found):
            raise ValidationError(f"the tags of task {self.id} are a list of texts, or one text with spaces between them, not {tags!r}")
        return [str(tag) for tag in found]
