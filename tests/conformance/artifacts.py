"""What the tests of artifacts share."""

from __future__ import annotations

from typing import Any

World = Any


async def stored(world: World, task: Any) -> Any:
    """The task as another object reads it from its home, once everything is there."""
    receipt = await world(task.flush(wait_for_uploads=True))
    assert receipt, receipt
    return await world(world.Task.get_task(task.id))
