"""What secrets look like where they stand in a text: patterns alone.

Apart from `redact`, which most programs need only to find that they hold no secret: making the patterns takes longer than that.
"""

from __future__ import annotations

import re
from typing import Final

from atrains._capture.redact import NAME

_WORD: Final = r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]*"
KEYS: Final = re.compile(
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
PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)(?=@)")
USER_IN_URL: Final = re.compile(r"(?<=https://)([A-Za-z0-9_-]{20,})(?=@)")  # a token in place of a user
BEARER: Final = re.compile(
    r"(?P<before>authorization[\"'\]\\]*\s{0,9}[:=,]\s{0,9}[rbfu]{0,2}\\?[\"']?(?:bearer|basic|token|apikey)\s{1,9}"
    r"|(?<![a-z])bearer\s{1,9}(?=[^\s\"']{0,200}\d))(?P<value>[^\s\"'\\{}<>$,;()]{6,})",
    re.IGNORECASE,
)
# Quotes may stand behind a backslash, as in a notebook, which is JSON.
_IS: Final = r"""\d*(?:\\?["'\]])*\s{0,9}(?::\s{0,9}str\s{0,9})?[:=]\s{0,9}[rbfu]{0,2})(?P<quote>\\?["'])"""
_QUOTED: Final = r"(?P<value>(?:(?!(?P=quote))(?:[^\\\n]|\\.))+)(?P=quote)"
ASSIGNED: Final = re.compile(rf"(?P<before>{_WORD}{NAME}{_IS}{_QUOTED}", re.IGNORECASE)
# A model's tokens, such as `pad_token="[PAD]"`, are no secrets: a secret one is long and looks random.
TOKEN_ASSIGNED: Final = re.compile(rf"(?P<before>{_WORD}token{_IS}(?P<value>[A-Za-z0-9_\-.+/=]{{16,}})(?P=quote)", re.IGNORECASE)
# `--password word`, and the same as the items of a list; the option may also be given a default.
OPTION: Final = re.compile(
    rf"""(?P<before>(?<![\w-])--?[A-Za-z0-9_.-]{{0,40}}(?:{NAME}|token)\d*(?:=|\s+))"""
    r"""(?P<quote>)(?P<value>(?![-$<{(%*])(?=[^\s"',;)]{8}|[^\s"',;)]*\d)[^\s"'\\,;)]{4,})""",
    re.IGNORECASE,
)
ITEM: Final = re.compile(
    rf"""(?P<before>(?:["']--?|(?:getenv|environ\.get|setdefault|setenv)\(\s*["'])[A-Za-z0-9_.-]{{0,40}}(?:{NAME}|token)\d*["']\s*,"""
    rf"""\s*(?:[^"'\n]{{0,99}}\bdefault\s*=\s*)?[rbfu]{{0,2}})(?P<quote>["'])(?!-){_QUOTED}""",
    re.IGNORECASE,
)
# In a text within the program: `"PASSWORD=word command"`, `"host=there password=word"`, `"https://there?token=word"`. A keyword of a call
# stands behind a comma or a bracket, and is none of these.
INSIDE: Final = re.compile(
    rf"""(?P<before>(?:["'](?:[^"',()\n]{{0,99}}[\s;&?])?|[?&;]|\b(?:export|env|arg)\s+|-e\s+)[A-Za-z0-9_.-]{{0,40}}"""
    rf"""(?:{NAME}|(?:token|sig)(?==[^\s"'&;]{{16}}))\d*=)(?P<quote>)(?P<value>[^\s"'$<{{&;(%\[\\*][^\s"'&;\\]{{3,}})""",
    re.IGNORECASE,
)
ELEMENT: Final = re.compile(
    rf"""(?P<before><[\w.:-]{{0,40}}(?:{NAME}|token)>|\bmachine\s+\S+\s+(?:login\s+\S+\s+)?password\s+)(?P<quote>)(?P<value>(?:(?<=>)[^<\s$]+(?=</)|(?<=\s)\S+))""",
    re.IGNORECASE,
)
BARE: Final = re.compile(
    rf"""(?P<before>^[ +-]?\s*(?:(?:export|env|arg|set)\s+)?["']?[A-Za-z0-9_.-]*(?:{NAME}|token)\d*["']?\s*[:=]\s*)"""
    r"""(?P<value>[^\s"'#$<{][^\s#]*)""",
    re.IGNORECASE | re.MULTILINE,
)
PRIVATE_KEY: Final = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL)
KEY_TEXT: Final = re.compile(
    r"^(?P<lead>[ +-]?[ \t]*[\"']?)[A-Za-z0-9+/]+={0,2}(?=(?:\\n)?[\"']?,?\s*$)"
    r"|(?<=\\n)[A-Za-z0-9+/]+={0,2}"
    r"|(?:(?<=\n[ +-])|(?<![A-Za-z0-9+/\n]))[A-Za-z0-9+/]{16,}={0,2}",
    re.MULTILINE,
)
# A patch may hold the beginning or the end of one alone.
KEY_BEGUN: Final = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----\s*?)((?:\n[ +-]?[ \t]*[A-Za-z0-9+/]{16,}={0,2}[ \t\r]*)+)")
KEY_ENDED: Final = re.compile(
    r"((?:^[ +-]?[ \t]*[A-Za-z0-9+/]{16,}={0,2}[ \t\r]*\n)+(?:^[ +-]?[ \t]*[A-Za-z0-9+/]+={0,2}[ \t\r]*\n)?)"
    r"(?=^[ +-]?[ \t]*-----END [A-Z ]*PRIVATE KEY-----)",
    re.MULTILINE,
)
