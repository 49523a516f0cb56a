"""The packages that a program uses, in the text that agents install from. Blocking; reads what is installed, imports nothing.

What was imported is seen in `sys.modules`; what a program will import later, in the text of its first file.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from atrains._capture.redact import without_credentials

SECONDS: Final = 5.0
"""Seconds after which what was found by then is all."""
_LEFT_OUT: Final = frozenset({"setuptools", "pip", "wheel"})
"""Tools that every environment has its own version of."""
_NO_USE: Final = frozenset({"__main__", "_distutils_hack"})
"""Modules that nobody looks for a package of: the program, and a part of setuptools that each interpreter starts with."""
_METADATA: Final = (".dist-info", ".egg-info")
_OURS: Final = "atrains"
_REQUIRED: Final = re.compile(r"^Requires-Dist: *([\w.-]+)(?!.*\bextra *==)", re.MULTILINE)
_OPERATOR: Final = re.compile(r"[=<>!~]")
_LONG: Final = 1 << 16
"""Bytes of a list of files that takes half a millisecond to look through."""
_PATIENCE: Final = 0.0005
"""Seconds of rest after such a list, for the program's own threads."""


class Installed(NamedTuple):
    """A package that is installed.

    Attributes:
        name: As it calls itself.
        version: Its version.
        url: Where it was installed from, if that is neither an index nor a file.
        folder: Where its files are, if they are used in place.
    """

    name: str
    version: str
    url: str
    folder: Path | None

    @property
    def line(self) -> str:
        """What installs it."""
        if self.folder is not None:
            return f"-e {self.folder.as_uri()}"
        return f"{self.name} @ {self.url}" if self.url else f"{self.name} == {self.version}" if self.version else self.name


def normalised(name: str) -> str:
    """The name of a package as an index knows it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Environment:
    """What is installed in this interpreter's folders; looked into only as far as it is needed, and only once.

    Attributes:
        folders: Where packages are installed, each with the folders of their metadata by normalised name.
    """

    def __init__(self, folders: dict[str, dict[str, Path]]) -> None:
        self.folders = folders
        self._described: dict[Path, Installed] = {}
        self._owners: dict[tuple[str, str], Path | None] = {}
        self._required: dict[Path, set[str]] = {}

    @classmethod
    def current(cls) -> Environment:
        """That of `sys.path`."""
        found: dict[str, dict[str, Path]] = {}
        for entry in dict.fromkeys(sys.path):
            names = _metadata_in(entry)
            if names:
                found[entry] = names
        return cls(found)

    def describe(self, metadata: Path) -> Installed:
        """What the metadata of a package say."""
        if metadata not in self._described:
            headers = _headers(metadata)
            # An interrupted installation leaves folders with nothing in them but their name.
            name, version, *_ = [*metadata.name.rpartition(".")[0].split("-"), ""]
            self._described[metadata] = Installed(headers.get("Name") or name, headers.get("Version") or version, *_origin(metadata))
        return self._described[metadata]

    def find(self, name: str) -> Installed | None:
        """The package of that name, the first on the path."""
        metadata = next((names[normalised(name)] for names in self.folders.values() if normalised(name) in names), None)
        return None if metadata is None else self.describe(metadata)

    def brought_by(self, packages: Iterable[str]) -> set[str]:
        """What packages require, and what that requires, without any extras; all by normalised name."""
        found: set[str] = set()
        waiting = list(packages)
        while waiting:
            name = waiting.pop()
            metadata = next((names[name] for names in self.folders.values() if name in names), None)
            if metadata is None:
                continue
            if metadata not in self._required:
                self._required[metadata] = {normalised(one) for one in _REQUIRED.findall(_header_text(metadata))}
            waiting += self._required[metadata] - found
            found |= self._required[metadata]
        return found

    def all(self) -> list[Installed]:
        """Every package, the first on the path of each name."""
        names = {name: metadata for folder in reversed(self.folders.values()) for name, metadata in folder.items()}
        return [self.describe(metadata) for metadata in names.values()]

    def owners(self, files: Collection[tuple[str, str]], until: float) -> set[Path]:
        """The metadata of the packages that files belong to, each given by its folder of packages and its path below it.

        The name tells it for most; the others are looked for in the lists of files of all packages of the folder.
        """
        unknown: dict[str, set[str]] = {}
        for folder, file in files:
            if (folder, file) in self._owners:
                continue
            top = file.partition("/")[0].partition(".")[0]
            metadata = self.folders[folder].get(normalised(top)) if file.count("/") <= 1 else None
            if metadata is not None:
                self._owners[folder, file] = metadata
            else:
                unknown.setdefault(folder, set()).add(file)
        for folder, wanted in unknown.items():
            self._search(folder, wanted, until)
        return {metadata for file in files if (metadata := self._owners.get(file)) is not None}

    def _search(self, folder: str, wanted: set[str], until: float) -> None:
        tops = [normalised(file.partition("/")[0].partition(".")[0]) for file in wanted]
        # `yaml` is likely to be in PyYAML, `dateutil` in python-dateutil: those come first, and mostly there is no need to go on.
        likely_first = sorted(self.folders[folder].items(), key=lambda named: not any(top in named[0] for top in tops))
        for _, metadata in likely_first:
            if not wanted:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"the packages were not all looked through within {SECONDS:.0f} seconds")
            listed = _listed(metadata)
            for file in [file for file in wanted if f"\n{file},".encode() in listed or f"\n{file}\n".encode() in listed]:
                wanted.discard(file)
                self._owners[folder, file] = metadata
            if len(listed) > _LONG:
                time.sleep(_PATIENCE)
        for file in wanted:
            self._owners[folder, file] = None


def _metadata_in(folder: str) -> dict[str, Path]:
    try:
        entries = os.listdir(folder or os.curdir)
    except OSError:  # an archive, or a folder that is not there
        return {}
    found = {}
    for entry in entries:
        if entry.endswith(_METADATA) and not entry.startswith("~"):  # pip leaves such names behind when it is interrupted
            found[normalised(entry.rpartition(".")[0].split("-")[0])] = Path(folder, entry)
    return found


def _listed(metadata: Path) -> bytes:
    """The files of a package, a line each."""
    for name in ("RECORD", "installed-files.txt"):
        try:
            return b"\n" + (metadata / name).read_bytes()
        except OSError:  # the other kind of metadata
            continue
    try:  # a package of the system says no more than its modules; without any of these its files are nobody's
        modules = (metadata / "top_level.txt").read_bytes().split()
    except OSError:
        return b""
    return b"\n" + b"".join(b"%b/__init__.py\n%b.py\n" % (module, module) for module in modules)


def _headers(metadata: Path) -> dict[str, str]:
    """What a package says of itself, but for its description. `importlib.metadata` parses it as an e-mail, which takes 15 ms to import."""
    lines = [line.partition(": ") for line in _header_text(metadata).splitlines()]
    return {key: value.strip() for key, _, value in reversed(lines)}  # the first of a name


def _header_text(metadata: Path) -> str:
    for name in ("METADATA", "PKG-INFO", ""):  # the last where the metadata are a file themselves
        try:
            return (metadata / name).read_text("utf-8", "replace").partition("\n\n")[0]
        except OSError:  # metadata of the other kind
            continue
    return ""


def _origin(metadata: Path) -> tuple[str, Path | None]:
    """Where a package was installed from: the address of a repository or archive, or the folder that it is used in."""
    try:
        said = json.loads((metadata / "direct_url.json").read_bytes())
        url = without_credentials(str(said.get("url") or ""))
    except OSError:  # from an index, as most are
        return "", None
    except (ValueError, AttributeError):  # a file that somebody else wrote
        return "", None
    control = said.get("vcs_info")
    if isinstance(control, dict):
        below = f"#subdirectory={said['subdirectory']}" if said.get("subdirectory") else ""
        return f"{control.get('vcs', 'git')}+{url}@{control.get('commit_id', '')}{below}", None
    if url.startswith("file:"):
        is_editable = bool((said.get("dir_info") or {}).get("editable"))
        path = unquote(urlsplit(url).path)
        return "", Path(path.removeprefix("/") if os.name == "nt" else path) if is_editable else None
    return url, None


def imported_files(folders: Iterable[str]) -> tuple[set[tuple[str, str]], set[str]]:
    """A file of each module that was imported, below the folder of packages that it is in; and the files outside of those.

    One file tells the package, but for those that share a folder (`google.cloud`): of these it is one for each part.
    """
    prefixes = sorted(((folder.rstrip(os.sep) + os.sep, folder) for folder in folders), key=lambda pair: -len(pair[0]))
    inside: set[tuple[str, str]] = set()
    outside: set[str] = set()
    for name, module in list(sys.modules.items()):
        top, _, rest = name.partition(".")
        if top in sys.stdlib_module_names or top in _NO_USE:
            continue
        file = getattr(module, "__file__", None)
        parent = sys.modules.get(name.rpartition(".")[0]) if rest else None
        if not isinstance(file, str) or (parent is not None and getattr(parent, "__file__", None)):
            continue
        found = next(((prefix, folder) for prefix, folder in prefixes if file.startswith(prefix)), None)
        if found is None:
            outside.add(file)
        else:
            inside.add((found[1], file[len(found[0]) :].replace(os.sep, "/")))
    return inside, outside


def _files_of(environment: Environment, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Where modules that were not imported yet are installed."""
    for name in names:
        for folder in environment.folders:
            file = next((file for file in (f"{name}/__init__.py", f"{name}.py") if Path(folder, file).is_file()), None)
            if file is not None:
                yield folder, file
                break


def lines_of(environment: Environment, names: Collection[str], root: Path | None, until: float) -> tuple[list[Installed], list[str]]:
    """The packages that a program uses, and the names of those that stand in its own repository.

    Args:
        environment: What is installed.
        names: The modules that it imports, by their first names, besides those that it has imported by now.
        root: Its repository.
        until: When to give up, by the monotonic clock.

    Raises:
        TimeoutError: not everything was looked through.
    """
    inside, outside = imported_files(environment.folders)
    named = set(_files_of(environment, names))
    found = environment.owners(inside | named, until)
    if names:  # its text is known
        found = _without_ours(environment, found, environment.owners(named, until))
    packages = [environment.describe(metadata) for metadata in found]
    packages += [one for one in _editable(environment) if one.folder and any(Path(file).is_relative_to(one.folder) for file in outside)]
    local = [one for one in packages if one.folder is not None and root is not None and one.folder.is_relative_to(root)]
    return [one for one in packages if one not in local], sorted({one.name for one in local})


def _without_ours(environment: Environment, found: set[Path], named: set[Path]) -> set[Path]:
    """Packages without those that are imported for atrains alone: it brings them along, in the versions that it goes with."""
    names = {metadata: normalised(environment.describe(metadata).name) for metadata in found | named}
    ours = environment.brought_by([_OURS])
    kept = {metadata for metadata in found if metadata in named or names[metadata] not in ours}
    others = environment.brought_by(names[metadata] for metadata in kept if names[metadata] != _OURS)
    return kept | {metadata for metadata in found if names[metadata] in others}


def _editable(environment: Environment) -> Iterator[Installed]:
    for names in environment.folders.values():
        for metadata in names.values():
            if (metadata / "direct_url.json").is_file():
                one = environment.describe(metadata)
                if one.folder is not None:
                    yield one


def requirements_text(packages: Iterable[Installed], local: Iterable[str] = (), forced: Mapping[str, str] | None = None) -> str:
    """The text that agents read.

    Args:
        packages: What the program uses.
        local: Packages that it brings along.
        forced: Lines that somebody asked for, by normalised name; they replace what was found.
    """
    lines = {normalised(one.name): one.line for one in packages if normalised(one.name) not in _LEFT_OUT}
    lines |= forced or {}
    return "\n".join([header(), *(f"# Local: {name}" for name in local), "", *(lines[name] for name in sorted(lines))]) + "\n"


def header() -> str:
    """The first line, from which agents read the version of Python."""
    return f"# Python {' '.join(sys.version.split())}"


def forced_lines(wishes: Mapping[str, object], environment: Environment) -> dict[str, str]:
    """The lines of packages that somebody asked for, by normalised name.

    Args:
        wishes: Versions by name: None for the installed one, with or without an operator. A name may be the path of a file of
            requirements, which is taken line by line.
        environment: What is installed.

    Raises:
        OSError: such a file cannot be read any more.
    """
    lines: dict[str, str] = {}
    for name, version in wishes.items():
        if os.path.isfile(name):
            for line in Path(name).read_text("utf-8", "replace").splitlines():
                wanted = re.sub(r"(^|\s)#.*", "", line).strip()
                if wanted:
                    lines[normalised(re.split(r"[\s\[=<>!~;@]", wanted)[0] or wanted) if not wanted.startswith("-") else wanted] = wanted
            continue
        installed = environment.find(name.partition("[")[0]) if version is None else None
        text = str(version).strip() if version is not None else installed.version if installed else ""
        key = normalised(name.partition("[")[0])
        lines[key] = name if not text else f"{name} {text}" if _OPERATOR.match(text) else f"{name} == {text}"
    return lines
