"""What a task is called and labelled with: name, comment, tags. A part of AsyncTask."""

from __future__ import annotations

from collections.abc import Sequence

from atrains._async.base import TaskPart, call
from atrains._engine.notices import say
from atrains._wire import endpoints
from atrains._wire.names import validate_name


class Identity(TaskPart):
    """Name, comment, tags."""

    async def set_name(self, name: str) -> None:
        """Rename the task.

        Args:
            name: At least 3 characters after stripping (a server rule).

        Raises:
            ValidationError: the name is shorter.
            TransportError: the home cannot be reached.
        """
        await self._edit("rename", name=validate_name(name, what="task"))

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
            TransportError: the home cannot be reached.
        """
        await self._edit("tag", tags=_tag_list(tags))

    async def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags to those that the task has. Has no effect while an agent executes the task.

        Args:
            tags: The ones to add; a text is split at spaces.

        Raises:
            TransportError: the home cannot be reached.
        """
        if not self.running_locally() and self.is_main_task():
            say(self._settings, f"tags {_tag_list(tags)} were not added: an agent executes task {self.id}")
            return
        await self._edit("tag", tags=list(dict.fromkeys([*self.get_tags(), *_tag_list(tags)])))

    async def set_system_tags(self, tags: Sequence[str] | str) -> None:
        """Replace the tags that the system itself keeps: `archived` hides the task from lists and protects it from being reused.

        Args:
            tags: The new ones.

        Raises:
            TransportError: the home cannot be reached.
        """
        await self._edit("tag", system_tags=_tag_list(tags))

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


def _tag_list(tags: Sequence[str] | str) -> list[str]:
    return tags.split() if isinstance(tags, str) else [str(tag) for tag in tags]
