"""What stands for values that are no numbers, where somebody chose that they are not dropped. One choice for a process."""

from __future__ import annotations

import logging
import math
from array import array

_log = logging.getLogger("atrains")


class Replacement:
    """What one kind of value is replaced by.

    Attributes:
        value: The number; None to drop and count such values.
        warn_period: After how many of them it is said again.
        seen: How many there were.
    """

    __slots__ = ("seen", "value", "warn_period")

    def __init__(self, value: float | None = None, warn_period: int = 1000) -> None:
        self.value = value
        self.warn_period = warn_period
        self.seen = 0

    def replace(self, original: float) -> float:
        """The value to store."""
        if self.value is None:
            return original
        if not self.seen % self.warn_period:
            _log.warning("atrains: %s was reported and is stored as %g (said again after %d more)", original, self.value, self.warn_period)
        self.seen += 1
        return self.value


class Replacements:
    """The choice for both kinds of values that no home can store."""

    __slots__ = ("inf", "nan")

    def __init__(self) -> None:
        self.nan = Replacement()
        self.inf = Replacement()

    def apply(self, values: array[float]) -> array[float]:
        """The values with every one replaced for which that was chosen."""
        if self.nan.value is None and self.inf.value is None:
            return values
        return array("d", (value if math.isfinite(value) else self._of(value).replace(value) for value in values))

    def _of(self, value: float) -> Replacement:
        return self.nan if math.isnan(value) else self.inf


replacements = Replacements()
"""Those of this process; whoever delivers its journal after a kill has its own."""
