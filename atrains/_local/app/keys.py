"""The keys of a home's server: the pair that clients log in with, and the one that signs tokens. Made once and kept in the home."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import orjson

from atrains._local.records import now
from atrains.errors import HomeError

FILE_NAME: Final = "server.json"
_PARTS: Final = ("access_key", "secret_key", "signing_key")


@dataclass(frozen=True, slots=True)
class Keys:
    """What a server knows its clients by. The secrets are left out of its `repr`.

    Attributes:
        access_key: The user key of the key pair.
        secret_key: Its secret.
        signing_key: What tokens are signed with; whoever has it can make tokens.
    """

    access_key: str
    secret_key: str = field(repr=False)
    signing_key: str = field(repr=False)


def load_keys(home: Path, *, access_key: str | None = None, secret_key: str | None = None) -> Keys:
    """Return the keys of a home; makes them, readable by their owner alone, where there are none.

    Args:
        home: The folder of the home; it is there already.
        access_key: Used in place of the stored one; not stored.
        secret_key: As `access_key`.

    Raises:
        HomeError: the file cannot be made or read.
    """
    path = home / FILE_NAME
    try:
        keys = _read(path) or _make(path)
    except OSError as error:
        raise HomeError(error.errno, f"the keys of the server cannot be kept ({error.strerror}: {path}); make the home writable") from error
    if access_key is None or secret_key is None:
        return keys
    return replace(keys, access_key=access_key, secret_key=secret_key)


def _read(path: Path) -> Keys | None:
    try:
        stored = orjson.loads(path.read_bytes())
        return Keys(*(str(stored[part]) for part in _PARTS))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{path} holds no keys ({error}); put it back from a copy, or delete it: new keys are made then") from error


def _make(path: Path) -> Keys:
    keys = Keys(secrets.token_hex(10).upper(), secrets.token_urlsafe(32), secrets.token_hex(32))
    temporary = path.with_name(f"{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            content = {**{part: getattr(keys, part) for part in _PARTS}, "created": now()}
            file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        with suppress(FileExistsError):  # another server of this home was faster: its keys hold
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return _read(path) or keys
