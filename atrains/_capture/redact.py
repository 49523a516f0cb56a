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

_NAME: Final = r"(?:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?key)?|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?key|credentials?)"
_SECRET_NAME: Final = re.compile(rf"(?:^|[^a-z]){_NAME}\d*(?:$|[^a-z])|(?:^|[^a-z])token$|_pass$", re.IGNORECASE)
_NO_SECRETS: Final = frozenset({"PWD", "OLDPWD"})
_WORD: Final = r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]*"
_KEYS: Final = re.compile(
    r"(?<![A-Za-z0-9_+-])(?:"
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"  # Amazon
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}"
    r"|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}"  # OpenAI and others
    r"|AIza[A-Za-z0-9_-]{35}"  # Google
    r"|hf_[A-Za-z0-9]{30,}"
    r"|pypi-[A-Za-z0-9_-]{40,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"  # a JSON web token
    r")(?![A-Za-z0-9_])"
)
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)(?=@)")
_USER_IN_URL: Final = re.compile(r"(?<=https://)([A-Za-z0-9_-]{20,})(?=@)")  # a token in place of a user
_NAME_HINTS: Final = ("passw", "passphrase", "pwd", "secret", "key", "credential", "token")
_KEY_HINTS: Final = ("AKIA", "ASIA", "gh", "glpat-", "xox", "sk-", "AIza", "hf_", "pypi-", "eyJ", "://")
"""One of these is in each line that holds a secret; they are found a hundred times faster than the patterns."""
_IS: Final = r"""\d*["'\]]*\s{0,9}(?::\s{0,9}str\s{0,9})?[:=]\s{0,9})(?P<quote>["'])"""
_ASSIGNED: Final = re.compile(rf"""(?P<before>{_WORD}{_NAME}{_IS}(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.)+)(?P=quote)""", re.IGNORECASE)
# A model's tokens, such as `pad_token="[PAD]"`, are no secrets: a secret one is long and looks random.
_TOKEN_ASSIGNED: Final = re.compile(rf"(?P<before>{_WORD}token{_IS}(?P<value>[A-Za-z0-9_\-.+/=]{{16,}})(?P=quote)", re.IGNORECASE)
_BARE: Final = re.compile(
    rf"""(?P<before>^[ +-]?\s*(?:export\s+)?[A-Za-z0-9_.-]*(?:{_NAME}|token)\d*\s*[:=]\s*)(?P<value>[^\s"'#$<{{][^\s#]*)""",
    re.IGNORECASE | re.MULTILINE,
)
_CONFIGURATION: Final = (".env", ".yaml", ".yml", ".ini", ".cfg", ".toml", ".conf", ".properties", ".sh")
"""Endings of files in which a value needs no quotes."""
_PRIVATE_KEY: Final = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL)
_KEY_BEGINS: Final = "PRIVATE KEY-----"
_KEY_LINE: Final = re.compile(r"^([ +-]?)[A-Za-z0-9+/=:,. -]{16,}\s*?$|(?<=\\n)[A-Za-z0-9+/=]+", re.MULTILINE)
_PLACEHOLDER: Final = re.compile(r"[*.]+|x{3,}|<.*>|\$\{?\w+\}?|\{.*\}|%\(\w+\)s|none|null|true|false", re.IGNORECASE)
_BINARY: Final = "\nGIT binary patch\n"
_PIECE: Final = 1 << 14
"""Characters that are looked through at once, with the interpreter's lock held: some milliseconds."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name, an option or a variable, is likely to be a secret."""
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(name.strip("-")))


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
        if _BINARY in text:
            return text
        bare = file.lower().endswith(_CONFIGURATION) or "/.env" in f"/{file}"
        text = "".join(self._piece(piece, bare=bare) for piece in _pieces(text))
        return _PRIVATE_KEY.sub(self._private_key, text) if _KEY_BEGINS in text else text

    def _piece(self, text: str, *, bare: bool) -> str:
        if self._known is not None:
            text = self._known.sub(lambda found: self._mark(found[0]), text)
        if not _may_hold_secrets(text):
            return text
        return "".join(self._line(line, bare=bare) if _may_hold_secrets(line) else line for line in text.splitlines(keepends=True))

    def _line(self, text: str, *, bare: bool) -> str:
        text = self._plain(text)
        for pattern in (_ASSIGNED, _TOKEN_ASSIGNED, *((_BARE,) if bare else ())):
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
            else:
                redacted.append(self._plain(argument))
            follows = not equals and argument.startswith("-") and is_secret_name(argument)
        return redacted

    def is_secret(self, name: str, value: str) -> bool:
        """Whether a variable holds a secret, by its name or its value."""
        before = self.count
        return is_secret_name(name) or (self._plain(value) != value and self.count > before)

    def _plain(self, text: str) -> str:
        """What is a secret wherever it stands."""
        if self._known is not None:
            text = self._known.sub(lambda found: self._mark(found[0]), text)
        text = _KEYS.sub(lambda found: self._mark(found[0]), text)
        text = _PASSWORD_IN_URL.sub(lambda found: f"{found[1]}:{self._mark(found[2])}", text)
        return _USER_IN_URL.sub(lambda found: self._mark(found[1]), text)

    def _value(self, found: re.Match[str]) -> str:
        quote = found.groupdict().get("quote") or ""
        return f"{found['before']}{quote}{self._mark(found['value'])}{quote}"

    def _private_key(self, found: re.Match[str]) -> str:
        return found[1] + _KEY_LINE.sub(lambda line: (line[1] or "") + self._mark(line[0]), found[2]) + found[3]

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
