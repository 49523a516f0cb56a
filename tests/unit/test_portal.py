"""How a blocking call reaches the loop that serves it."""

from __future__ import annotations

import pytest

from atrains._portal.portal import portal


def test_what_cannot_even_begin_is_raised_to_the_caller_who_would_wait_for_ever() -> None:
    def make() -> None:
        raise LookupError("no such coroutine")

    with pytest.raises(LookupError, match="no such coroutine"):
        portal().run(make, timeout=10)  # type: ignore[arg-type]
