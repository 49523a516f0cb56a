"""The HTML of the pages: the document around them, and the tables in them. Everything that comes from a run is escaped here. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final
from urllib.parse import quote

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would not show, or show other text than is there."""

_WHOLE: Final = 1e12
"""Below it whole numbers are shown in full."""

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
"""Nothing but what stands in the page: no script runs, whatever a run is called."""

_STYLE: Final = """
:root{--ground:#fff;--text:#1c1e21;--soft:#667;--line:#dde1e6;--card:#f7f8fa;--link:#2454c4}
@media(prefers-color-scheme:dark){:root{--ground:#15171a;--text:#e4e6ea;--soft:#98a0ab;--line:#31363d;--card:#1c1f24;--link:#82a8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1280px;padding:16px 24px 64px;background:var(--ground);color:var(--text);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
header{display:flex;gap:16px;align-items:baseline;color:var(--soft);font-size:13px;padding-bottom:8px;border-bottom:1px solid var(--line)}
header b a{color:var(--text)}header form{margin-left:auto}
h1{font-size:22px;margin:20px 0 4px;overflow-wrap:anywhere}h2{font-size:15px;margin:32px 0 8px}
h3{font-size:13px;margin:16px 0 6px;overflow-wrap:anywhere}
.none{color:var(--soft)}
.status{display:inline-block;padding:1px 10px;border-radius:10px;font-size:12px;background:#8a93a0;color:#fff;vertical-align:middle}
.completed,.published,.closed{background:#23864b}.failed{background:#c93636}.in_progress{background:#2454c4}.stopped{background:#a86a00}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:5px 16px 5px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th{white-space:nowrap}td:not(:last-child){min-width:12ch}
th{color:var(--soft);font-weight:500;font-size:12px}td.name{width:32%}td.number,th.number{text-align:right}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:6px 24px;margin:12px 0 0}
.facts div{overflow-wrap:anywhere}.facts span{color:var(--soft);display:block;font-size:12px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(440px,100%),1fr));gap:16px}
figure{margin:0;padding:12px;border:1px solid var(--line);border-radius:8px;background:var(--card);min-width:0}
figcaption{font-weight:600;margin-bottom:4px;overflow-wrap:anywhere}
.sample img{max-width:100%;max-height:360px;display:block;margin:6px 0}
.chart{width:100%;height:auto;display:block}
.chart .grid path{stroke:var(--line);fill:none}.chart .grid .axis{stroke:var(--soft)}.chart .grid text{fill:var(--soft);font-size:11px}
.chart .line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.charts+table{margin-top:16px}
.wide{overflow:auto;max-height:600px}.wide td{overflow-wrap:break-word;min-width:0}
.matrix{width:auto}.matrix td,.matrix th{padding:4px 10px;text-align:right;border:0;white-space:nowrap}
.figure{min-height:420px}
ul.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 16px;margin:6px 0 0;padding:0;font-size:12px;max-height:108px;overflow:auto}
.legend li{overflow-wrap:anywhere}.legend b{font-weight:500;color:var(--soft)}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
pre{margin:0;padding:12px;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:auto;max-height:480px;
font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
form.login{max-width:340px;margin:12vh auto;padding:24px;border:1px solid var(--line);border-radius:8px;background:var(--card)}
form.login input{width:100%;margin:4px 0 12px;padding:8px;border:1px solid var(--line);border-radius:6px;font:inherit;
background:var(--ground);color:var(--text)}
button{font:inherit;padding:6px 16px;border:1px solid var(--line);border-radius:6px;background:var(--card);color:var(--text);cursor:pointer}
.error{color:#c93636}
"""
"""Of what plotly draws nothing may match: it has its own `line`, `legend` and `svg`, and a rule for those hides its texts."""


def text(value: object) -> str:
    """A value of a run as text of a page."""
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", str(value))).encode("utf-8", "replace").decode())


def number_text(value: float, digits: int = 6) -> str:
    """A number with so many digits; a whole one in full, where that can be read."""
    return f"{value:.0f}" if abs(value) < _WHOLE and float(value).is_integer() else f"{value:.{digits}g}"


def console(messages: Iterable[str]) -> str:
    """Console lines; of a line that was written over and over only its last state."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for message in messages for line in message.split("\n")]
    return f"<pre>{text(chr(10).join(lines))}</pre>"


def link(url: str, shown: object) -> str:
    """A link to a place on this server, or to one of the web; any other address is shown and leads nowhere."""
    if url.startswith("/") or re.match(r"https?://", url):
        return f'<a href="{escape(url)}" rel="noreferrer noopener">{text(shown)}</a>'
    return text(shown)


def path_of(*parts: str) -> str:
    """A path on this server."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def status(name: object) -> str:
    """A task's status as a mark."""
    known = name if name in {"completed", "published", "closed", "failed", "in_progress", "stopped"} else ""
    return f'<span class="status {known}">{text(name)}</span>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Short facts under their names; those without a value are left out."""
    shown = "".join(f"<div><span>{escape(name)}</span>{text(value)}</div>" for name, value in pairs if value not in (None, "", [], {}))
    return f'<div class="facts">{shown}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of heads that are text, and of cells that are HTML already."""
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def section(title: str, body: str) -> str:
    """A part of a page under a heading; nothing when it is empty."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def document(title: str, body: str, *, refresh: int = 0, logged_in: bool = False) -> str:
    """A whole page.

    Args:
        title: What the browser shows as its name.
        body: HTML.
        refresh: Seconds after which the browser loads it again; 0 for never.
        logged_in: Whether there is something to log out from.
    """
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    leave = '<form method="post" action="/logout"><button>Log out</button></form>' if logged_in else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{again}'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>"
        f'<header><b><a href="/">atrains</a></b>{leave}</header>{body}</body></html>'
    )
