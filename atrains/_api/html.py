"""How a task or an artifact looks in a notebook: a small table. Names are those of strangers, so everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_LINKED: Final = ("http://", "https://", "file://")
"""What a link may lead to: an address comes from a record too, and `javascript:` is an address."""


def table(kind: str, title: str, url: str, rows: Iterable[tuple[str, object]]) -> str:
    """A table as HTML.

    Args:
        kind: The name of the class.
        title: What stands in the first line, a link to `url`.
        url: Where it leads; not linked unless it is one of http, https or file.
        rows: Names and values; those without a value (None or empty) are left out.
    """
    shown = escape(title)
    if url.lower().startswith(_LINKED):
        shown = f'<a href="{escape(url)}" target="_blank" rel="noopener">{shown}</a>'
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows if value not in (None, ""))
    return f"<table><thead><tr><th>{escape(kind)}</th><th>{shown}</th></tr></thead><tbody>{cells}</tbody></table>"
