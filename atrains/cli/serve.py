"""`atrains serve`: the local home as a server for this machine, which any client works with. What it answers is in `_local.app`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import os
import re
import shlex
import signal
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atrains._config import Settings, load_settings
from atrains._config.env import Environment, process_variables
from atrains._engine.channel import Channel
from atrains._engine.journals import holds
from atrains._engine.places import open_transport
from atrains._engine.process import WORKERS
from atrains._engine.recovery import recover
from atrains._engine.runtime import Runtime
from atrains._local.transport import LocalTransport
from atrains._local.watchdog import USUAL_SILENCE, stop_silent
from atrains.errors import AtrainsError, ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from atrains._local.app.application import Running

SUMMARY: Final = "Serve the local home to any client on this machine, with a web page."

_HOST: Final = "127.0.0.1"
_PORT: Final = 8008
_RECOVERY_SECONDS: Final = 60.0
_log = logging.getLogger("atrains")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("--host", help=f"the address to listen at (default: {_HOST}, this machine alone)")
    parser.add_argument("--port", type=_port, help=f"the port to listen at; 0 for any free one (default: {_PORT})")
    parser.add_argument("--url", type=_url, help="the address that clients find it at, where that is another: behind a proxy, under a name")
    parser.add_argument("--env", action="store_true", help="print the variables that point clients at the server, and start nothing")
    parser.add_argument("--access-key", metavar="KEY", help="the key that clients log in with (default: ATRAINS_SERVE_ACCESS_KEY)")
    parser.add_argument("--secret-key", metavar="KEY", help="its secret (default: ATRAINS_SERVE_SECRET_KEY; others may see arguments)")
    parser.add_argument(
        "--watchdog",
        type=_silence,
        default=USUAL_SILENCE,
        metavar="SECONDS",
        help="stop runs that nobody has heard of for so long; 0 for none (default: %(default)s)",
    )
    parser.add_argument("--page-login", action="store_true", help="ask for a login on the web page on this machine as well")
    parser.epilog = (
        'In another shell: eval "$(atrains serve --env)". Without keys of your own the home keeps a pair that was made for it, '
        "and the server can be reached from this machine alone."
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _silence(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: seconds from 0")
    return seconds


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a server: https://NAME or https://NAME:PORT, without a path")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class _Pair:
    """The keys that were chosen for the server; both, or none."""

    access_key: str | None
    secret_key: str | None


def _chosen_keys(options: argparse.Namespace) -> _Pair:
    environment = Environment(process_variables())
    given = (options.access_key, options.secret_key)
    variables = (environment.own("SERVE_ACCESS_KEY"), environment.own("SERVE_SECRET_KEY"))
    access_key, secret_key = (key or (variable.value if variable else None) for key, variable in zip(given, variables, strict=True))
    if bool(access_key) != bool(secret_key):
        raise ConfigurationError("the server's keys are a pair: set both ATRAINS_SERVE_ACCESS_KEY and ATRAINS_SERVE_SECRET_KEY, or neither")
    return _Pair(access_key, secret_key)


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal comes; or print the variables of a server."""
    # The home on this machine, also in a shell whose variables point at its server.
    variables = process_variables() | {"ATRAINS_API_HOST": "local"}
    if options.home is not None:
        variables["ATRAINS_HOME"] = os.path.abspath(options.home)  # noqa: ASYNC240  # nothing runs yet
    settings = load_settings(variables)
    pair = _chosen_keys(options)
    if options.env:
        _print_environment(options, settings.home.path, pair)
        return
    from atrains._local.app.application import Options, running

    served = Options(
        home=settings.home.path,
        host=options.host or _HOST,
        port=_PORT if options.port is None else options.port,
        access_key=pair.access_key,
        secret_key=pair.secret_key,
        url=options.url,
        page_login=options.page_login,
    )
    await _serve(running(served), settings, chosen=pair.access_key is not None, as_json=options.json, watchdog=options.watchdog)


async def _serve(
    serving: AbstractAsyncContextManager[Running], settings: Settings, *, chosen: bool, as_json: bool, watchdog: float
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C is an exception there
            loop.add_signal_handler(number, _stop, stop, loop, number)
    async with serving as server:
        note = settings.home.path / "serving.json"
        beside = _read_note(settings.home.path)
        note.write_text(json.dumps({"url": server.url, "own_keys": chosen, "process": os.getpid()}), encoding="utf-8")
        try:
            _print_start(server, settings.home.path, as_json=as_json)
            recovery = asyncio.create_task(_look_after(settings, watchdog))
            try:
                await stop.wait()
            finally:
                recovery.cancel()
                await asyncio.wait([recovery])
        finally:
            _remove_note(note, beside)


def _stop(stop: asyncio.Event, loop: asyncio.AbstractEventLoop, number: int) -> None:
    loop.remove_signal_handler(number)  # a second one ends the process
    stop.set()


def _remove_note(note: Path, beside: Mapping[str, Any]) -> None:
    """Leave the note of a server that served the home before this one, and may do so still, or none."""
    with suppress(OSError, ValueError, KeyError):  # removed, or another server's by now
        if json.loads(note.read_text(encoding="utf-8"))["process"] != os.getpid():
            return
        note.unlink()
        if beside:
            note.write_text(json.dumps(beside), encoding="utf-8")


async def _look_after(settings: Settings, watchdog: float) -> None:
    """Deliver what killed processes left for this home, and stop silent runs; while no script runs, nobody else does."""
    transport = open_transport(settings)
    journals = Channel(settings, transport, Runtime.current()).journals
    try:
        while True:
            try:
                await recover(journals, transport, WORKERS)
                if watchdog and isinstance(transport, LocalTransport):
                    await asyncio.get_running_loop().run_in_executor(WORKERS, _stop_silent, transport, journals, watchdog)
            except AtrainsError as error:  # said, and tried again: the server serves on
                _log.warning("atrains: what killed processes left cannot be delivered now, nor silent runs stopped: %s", error)
            await asyncio.sleep(min(_RECOVERY_SECONDS, watchdog or _RECOVERY_SECONDS))
    finally:
        await transport.aclose()


def _stop_silent(transport: LocalTransport, journals: Path, seconds: float) -> None:
    # A run that records to the home in-process is known by its journal, and does not ping.
    for task in stop_silent(transport.store, seconds, lambda task: holds(journals, None, task)):
        _log.warning("atrains: task %s was stopped: nobody has heard of it for %g s", task, seconds)


def _print_start(server: Running, home: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"url": server.url, "home": str(home), "environment": server.environment}), flush=True)
        return
    print(f"# atrains serves {home} at {server.url}; Ctrl-C ends it. Point clients at it with:")
    _print_exports(server.environment)


def _print_exports(variables: Mapping[str, str]) -> None:
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()), flush=True)


def _print_environment(options: argparse.Namespace, home: Path, pair: _Pair) -> None:
    """Print the variables of the server of this home: of the one that runs, else of one that would be started like this."""
    from atrains._local.app.application import environment_for, url_of
    from atrains._local.app.keys import FILE_NAME, load_keys

    if not (home / FILE_NAME).exists():
        raise NotFoundError(f"no server was ever started for the home {home}; start one with: atrains serve")
    running = {} if options.host or options.port or options.url else _read_note(home)
    url = str(running.get("url") or options.url or url_of(options.host or _HOST, options.port or _PORT))
    variables = environment_for(url, load_keys(home, access_key=pair.access_key, secret_key=pair.secret_key))
    if running.get("own_keys") and pair.access_key is None:
        variables = {name: value for name, value in variables.items() if not name.endswith("_KEY")}
        if not options.json:
            print("# the server was started with keys of its own, which are not kept here")
    if options.json:
        print(json.dumps({"url": url, "home": str(home), "environment": variables}))
    else:
        _print_exports(variables)


def _read_note(home: Path) -> dict[str, Any]:
    import psutil

    try:
        found: dict[str, Any] = json.loads((home / "serving.json").read_text(encoding="utf-8"))
        return found if psutil.pid_exists(found["process"]) else {}
    except (OSError, ValueError, KeyError):
        return {}
