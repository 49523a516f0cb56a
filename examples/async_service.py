"""A web service that records how it serves: the latency and the size of each answer go to a task while the event loop serves on.

Run it, ask it, look at what it knows of itself, and end it with Ctrl-C or SIGTERM::

    python examples/async_service.py 8090
    curl --data 'the quick brown fox jumps over the lazy dog' http://127.0.0.1:8090/words
    curl http://127.0.0.1:8090/metrics

Reporting is a plain call that returns within microseconds, whatever the home of the task does: it needs no `await`, and a server that is
slow or away is never felt by those who are served. With nothing configured the task is kept on this machine (`atrains show` draws it).
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from atrains import AsyncTask, Task

TASK = web.AppKey("task", AsyncTask)
SERVED = web.AppKey("served", Counter[str])
HOST, PORT = "127.0.0.1", 8090


async def words(request: web.Request) -> web.Response:
    """The ten most frequent words of the text in the request."""
    text = await request.text()
    counts = Counter(re.findall(r"\w+", text.lower()))
    return web.json_response(dict(counts.most_common(10)))


async def metrics(request: web.Request) -> web.Response:
    """What this service knows of itself: requests by route, and the ledger of what it reported."""
    task = request.app[TASK]
    served: Counter[str] = request.app[SERVED]
    stats = await task.stats()
    points = stats.scalars
    return web.json_response(
        {
            "task": task.id,
            "served": served,
            "points": {
                "reported": points.reported,
                "acknowledged": points.acknowledged,
                "pending": points.pending,
                "dropped": dict(points.dropped),
            },
            "last_error": stats.last_error,
        }
    )


@web.middleware
async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Report the latency and the size of each answer, errors too."""
    app, began = request.app, time.perf_counter()
    status, size = 500, 0
    try:
        response = await handler(request)
        status, size = response.status, response.content_length or 0
        return response
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "elsewhere"
        app[SERVED][route] += 1
        number = app[SERVED].total()
        logger = app[TASK].get_logger()
        logger.report_scalar("latency in ms", route, value=(time.perf_counter() - began) * 1000, iteration=number)
        logger.report_scalar("size in bytes", route, value=size, iteration=number)
        if status >= 500:
            logger.report_text(f"{request.method} {request.path} failed with {status}", print_console=False)


async def recording(app: web.Application) -> AsyncIterator[None]:
    """Keep a task open for as long as the service runs; it completes when the service is asked to end."""
    async with Task.ainit("Examples", "async service", task_type="service") as task:
        app[TASK] = task
        app[SERVED] = Counter[str]()
        yield


def make_app() -> web.Application:
    """The service."""
    app = web.Application(middlewares=[record])
    app.cleanup_ctx.append(recording)
    app.add_routes([web.post("/words", words), web.get("/metrics", metrics)])
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host=HOST, port=int(sys.argv[1]) if len(sys.argv) > 1 else PORT)
