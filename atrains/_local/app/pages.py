"""The web pages: which there are, who may see them, and where what stands in them comes from. Their HTML is in `markup` and `charts`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

from aiohttp import hdrs, web

from atrains._local import services
from atrains._local.app import addresses, charts, images, markup, plots
from atrains._local.app.api import set_cookie
from atrains._local.app.auth import COOKIE, Doorkeeper
from atrains._local.app.tokens import USUAL_SECONDS, Identity, Tokens
from atrains._local.app.work import Work
from atrains._local.services.images import images_of
from atrains._local.store import Store
from atrains._wire import endpoints
from atrains._wire.artifacts import HOME_URL
from atrains._wire.images import with_own_file
from atrains._wire.metrics import shown_title
from atrains.errors import ServerError

_TASK: Final = re.compile(r"/projects/(?:[^/]+)/(?:experiments|tasks)/(?P<task>[0-9A-Za-z_-]{1,64})(?:/.*)?")
"""Server: below 2.31 a task's page is under `experiments`, from then on under `tasks`; the project may be a star."""
_PLOTS: Final = re.compile(r"/projects/(?:[^/]+)/tasks/(?P<task>[0-9A-Za-z_-]{1,64})/plots/?")
"""Our own: each of a task's plots, drawn."""
_PROJECT: Final = re.compile(r"/projects/(?P<project>[0-9a-f]{32})/?")
_SHOWN_TASKS: Final = 500
_SHOWN_LINES: Final = 300
_SHOWN_CHARTS: Final = 60
_SHOWN_PLOTS: Final = 100
_SAMPLES: Final = 400
_REFRESH: Final = 20
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Pages:
    """Answers what people look at.

    Args:
        store: The home.
        doorkeeper: Who lets them in.
        tokens: What the links to files are made with.
        work: Runs what touches the disk.
        open_here: Whether somebody at this machine needs no login.
    """

    def __init__(self, store: Store, doorkeeper: Doorkeeper, tokens: Tokens, work: Work, *, open_here: bool) -> None:
        self._store, self._doorkeeper, self._tokens, self._work = store, doorkeeper, tokens, work
        self._open_here = open_here

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse | None:
        """The page of a path; None when there is none there."""
        if request.method == hdrs.METH_POST:
            return await self._answer_form(request, path)
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return None
        if path == "/login":
            return _page("Log in", _login_form(request.query.get("next", "/")))
        if (script := _script(path)) is not None:
            return script
        make = self._page_of(path)
        if make is None:
            return None
        visitor = self._visitor(request)
        if visitor is None:
            return web.Response(status=303, headers={hdrs.LOCATION: f"/login?next={quote(path, safe='')}"})
        try:
            title, body, refresh = await self._work.run(make)
        except ServerError as error:
            if error.code != 400:
                raise
            return _page("Not found", f"<h1>Not found</h1><p>{markup.text(error)}</p>", status=404)
        policy = plots.POLICY if _PLOTS.fullmatch(path) else markup.POLICY
        return _page(title, body, refresh=refresh, logged_in=request.cookies.get(COOKIE) is not None, policy=policy)

    def _page_of(self, path: str) -> Callable[[], tuple[str, str, int]] | None:
        if path == "/":
            return lambda: self._index(None)
        if (found := _PROJECT.fullmatch(path)) is not None:
            project = found["project"]
            return lambda: self._index(project)
        if (found := _PLOTS.fullmatch(path)) is not None:
            task = found["task"]
            return lambda: self._gallery(task)
        if (found := _TASK.fullmatch(path)) is not None and "." not in found["task"]:
            task = found["task"]
            return lambda: self._task(task)
        return None

    def _visitor(self, request: web.Request) -> Identity | None:
        """Who looks: somebody who is logged in, or who sits at this machine, where that is enough."""
        if self._open_here and _is_here(request):
            return Identity()
        try:
            return self._doorkeeper.identify(request)
        except ServerError:
            return None

    async def _answer_form(self, request: web.Request, path: str) -> web.Response | None:
        if path == "/logout":
            response = web.Response(status=303, headers={hdrs.LOCATION: "/"})
            response.del_cookie(COOKIE, path="/")
            return response
        if path != "/login":
            return None
        form = await request.post()
        following = str(form.get("next", "/"))
        if not self._doorkeeper.is_pair(str(form.get("access_key", "")), str(form.get("secret_key", ""))):
            return _page("Log in", _login_form(following, wrong=True), status=401)
        response = web.Response(status=303, headers={hdrs.LOCATION: _own_path(following)})
        set_cookie(response, self._tokens.issue(Identity()), USUAL_SECONDS)
        return response

    def _call(self, endpoint: endpoints.Endpoint, **request: Any) -> dict[str, Any]:
        return services.call(self._store, endpoint, request)

    def _index(self, project: str | None) -> tuple[str, str, int]:
        chosen = {"project": [project]} if project else {}
        if project:
            self._call(endpoints.PROJECTS_GET_BY_ID, project=project)
        fields = ["name", "project.name", "project.id", "status", "type", "last_iteration", "last_update", "created", "tags"]
        found = self._call(endpoints.TASKS_GET_ALL_EX, **chosen, only_fields=fields, order_by=["-created"], page=0, page_size=_SHOWN_TASKS)[
            "tasks"
        ]
        rows = [_index_row(task) for task in found]
        more = f'<p class="none">The newest {_SHOWN_TASKS} are shown.</p>' if len(found) == _SHOWN_TASKS else ""
        listed = markup.table(["Task", "Project", "Status", "Type", "Iteration", "Updated"], rows) if rows else ""
        title = found[0]["project"]["name"] if project and found else "Tasks"
        return title, f"<h1>{markup.text(title)}</h1>{listed or '<p class=none>Nothing was recorded yet.</p>'}{more}", 0

    def _task(self, task: str) -> tuple[str, str, int]:
        record = self._call(endpoints.TASKS_GET_BY_ID, task=task)["task"]
        curves = self._call(endpoints.EVENTS_SCALAR_HISTOGRAM, task=task, samples=_SAMPLES)
        values = self._call(endpoints.EVENTS_SINGLE_VALUES, tasks=[task])["tasks"]
        lines = self._call(endpoints.EVENTS_GET_TASK_LOG, task=task, batch_size=_SHOWN_LINES)["events"]
        figures = self._plots(task)
        title = str(record["name"])
        body = [
            f"<h1>{markup.text(title)} {markup.status(record['status'])}</h1>",
            self._facts_of(record),
            markup.section("Single values", _single_values(values)),
            markup.section("Scalars", _charts(curves, _last_values(record))),
            markup.section(
                "Plots", plots.overview(figures, markup.path_of("projects", record.get("project") or "*", "tasks", task, "plots"))
            ),
            markup.section("Images", images.section(with_own_file(images_of(self._store, task)), self._file_link)),
            markup.section("Parameters", _parameters(record)),
            markup.section("Configuration", _configuration(record)),
            markup.section("Artifacts", self._artifacts(record)),
            markup.section("Console", markup.console(line["msg"] for line in reversed(lines)) if lines else ""),
        ]
        return title, "".join(body), _REFRESH if record["status"] == "in_progress" else 0

    def _gallery(self, task: str) -> tuple[str, str, int]:
        record = self._call(endpoints.TASKS_GET_BY_ID, task=task)["task"]
        title, back = str(record["name"]), markup.path_of("projects", record.get("project") or "*", "tasks", task)
        body = plots.gallery(self._plots(task))
        if plots.library() is None:
            body = "<p class=none>Plots are drawn once the package plotly is installed beside atrains.</p>"
        return title, f"<h1>{markup.link(back, title)}</h1>{body}", 0

    def _plots(self, task: str) -> list[dict[str, Any]]:
        """The newest plot of each title and series, by name; a hundred at most."""
        found: list[dict[str, Any]] = self._call(endpoints.EVENTS_GET_TASK_PLOTS, task=task)["plots"][:_SHOWN_PLOTS]
        return sorted(found, key=lambda plot: (plot["metric"], plot["variant"]))

    def _facts_of(self, record: dict[str, Any]) -> str:
        project = record.get("project")
        name = self._call(endpoints.PROJECTS_GET_BY_ID, project=project)["project"]["name"] if project else ""
        pairs = [
            ("Project", name), ("Id", record["id"]), ("Type", record.get("type")), ("Tags", ", ".join(record.get("tags") or [])),
            ("Created", _moment(record.get("created"))), ("Started", _moment(record.get("started"))),
            ("Ended", _moment(record.get("completed"))), ("Last iteration", record.get("last_iteration")),
            ("Reason", record.get("status_reason")), ("Message", record.get("status_message")), ("Comment", record.get("comment")),
        ]  # fmt: skip
        return markup.facts(pairs)

    def _artifacts(self, record: dict[str, Any]) -> str:
        artifacts = (record.get("execution") or {}).get("artifacts") or []
        rows = []
        for artifact in artifacts:
            uri, size = str(artifact.get("uri") or ""), artifact.get("content_size")
            link = markup.link(self._file_link(uri), artifact["key"])
            preview = str((artifact.get("type_data") or {}).get("preview") or "")[:300]
            shown = f"{size:,}" if isinstance(size, int) else ""
            rows.append([link, markup.text(artifact.get("type", "")), shown, markup.text(preview)])
        return markup.table(["Name", "Type", "Bytes", "Preview"], rows) if rows else ""

    def _file_link(self, uri: str) -> str:
        """A link that a browser can follow: to a file of the home with a ticket for it."""
        path = addresses.to_client(uri, "")
        if not uri.startswith(HOME_URL):
            return path
        name = uri.removeprefix(HOME_URL)
        return f"/{quote(name)}?ticket={self._tokens.ticket(name)}"


def _is_here(request: web.Request) -> bool:
    """Whether a request comes from this machine, and was meant for it.

    A name that leads to this machine may be anybody's (a page of theirs would then read ours), and a proxy on this machine may pass on
    what comes from anywhere: neither counts.
    """
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    try:
        near = ipaddress.ip_address(peer[0]).is_loopback if peer else False
    except ValueError:
        near = False
    host = re.sub(r":\d+$", "", request.host)
    return near and host in {"127.0.0.1", "localhost", "[::1]"} and not any(name in request.headers for name in _FORWARDED)


def _own_path(path: str) -> str:
    """A path on this server: never another server's address, which `//host` would be."""
    return path if re.fullmatch(r"/(?![/\\])[^\x00-\x20\\]*", path) else "/"


def _script(path: str) -> web.StreamResponse | None:
    """A script of the page with plots: plotly's, from its package, and the one that calls it; both are no secret."""
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=3600", hdrs.CONTENT_TYPE: "text/javascript; charset=utf-8"}
    if path == plots.SCRIPT_PATH:
        return web.Response(body=plots.SCRIPT.encode(), headers=headers)
    library = plots.library() if path == plots.LIBRARY_PATH else None
    return None if library is None else web.FileResponse(library, headers=headers)


def _page(
    title: str, body: str, *, status: int = 200, refresh: int = 0, logged_in: bool = False, policy: str = markup.POLICY
) -> web.Response:
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    document = markup.document(title, body, refresh=refresh, logged_in=logged_in)
    return web.Response(status=status, body=document.encode(), content_type="text/html", charset="utf-8", headers=headers)


def _login_form(following: str, *, wrong: bool = False) -> str:
    said = '<p class="error">These are not the keys of this server.</p>' if wrong else ""
    return (
        f'<form class="login" method="post" action="/login"><h1>Log in</h1>{said}'
        '<label>Access key<input name="access_key" autocomplete="username" autofocus required></label>'
        '<label>Secret key<input name="secret_key" type="password" autocomplete="current-password" required></label>'
        f'<input type="hidden" name="next" value="{markup.text(_own_path(following))}"><button>Log in</button>'
        '<p class="none">The keys are printed by <code>atrains serve --env</code>.</p></form>'
    )


def _index_row(task: dict[str, Any]) -> list[str]:
    project = task.get("project") or {}
    where = markup.link(markup.path_of("projects", project["id"]), project["name"]) if project else ""
    name = markup.link(markup.path_of("projects", project.get("id") or "*", "tasks", task["id"]), task["name"] or task["id"])
    iteration = str(task.get("last_iteration") or "")
    return [name, where, markup.status(task["status"]), markup.text(task["type"]), iteration, markup.text(_moment(task.get("last_update")))]


def _moment(stamp: object) -> str:
    return f"{stamp[:10]} {stamp[11:19]} UTC" if isinstance(stamp, str) and len(stamp) > 19 else ""


def _single_values(tasks: list[dict[str, Any]]) -> str:
    rows = [
        [markup.text(value["metric"]), markup.text(value["variant"]), markup.number_text(value["value"], 10)]
        for task in tasks
        for value in task["values"]
    ]
    return markup.table(["Title", "Name", "Value"], rows) if rows else ""


def _last_values(record: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The last values of curves by title and series."""
    found: dict[str, dict[str, float]] = {}
    for entry in (entry for series in (record.get("last_metrics") or {}).values() for entry in series.values()):
        if isinstance(entry.get("value"), int | float):
            found.setdefault(entry["metric"], {})[entry["variant"]] = entry["value"]
    return found


def _charts(curves: dict[str, dict[str, Any]], last: dict[str, dict[str, float]]) -> str:
    drawn = [
        f"<figure><figcaption>{markup.text(shown_title(title)) or '(no title)'}</figcaption>{charts.draw(series, last.get(title))}</figure>"
        for title, series in sorted(curves.items(), key=lambda item: (item[0].startswith(":"), item[0]))[:_SHOWN_CHARTS]
    ]
    more = f'<p class="none">and {len(curves) - len(drawn)} more titles</p>' if len(curves) > len(drawn) else ""
    return f'<div class="charts">{"".join(drawn)}</div>{more}' if drawn else ""


def _parameters(record: dict[str, Any]) -> str:
    rows = [
        [markup.text(section), markup.text(name), markup.text(item.get("value", ""))]
        for section, items in sorted((record.get("hyperparams") or {}).items())
        for name, item in sorted(items.items())
    ]
    return markup.table(["Section", "Name", "Value"], rows) if rows else ""


def _configuration(record: dict[str, Any]) -> str:
    held = sorted((record.get("configuration") or {}).items())
    return "".join(f"<h3>{markup.text(name)}</h3><pre>{markup.text(item.get('value') or '')}</pre>" for name, item in held)
