"""The `models.*` endpoints, as far as a home without models can answer them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atrains._local.store import Store


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001  # the form of every service
    """Answer that no model matches: none can be made yet. Clients ask before they delete a task."""
    return {"models": []}
