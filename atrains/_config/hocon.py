"""HOCON: configuration files found and read, the configuration text of tasks read, and the place shown that is wrong.

The only module that imports pyhocon. Text for tasks is written in `_wire.hocon_text`.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from atrains._config.env import Environment
from atrains.errors import ConfigurationError

_DEFAULT_NAMES: Final = ("trains.conf", "clearml.conf")
"""Under the user's home directory; the later one wins."""
_SENSITIVE: Final = r"""(?isx)
    credentials"?\s*[:=]?\s*[{\[][^}\]]*                                         # a whole block
    | (?:key|secret|passw|token|credential)[\w.-]*"?\s*(?:\+?=|:)?\s*            # or what stands behind one name,
      (?:\"{3}.*?(?:\"{3}|\Z)|[^\n]*)                                           # to its end or the end of the line
"""
_WORD: Final = r"[^\s{}\[\]:=,\"]+"
_HARMLESS: Final = frozenset({"", "api", "sdk", "credentials", "access_key", "secret_key", "key", "secret", "aws", "s3", "account_key"})
_EXCERPT_LENGTH: Final = 80
_PARSING: Final = threading.Lock()
"""pyhocon changes globals of pyparsing while it parses: one thread at a time."""


class ConfigFile:
    """One file as read.

    Attributes:
        label: How messages name it: `~/trains.conf`, else its path.
        text: Its text, to find lines in.
        tree: Its values.
        prefix: The keys above its root: a file `api.conf` of a configuration folder holds the tree under `api`.
    """

    __slots__ = ("label", "prefix", "text", "tree")

    def __init__(self, label: str, text: str, tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> None:
        self.label = label
        self.text = text
        self.tree = tree
        self.prefix = prefix

    def lookup(self, key: str) -> tuple[bool, object]:
        """Return whether a dotted key stands in this file, and its value.

        Raises:
            ConfigurationError: if a part of the key holds a value where a block is expected.
        """
        parts = tuple(key.split("."))
        if parts[: len(self.prefix)] != self.prefix:
            return False, None
        value: object = self.tree
        for depth in range(len(self.prefix), len(parts)):
            if value is None:
                return False, None
            if not isinstance(value, Mapping):
                block = ".".join(parts[:depth])
                raise ConfigurationError(f"{self.place(block)} is a single value; expected a block: {block} {{ {parts[depth]}: ... }}")
            if parts[depth] not in value:
                return False, None
            value = value[parts[depth]]
        return True, value

    def place(self, key: str) -> str:
        """Return how a message names a key of this file, with its line if only one line can be meant."""
        name = re.compile(rf"(?<![\w-]){re.escape(key.rpartition('.')[2])}(?![\w-])\"?\s*(?:[:={{]|\+=)")
        lines = [
            number
            for number, line in enumerate(self.text.splitlines(), 1)
            if not line.lstrip().startswith(("#", "//")) and name.search(line)
        ]
        return f"{self.label}, line {lines[0]}: {key}" if len(lines) == 1 else f"{self.label}: {key}"


def read_config_files(environment: Environment, user_directory: Path | None) -> tuple[list[ConfigFile], list[str]]:
    """Read every configuration file there is; a later one wins over an earlier one.

    First the folder named by `*_CONFIG_PATH` (its own files, then its folder `default`, then the one named by `*_ENV`), then the
    one file named by `*_CONFIG_FILE`, or else `~/trains.conf` and `~/clearml.conf`.

    Returns:
        The files, and a remark for each variable that names something that is not there.

    Raises:
        ConfigurationError: if a file cannot be read or is malformed.
    """
    files: list[ConfigFile] = []
    remarks: list[str] = []
    if folder := environment.first("CONFIG_PATH"):
        root = Path(environment.expand(folder.value, user_directory))
        files += _read_all(_folder_files(root, environment), environment, user_directory)
        if not root.is_dir():
            remarks.append(f"{folder.name} names {root}, which is not a folder")
    if named := environment.first("CONFIG_FILE"):
        path = Path(environment.expand(named.value, user_directory))
        found = _read_all([(path, ())], environment, user_directory)
        files += found
        if not found:
            remarks.append(f"{named.name} names {path}, which does not exist")
    elif user_directory is not None:
        files += _read_all([(user_directory / name, ()) for name in _DEFAULT_NAMES], environment, user_directory)
    return files, remarks


def parse_text(text: str, label: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Read the text of a configuration, which people may have edited: HOCON, of which JSON is a part.

    Args:
        text: Empty or blank text is an empty configuration.
        label: How messages name it.
        variables: What `${NAME}` and `${?NAME}` may stand for, besides keys of the text.

    Raises:
        ConfigurationError: it is malformed, or a list.
    """
    # Most of what programs store is JSON, and pyhocon leaves the escapes and the awkward keys in it as they are.
    found = _parse_json(text)
    if found is None:
        with _PARSING:
            found = _parse(text, Path(), label, variables)
    return found


def _parse_json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a repeated key, which HOCON merges")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is text in HOCON")


def _plain(value: Any) -> Any:
    from pyhocon.config_tree import NoneValue

    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, NoneValue):
        return None
    if isinstance(value, str | int | float):
        return value
    moment = datetime(2001, 1, 1)  # noqa: DTZ001  # any
    return moment + value - moment  # a period is a `relativedelta` where dateutil is installed, else a `timedelta`


def _folder_files(root: Path, environment: Environment) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for path in sorted(root.glob("*.conf")):
        yield path, (path.stem,)
    chosen = environment.first("ENV")
    for name in dict.fromkeys(["default", chosen.value if chosen else "default"]):
        for path in sorted((root / name).rglob("*.conf")):
            yield path, path.relative_to(root / name).with_suffix("").parts


def _read_all(paths: Iterable[tuple[Path, tuple[str, ...]]], environment: Environment, user_directory: Path | None) -> list[ConfigFile]:
    files = []
    for path, prefix in paths:
        label = f"~/{path.relative_to(user_directory)}" if user_directory and path.is_relative_to(user_directory) else str(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigurationError(f"{label}, line {line}: not UTF-8 text; save the file as UTF-8") from None
        except OSError as error:
            raise ConfigurationError(f"{label} cannot be read: {error.strerror}; or name another file in ATRAINS_CONFIG_FILE") from error
        with _PARSING:
            tree = _parse(text, path, label, environment.variables)
        files.append(ConfigFile(label, text, tree, prefix))
    return files


def _parse(text: str, path: Path, label: str, variables: Mapping[str, str]) -> dict[str, Any]:
    from pyhocon import ConfigFactory, ConfigTree
    from pyhocon.config_parser import NO_SUBSTITUTION
    from pyparsing import ParseBaseException, ParserElement

    # Parser errors quote the file, which holds keys: they are replaced (`from None`), never chained.
    white_space = ParserElement.DEFAULT_WHITE_CHARS
    try:
        with warnings.catch_warnings():
            # pyhocon logs a missing optional include through a deprecated method.
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ConfigFactory.parse_string(text, str(path.parent), resolve=False, unresolved_value=NO_SUBSTITUTION)
            if not isinstance(tree, ConfigTree):
                raise ConfigurationError(f"{label}, line 1: a list; expected keys and blocks, as in api {{ api_server: ... }}")
            return _resolve(tree, variables)
    except ParseBaseException as error:
        # The location counts in the text as the parser saw it: tabs expanded, and of another file if that one was included.
        where = label if error.pstr == text.expandtabs() else f"a file included by {label}"
        raise ConfigurationError(_malformed(where, error.pstr, error.loc)) from None
    except ConfigurationError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"{label} includes {error.filename or 'a page'}, which cannot be read: {error.strerror or error}"
        ) from None
    except Exception as error:  # pyhocon raises its own slips as whatever they are (KeyError, RecursionError)  # noqa: BLE001
        raise ConfigurationError(_unresolvable(label, text, error)) from None
    finally:
        # pyhocon leaves this global of pyparsing changed when it fails, and others (matplotlib) parse with it too.
        ParserElement.set_default_whitespace_chars(white_space)


def _resolve(tree: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    """Replace `${NAME}` and `${?NAME}`: pyhocon finds a name among the keys, so the environment is put there for the time being."""
    from pyhocon import ConfigParser

    added = [name for name in variables if name not in tree and name.isidentifier()]
    for name in added:
        tree.put(name, variables[name])
    ConfigParser.resolve_substitutions(tree)
    for name in added:
        del tree[name]
    plain: dict[str, Any] = _plain(tree.as_plain_ordered_dict())
    return plain


def _malformed(label: str, text: str, location: int) -> str:
    if not text[location:].strip():
        location = len(text.rstrip())
        hint = "the end of the file was reached: look for a brace, bracket or quote that is left open, or a key without a value"
    else:
        hint = "look for a missing colon, quote or brace here or just before"
        # A line that is only words is a key to the parser, and it stumbles over what follows.
        before = text[:location].rstrip()
        if "\n" in text[len(before) : location] and not re.search(r"[:={}\[\],#]|//", before.rpartition("\n")[2]):
            location = len(before)
    line, column = text.count("\n", 0, location) + 1, location - text.rfind("\n", 0, location)
    excerpt = _excerpt(text, line)
    if excerpt.startswith("include"):
        hint = "look into the included file as well: it may be the one that is malformed"
    return f"{label}, line {line}, column {column}: malformed at {excerpt!r}; {hint}"


def _unresolvable(label: str, text: str, error: Exception) -> str:
    message = str(error)
    if found := re.search(r"(\$\{[^}]*\})\D*line: (\d+)", message):
        advice = "set the variable or key, or write ${?NAME} if it may be missing"
        line = int(found[2])
        if found[1] in "".join(text.splitlines()[line - 1 : line]):
            return f"{label}, line {line}: cannot resolve {_excerpt(text, line)!r}; {advice}"
        return f"a file included by {label}, line {line}: cannot resolve {found[1]}; {advice}"
    if found := re.match(r"Cannot concatenate the list ([\w.]+):", message):
        place = ConfigFile(label, text, {}).place(found[1])
        return f"{place} is given both as a single value and as a block or list; keep one of them"
    return f"{label}: cannot be understood ({type(error).__name__}); check that it is valid HOCON"


def _excerpt(text: str, line: int) -> str:
    """Return a line of the file for a message, with everything masked that may belong to a key."""
    lines = text.split("\n")
    content = lines[line - 1]
    start = sum(len(before) + 1 for before in lines[: line - 1])
    if any(match.start() <= start + len(content) and match.end() >= start for match in re.finditer(_SENSITIVE, text)):
        content = re.sub(_WORD, lambda word: word[0] if _HARMLESS.issuperset(word[0].lower().split(".")) else "***", content)
    content = content.strip()
    return content if len(content) <= _EXCERPT_LENGTH else f"{content[:_EXCERPT_LENGTH]}..."
