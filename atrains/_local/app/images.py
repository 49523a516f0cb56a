"""Images on the page of a task: the latest of each title and series, from the server's own files. No script; everything is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, Final

from atrains._local.app import markup
from atrains._wire.artifacts import HOME_URL

_PICTURES: Final = (".jpeg", ".jpg", ".png", ".gif", ".webp", ".bmp", ".svg", ".avif")
_SHOWN: Final = 60


def section(events: Iterable[Mapping[str, Any]], link: Callable[[str], str]) -> str:
    """The latest image of each title and series; empty when there is none.

    Args:
        events: The images of a task.
        link: Makes of a recorded URL one that a browser can follow.
    """
    latest: dict[tuple[str, str], Mapping[str, Any]] = {}
    for event in sorted(events, key=lambda event: (event["iter"], event["key"])):
        latest[event["metric"], event["variant"]] = event
    drawn = "".join(_figure(latest[name], link) for name in sorted(latest)[:_SHOWN])
    more = f'<p class="none">and {len(latest) - _SHOWN} more series</p>' if len(latest) > _SHOWN else ""
    return f'<div class="charts">{drawn}</div>{more}' if drawn else ""


def _figure(event: Mapping[str, Any], link: Callable[[str], str]) -> str:
    title = markup.text(" / ".join(part for part in (event["metric"], event["variant"]) if part) or "(no title)")
    address, name = link(event["url"]), str(event["key"]).rpartition("/")[2]
    # Of other places only the address is shown: who looks at a page must not be told to them. (The policy of the page forbids it, too.)
    is_ours = event["url"].startswith(HOME_URL) and address.lower().partition("?")[0].endswith(_PICTURES)
    shown = f'<img src="{escape(address)}" alt="{title}" loading="lazy">' if is_ours else ""
    return (
        f'<figure class="sample"><figcaption>{title} <span class="none">iteration {event["iter"]}</span></figcaption>'
        f"{shown}<div>{markup.link(address, name or event['url'])}</div></figure>"
    )
