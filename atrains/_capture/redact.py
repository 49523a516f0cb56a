"""Secrets taken out of what is recorded of a program: its text, its changes, its arguments, its variables. Pure; the program keeps its own.

What is found: the values that the settings and the environment hold as secrets, texts that look like the keys of well-known services,
passwords in URLs, private keys, and what is assigned to a name such as `password` or `api_key`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

MARK: Final = "***"
_SHORTEST: Final = 6
"""Characters of the shortest secret value that is looked for everywhere: shorter ones stand in innocent words."""

NAME: Final = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?key)?|(?:api|access|private|auth|account|encryption|signing|master)[_-]?key"
    r"|connection[_-]?string|credentials?)"
)
_SECRET_NAME: Final = re.compile(
    rf"(?:^|[^a-z]){NAME}\d*(?:$|[^a-z])|(?:passw(?:or)?d|sshpass)\d*(?:$|[^a-z])|(?:^|[^a-z])token\d*$|_pass$", re.IGNORECASE
)
_ABOUT_SECRETS: Final = re.compile(r"[_-](?:file|path|dir|stdin|name|length|len|prompt|field|column|policy|env|var)$", re.IGNORECASE)
"""Endings of names of what says something about a secret, and is none."""
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_SECRETS: Final = frozenset({"PWD", "OLDPWD"})
_NAME_HINTS: Final = ("passw", "passphrase", "pwd", "secret", "key", "credential", "token", "connection", "authorization", "bearer", "sig=")
_KEY_HINTS: Final = ("AKIA", "ASIA", "gh", "glpat-", "xox", "sk-", "AIza", "hf_", "pypi-", "eyJ", "://")
"""One of these is in each line that holds a secret; they are found a hundred times faster than the patterns."""
_CONFIGURATION: Final = (
    *(".env", ".envrc", ".yaml", ".yml", ".ini", ".cfg", ".toml", ".conf", ".properties", ".sh", ".tfvars", ".npmrc", ".pypirc"),
    *("credentials", "dockerfile", ".txt", ".md"),
)
"""Endings of files in which a value needs no quotes."""
_KEY_BEGINS: Final = "PRIVATE KEY-----"
_PLACEHOLDER: Final = re.compile(
    r"[*.]+|x{3,}|(?:%[sdr]:?)+|<.*>|\$\{?\w+\}?|\{.*\}|%\(\w+\)s|none|null|true|false|[\w./~-]*\.(?:json|pem|ya?ml|txt|ini|cfg|toml|conf|env)",
    re.IGNORECASE,
)
_VARIABLE: Final = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
_PIECE: Final = 1 << 14
"""Characters that are looked through at once, with the interpreter's lock held: some milliseconds."""


def without_credentials(url: str) -> str:
    """A URL without password, and without a user where that is no part of the address, as it is with ssh."""
    before, separator, rest = url.rpartition("://")  # behind the name of a helper, as in `hg::https://`
    if not separator or before.endswith("file"):
        return url  # a path, or `git@host:path`, which holds no password
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, host = authority.rpartition("@")
    if (at and not host) or (not at and re.search(r":(?!\d*$)[^\]]*$", authority)):  # no port: a password with a slash in it
        user, at, _ = rest.rpartition("@")
    kept = user.partition(":")[0] + at if "ssh" in before and user else ""
    path, hash_, fragment = rest[len(user) + len(at) :].partition("#")
    return f"{before}://{kept}{path.partition('?')[0]}{hash_}{fragment}"


def is_secret_name(name: str) -> bool:
    """Whether what has this name, an option or a variable, is likely to be a secret."""
    name = name.strip("-")
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(_CAMEL.sub("_", name))) and not _ABOUT_SECRETS.search(name)


def secrets_of(variables: Mapping[str, str]) -> list[str]:
    """The values of variables whose names say that they are secrets."""
    return [value for name, value in variables.items() if is_secret_name(name)]


class Redactor:
    """Takes secrets out of texts.

    Args:
        secrets: Values to take out wherever they stand; short ones are left alone.

    Attributes:
        count: Places that were redacted so far.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST and not _PLACEHOLDER.fullmatch(secret)}, key=len)
        self._known = re.compile("|".join(map(re.escape, reversed(known)))) if known else None
        self.count = 0

    def text(self, text: str, *, file: str = "") -> str:
        """A program, a patch or anything else, with a mark in place of each secret. Lines stay lines.

        Args:
            text: What to look through.
            file: Its name: in a file of settings a value needs no quotes.
        """
        bare = file.lower().endswith(_CONFIGURATION) or "/.env" in f"/{file}"
        text = "".join(self._piece(piece, bare=bare) for piece in _pieces(text))
        return self._private_keys(text) if _KEY_BEGINS in text else text

    def _piece(self, text: str, *, bare: bool) -> str:
        if self._known is not None:
            text = self._known.sub(lambda found: self._mark(found[0]), text)
        if not _may_hold_secrets(text):
            return text
        return "".join(self._line(line, bare=bare) if _may_hold_secrets(line) else line for line in text.splitlines(keepends=True))

    def _line(self, text: str, *, bare: bool) -> str:
        from atrains._capture import secret_texts as texts

        text = self._plain(text)
        anywhere = (texts.ASSIGNED, texts.TOKEN_ASSIGNED, texts.OPTION, texts.ITEM, texts.INSIDE, texts.ELEMENT)
        for pattern in (*anywhere, texts.BARE) if bare else anywhere:
            text = pattern.sub(self._value, text)
        return text

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """Arguments of a command line, with a mark in place of each secret."""
        redacted: list[str] = []
        follows = False
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if follows and not argument.startswith("--"):
                redacted.append(self._mark(argument))
            elif equals and value and is_secret_name(name):
                redacted.append(f"{name}={self._mark(value)}")
            elif equals and name and name[0] not in "\"'{[":
                redacted.append(f"{self._piece(name, bare=False)}={self.arguments([value])[0]}")
            else:
                redacted.append(self._piece(argument, bare=False))
            follows = not equals and argument.startswith("-") and is_secret_name(argument)
        return redacted

    def is_secret(self, name: str, value: str) -> bool:
        """Whether a variable holds a secret, by its name or its value."""
        before = self.count
        return is_secret_name(name) or (self._plain(value) != value and self.count > before)

    def _plain(self, text: str) -> str:
        """What is a secret wherever it stands."""
        from atrains._capture import secret_texts as texts

        if self._known is not None:
            text = self._known.sub(lambda found: self._mark(found[0]), text)
        text = texts.KEYS.sub(lambda found: self._mark(found[0]), text)
        text = texts.PASSWORD_IN_URL.sub(lambda found: f"{found[1]}:{self._mark(found[2])}", text)
        text = texts.USER_IN_URL.sub(lambda found: self._mark(found[1]), text)
        return texts.BEARER.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        from atrains._capture.secret_texts import ITEM

        quote = found.groupdict().get("quote") or ""
        value = found["value"]
        if is_secret_name(value) and (found.re is ITEM or _VARIABLE.fullmatch(value)):
            return found[0]  # the name of a variable, or that which the option gets in the program
        return f"{found['before']}{quote}{self._mark(found['value'])}{quote}"

    def _private_keys(self, text: str) -> str:
        from atrains._capture import secret_texts as texts

        def masked(key: str) -> str:
            return texts.KEY_TEXT.sub(lambda found: (found["lead"] or "") + self._mark(found[0]), key)

        text = texts.PRIVATE_KEY.sub(lambda found: found[1] + masked(found[2]) + found[3], text)
        text = texts.KEY_BEGUN.sub(lambda found: found[1] + masked(found[2]), text)
        return texts.KEY_ENDED.sub(lambda found: masked(found[1]), text)

    def _mark(self, secret: str) -> str:
        if _PLACEHOLDER.fullmatch(secret):
            return secret
        self.count += 1
        return MARK


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces that end with a line, if a line is not longer than a piece."""
    at = 0
    while at < len(text):
        end = text.rfind("\n", at, at + _PIECE) + 1
        end = end if end > at and at + _PIECE < len(text) else at + _PIECE
        yield text[at:end]
        at = end


def _may_hold_secrets(text: str) -> bool:
    if any(hint in text for hint in _KEY_HINTS):
        return True
    lower = text.lower()
    return any(hint in lower for hint in _NAME_HINTS)
