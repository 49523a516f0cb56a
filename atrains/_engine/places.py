"""Places: what the settings name as target, how two of them are told apart, and the way to one."""

from __future__ import annotations

from collections.abc import Hashable

from atrains._config import Mode, Settings, process_settings
from atrains._engine.held import watch
from atrains._engine.process import WORKERS
from atrains._local.connections import LENDING
from atrains._local.transport import LocalTransport
from atrains._transport.base import Transport
from atrains.errors import UsageError

watch(LENDING)  # a program that forks holds it: no home answers meanwhile


def open_transport(settings: Settings) -> Transport:
    """The transport to what the settings name as target.

    Raises:
        ConfigurationError: the server is named, but not who we are to it.
    """
    if settings.target.kind == "local":
        return LocalTransport(settings.home.path, workers=WORKERS, durable=settings.journal.durability == "power")
    from atrains._transport.http import HttpTransport  # aiohttp takes longer to import than a local run to begin

    return HttpTransport(settings, workers=WORKERS)


def channel_key(settings: Settings) -> Hashable:
    """What tells the channels of a process apart: the target, and at a server who talks to it, with which credentials."""
    if settings.target.kind == "local":
        return settings.home.path
    api = settings.api
    return api.api_host, api.access_key, api.secret_key, api.auth_token


def place_of(settings: Settings) -> str:
    """Which home settings choose, whoever asks there: where an id means the same task."""
    if settings.mode is Mode.DISABLED:
        return "nowhere"
    return f"local:{settings.home.path.resolve()}" if settings.target.kind == "local" else str(settings.api.api_host)


def check_place(settings: Settings, place: str, what: str) -> None:
    """Refuse something that was pickled where another home was in use than these settings choose.

    Raises:
        UsageError: naming both homes.
    """
    here = place_of(settings)
    if place != here and settings.mode is not Mode.DISABLED:
        raise UsageError(
            f"{what} is in {place}, and {here} is in use here ({settings.target.source}): unpickle it where the same home is configured, "
            "or within atrains.credentials(...) of that server"
        )


def is_elsewhere(settings: Settings) -> bool:
    """Whether these settings, of a block of `credentials`, choose another home than those of the process, which its children have too."""
    own = process_settings()
    return settings is not own and place_of(settings) != place_of(own)
