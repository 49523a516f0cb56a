"""A stand-in for a Trains or ClearML server, for the benchmark: takes what clients send, counts it, and keeps nothing of it.

It answers just enough for a run from its opening to its end. Two ports on loopback: one for clients (API and files together), which can be
slow or refuse connections, and one for whoever measures: `GET /` gives the counts, `POST /` sets what `Sink.control` takes. The process
ends when its standard input does, with whoever started it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import uuid
from typing import Any

import jwt
import orjson
from aiohttp import web

API_PATH = re.compile(r"/(?:v\d+\.\d+/)?([a-z_]+)\.([a-z_0-9]+)")
TOKEN = jwt.encode({"exp": int(time.time()) + 30 * 86400, "api_version": "2.23", "server_version": "2.0.0"}, "k" * 32, "HS256")
JOINT = b"}\n{"
"""What stands between two events; looked for in the first `SAMPLE` bytes of each body."""
SAMPLE = 64 * 1024
HEAD = 4096
FIELD = re.compile(rb'[; ]name="([^"]*)"')
STATUSES = {"started": "in_progress", "stopped": "stopped", "completed": "completed", "failed": "failed"}


class Sink:
    """What was counted, and how clients are treated.

    Attributes:
        delay: Seconds before each answer.
        counts: Events, points among them, their bytes, uploads, their bytes, requests, and broken bodies.
        moments: When the last events and the last upload had come, by the monotonic clock, which all processes share.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.counts: dict[str, int] = {}
        self.moments: dict[str, float] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._projects: dict[str, str] = {}
        self._server: web.Server[web.BaseRequest] = web.Server(self._answer, access_log=None, read_bufsize=1 << 20, keepalive_timeout=300)
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._clear()

    def _clear(self) -> None:
        self.counts = dict.fromkeys(("requests", "events", "scalars", "event bytes", "broken", "uploads", "upload bytes"), 0)
        self.moments = {}

    async def listen(self) -> str:
        """Accept clients, at the same address each time."""
        self._listener = await asyncio.get_running_loop().create_server(self._server, "127.0.0.1", self._port, backlog=1024)
        self._port = self._listener.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self._port}"

    async def control(self, request: web.BaseRequest) -> web.Response:
        """Give the counts; before that set `delay` (seconds), `refuse` (no connections) and, with `clear`, begin to count anew."""
        wanted = orjson.loads(await request.read() or b"{}")
        self.delay = float(wanted.get("delay", self.delay))
        if wanted.get("clear"):
            self._clear()
        if "refuse" in wanted and wanted["refuse"] == (self._listener is not None):
            if self._listener is None:
                await self.listen()
            else:
                self._listener.close()
                self._listener = None
                for connection in list(self._server.connections):
                    if connection.transport is not None:
                        connection.transport.abort()
        return web.Response(body=orjson.dumps(self.counts | self.moments), content_type="application/json")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.counts["requests"] += 1
        named = API_PATH.fullmatch(request.path)
        if named is None:
            return await self._take_file(request)
        pieces = [piece async for piece in request.content.iter_any()]
        if self.delay:
            await asyncio.sleep(self.delay)
        if named.groups() == ("events", "add_batch"):
            data = self._take_events(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        else:
            data = self._call(*named.groups(), b"".join(pieces))
        meta = {
            "result_code": 200,
            "result_subcode": 0,
            "result_msg": "OK",
            "error_data": {},
            "endpoint": {"name": ".".join(named.groups())},
        }
        return web.Response(body=orjson.dumps({"meta": meta, "data": data}), content_type="application/json")

    async def _take_file(self, request: web.BaseRequest) -> web.StreamResponse:
        size, head = 0, b""
        async for piece in request.content.iter_any():
            size += len(piece)
            if len(head) < HEAD:
                head += piece[:HEAD]
        if self.delay:
            await asyncio.sleep(self.delay)
        if request.method != "POST":
            return web.Response(status=404)
        self.counts["uploads"] += 1
        self.counts["upload bytes"] += size
        self.moments["last upload"] = time.monotonic()
        # Server: the name of the field is the path.
        named = FIELD.search(head)
        return web.Response(body=orjson.dumps([named[1].decode("utf-8", "replace")] if named else []), content_type="text/html")

    def _take_events(self, body: bytes) -> dict[str, Any]:
        """Count lines; that they are events is checked cheaply, on the first and last line and where lines meet."""
        body = body.rstrip(b"\n")
        joints = body.count(b"\n")
        head = body[:SAMPLE]
        try:
            ends = [orjson.loads(body[: body.find(b"\n")] if joints else body), orjson.loads(body[body.rfind(b"\n") + 1 :])]
            whole = all(event["task"] and event["type"] for event in ends) and head.count(b"\n") - head.endswith(b"\n") == head.count(JOINT)
        except (ValueError, KeyError, TypeError):
            whole = False
        self.counts["broken"] += not whole
        self.counts["events"] += joints + 1
        self.counts["scalars"] += body.count(b"training_stats_scalar")
        self.counts["event bytes"] += len(body)
        self.moments["last event"] = time.monotonic()
        return {"added": joints + 1, "errors": 0, "errors_info": {}}

    def _call(self, service: str, action: str, body: bytes) -> dict[str, Any]:
        asked = orjson.loads(body) if body else {}
        asked = asked if isinstance(asked, dict) else {}
        if action in {"login", "create_token"}:
            return {"token": TOKEN}
        if service == "tasks":
            return self._call_tasks(action, asked)
        if service == "projects":
            return self._call_projects(action, asked)
        if action == "get_current_user":
            return {"user": {"id": "u", "name": "user", "company": {"id": "c", "name": "company"}}, "settings": {}}
        return {service: []} if action.startswith("get_all") else {"updated": 1, "fields": {}}

    def _call_projects(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        if action == "create":
            return {"id": self._projects.setdefault(asked["name"], uuid.uuid4().hex)}
        found = [{"id": number, "name": name, "system_tags": []} for name, number in self._projects.items()]
        if action == "get_by_id":
            return {"project": next((project for project in found if project["id"] == asked.get("project")), {})}
        wanted = str(asked.get("name") or "").strip("^$").replace("\\", "")
        return {"projects": [project for project in found if wanted in {"", project["name"]}]}

    def _call_tasks(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        number = asked.get("task") or asked.get("id")
        if action == "create":
            number = uuid.uuid4().hex
            now = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime())
            empty: dict[str, Any] = {name: {} for name in ("script", "execution", "hyperparams", "configuration", "output", "runtime")}
            fixed = {
                "id": number,
                "status": "created",
                "user": "u",
                "company": "c",
                "created": now,
                "last_update": now,
                "last_iteration": 0,
            }
            self._tasks[number] = {"type": "training", "tags": [], "system_tags": [], **empty, **asked, **fixed}
            return {"id": number}
        if action.startswith("get_all"):
            numbers = number if isinstance(number, list) else [number]
            return {"tasks": [self._tasks[each] for each in numbers if each in self._tasks]}
        task = self._tasks.get(number, {}) if isinstance(number, str) else {}
        if action.startswith("get_by_id"):
            return {"task": task}
        if action in {"edit", "update"}:
            task.update({name: value for name, value in asked.items() if name not in {"task", "force"}})
        elif action in STATUSES:
            task["status"] = STATUSES[action]
        elif action == "add_or_update_artifacts":
            return {"added": [artifact["key"] for artifact in asked.get("artifacts", [])], "updated": 1}
        return {"updated": 1, "fields": {}, "started": 1, "stopped": 1}


async def main() -> None:
    """Serve until standard input ends; the first line printed says where."""
    sink = Sink()
    url = await sink.listen()
    loop = asyncio.get_running_loop()
    control = await loop.create_server(web.Server(sink.control, access_log=None), "127.0.0.1", 0)
    print(json.dumps({"url": url, "control": f"http://127.0.0.1:{control.sockets[0].getsockname()[1]}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
