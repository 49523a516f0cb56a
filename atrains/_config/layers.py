"""One value out of several layers, converted to its type; one that does not fit is an error that names its place. Reads no file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol, runtime_checkable

from atrains._config.env import Environment, Variable
from atrains._config.hocon import ConfigFile
from atrains._config.hosts import normalise_host
from atrains._config.settings import Secret
from atrains.errors import ConfigurationError

CALL: Final = "Task.set_credentials"
"""The source of what `set_credentials` was given."""
_SHOWN_LENGTH: Final = 80
_TRUE: Final = ("y", "yes", "t", "true", "on", "1")
_FALSE: Final = ("n", "no", "f", "false", "off", "0")
_WORDS: Final = f"{', '.join(_TRUE)} or {', '.join(_FALSE)}"


@runtime_checkable
class _Duration(Protocol):
    """What the HOCON parser makes of `5 s`: a timedelta."""

    def total_seconds(self) -> float: ...


class Found:
    """A value and its origin.

    Attributes:
        value: As it was written; it may be a key.
        source: What gave it: a variable, a file, a call.
        place: The same, as precise as it is known: with key and line.
    """

    __slots__ = ("place", "source", "value")

    def __init__(self, value: object, source: str, place: str) -> None:
        self.value = value
        self.source = source
        self.place = place

    def refuse(self, expected: str) -> NoReturn:
        """Raise for a value that does not fit."""
        raise ConfigurationError(f"{self.place} is {_shown(self.value)}; expected {expected}")

    def boolean(self, *, otherwise: str = "") -> bool:
        """Return a yes or no."""
        if isinstance(self.value, bool):
            return self.value
        word = str(self.value).lower()
        if word not in _TRUE + _FALSE:
            self.refuse(f"{_WORDS}{otherwise}")
        return word in _TRUE

    def number(self, *, above: float | None = None, at_least: float | None = None, unit: str) -> float:
        """Return a finite number; a HOCON duration (`5 s`) is its seconds."""
        bound = f" above {above:g}" if above is not None else f" of at least {at_least:g}" if at_least is not None else ""
        value = self.value.total_seconds() if isinstance(self.value, _Duration) else self.value
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number) or (above is not None and number <= above) or (at_least is not None and number < at_least):
            self.refuse(f"a number of {unit}{bound}")
        return number

    def whole(self, *, at_least: int, unit: str) -> int:
        """Return a whole number."""
        number = self.number(at_least=at_least, unit=unit)
        if number != int(number):
            self.refuse(f"a whole number of {unit} of at least {at_least}")
        return int(number)

    def statuses(self) -> tuple[int, ...]:
        """Return HTTP statuses, from a list or from text with commas."""
        items = self.value if isinstance(self.value, list) else str(self.value).split(",")
        words = [str(item).strip() for item in items]
        if not all(word.isdecimal() and 100 <= int(word) <= 599 for word in words):
            self.refuse("HTTP statuses, such as 500, 504")
        return tuple(int(word) for word in words)

    def words(self) -> tuple[str, ...]:
        """Return words, from a list or from text with commas."""
        items = self.value if isinstance(self.value, list) else str(self.value).split(",")
        return tuple(word for item in items if (word := str(item).strip()))

    def choice(self, words: Sequence[str]) -> str:
        """Return one of some words."""
        word = str(self.value).lower()
        if word not in words:
            self.refuse(f"one of {', '.join(words)}")
        return word

    def text(self) -> str:
        """Return a text."""
        return self.value.strip() if isinstance(self.value, str) else self.refuse("text in quotes")

    def secret(self) -> Secret:
        """Return a key. An unquoted one that reads as a number would have lost its zeros: it is refused, and not shown."""
        if isinstance(self.value, Secret):
            return self.value
        if not isinstance(self.value, str):
            raise ConfigurationError(f"{self.place} is not text; write it in quotes")
        return Secret(self.value.strip())

    def version(self) -> tuple[int, int]:
        """Return an API version."""
        parts = str(self.value).strip().split(".")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            self.refuse("an API version, such as 2.9")
        return int(parts[0]), int(parts[1])

    def host(self) -> str:
        """Return a base URL."""
        try:
            return normalise_host(self.text())
        except ConfigurationError:
            raise
        except ValueError as error:
            raise ConfigurationError(f"{self.place}: {error}") from None


class Layers:
    """What can be asked for a value: environment, then files from the last to the first, then what `set_credentials` was given.

    Attributes:
        sources: Where each value came from that was found so far, by its path in the settings.
        overridden: For each value given to `set_credentials` that another one won over, what won.
    """

    def __init__(self, environment: Environment, files: Sequence[ConfigFile], user_directory: Path | None) -> None:
        self._environment = environment
        self._files = files
        self._user_directory = user_directory
        self.sources: dict[str, str] = {}
        self.overridden: dict[str, str] = {}

    def find(
        self,
        name: str,
        *,
        suffix: str | None = None,
        own: str | None = None,
        keys: Sequence[str] = (),
        given: str | Secret | None = None,
        shared: Sequence[str] = (),
    ) -> Found | None:
        """Return the value that wins, and take down where it came from.

        Args:
            name: Its path in the settings.
            suffix: Its variable, without prefix.
            own: Its variable, when only the prefix of atrains counts.
            keys: Its keys in a file; the first one that is set wins.
            given: What `set_credentials` was given for it.
            shared: Variables that other programs use as well, by their whole names: they count where nothing else is set.
        """
        variable: Variable | None = None
        if suffix is not None:
            variable = self._environment.first(suffix)
        elif own is not None:
            variable = self._environment.own(own)
        found = Found(variable.value, variable.name, variable.name) if variable else self._find_in_files(keys)
        if found is None and (common := next(filter(None, map(self._environment.get, shared)), None)):
            found = Found(common.value, common.name, common.name)
        if given is not None:
            plain = given.reveal() if isinstance(given, Secret) else given
            if found is None:
                found = Found(given, CALL, f"{CALL}: {name.rpartition('.')[2]}")
            elif str(found.value).rstrip("/") != plain.rstrip("/"):
                self.overridden[name.rpartition(".")[2]] = found.source
        if found is not None:
            self.sources[name] = found.source
        return found

    def path(self, found: Found) -> Path:
        """Return an absolute path, `~` and `$NAME` replaced."""
        return Path(self._environment.expand(found.text(), self._user_directory)).absolute()

    def _find_in_files(self, keys: Sequence[str]) -> Found | None:
        for key in keys:
            for file in reversed(self._files):
                present, value = file.lookup(key)
                if present:
                    # Shared files come with every key and empty values: an empty one is unset, also over an earlier file.
                    if value is None or (isinstance(value, str) and not value.strip()):
                        break
                    return Found(value, file.label, file.place(key))
        return None


def _shown(value: object) -> str:
    if isinstance(value, Mapping | list):
        return "a block" if isinstance(value, Mapping) else "a list"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
