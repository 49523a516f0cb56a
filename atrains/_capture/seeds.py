"""The seed that tasks give to the generators of random numbers when they begin. None is given unless somebody asked for it."""

from __future__ import annotations

import sys
from typing import Final

from atrains.errors import ValidationError

_LIMIT: Final = 1 << 32
"""NumPy takes no seed from here on."""


class _Seed:
    """The seed of this process, which forked children inherit."""

    value: int | None = None


def get_seed() -> int | None:
    """The seed, or None when the generators are left alone."""
    return _Seed.value


def set_seed(seed: int | None) -> None:
    """Set the seed for the tasks that begin from now on.

    Raises:
        ValidationError: it is no integer from 0 to 4,294,967,295.
    """
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < _LIMIT):
        raise ValidationError(f"a seed is an integer from 0 to {_LIMIT - 1}, or None, not {seed!r}")
    _Seed.value = seed


def seed_generators() -> None:
    """Give the seed, if there is one, to the generators of `random` and, where it was imported, of NumPy."""
    if _Seed.value is None:
        return
    import random  # slow to import, and rarely wanted

    random.seed(_Seed.value)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(_Seed.value)
