"""`atrains.credentials`: another server for a block of code. What holds for the whole process is in `process`."""

from __future__ import annotations

from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Final, NamedTuple, Self

from atrains._config.hosts import derive_files_host, derive_web_host
from atrains._config.process import check_given, process_settings
from atrains._config.settings import LOCAL, Credentials, Mode, Settings, TargetChoice
from atrains.errors import UsageError, ValidationError

BLOCK: Final = "atrains.credentials"
"""The source of what `credentials` was given."""


class _Entered(NamedTuple):
    """A block that was entered: what holds in it, and around it."""

    block: Block
    settings: Settings
    outer: _Entered | None


_entered: ContextVar[_Entered | None] = ContextVar("atrains_credentials", default=None)


def settings() -> Settings:
    """Return the settings that hold for the caller: of the innermost block that it is in, else of this process.

    Raises:
        ConfigurationError: if they cannot be loaded; the next call tries again.
    """
    entered = _entered.get()
    return process_settings() if entered is None else entered.settings


class Block:
    """What `credentials` returns. It keeps nothing of the blocks that it is used for: threads and asyncio tasks may share one."""

    __slots__ = ("given",)

    def __init__(self, given: Credentials) -> None:
        self.given = given

    def __enter__(self) -> Self:
        _entered.set(_Entered(self, within(settings(), self.given), _entered.get()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        entered = _entered.get()
        # Frameworks leave a fixture or dependency in another context than they entered it in: there is nothing to take back then.
        if entered is not None and entered.block is self:
            _entered.set(entered.outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


def credentials(
    *,
    api_host: str | None = None,
    web_host: str | None = None,
    files_host: str | None = None,
    key: str | None = None,
    secret: str | None = None,
    host: str | None = None,
) -> Block:
    """Talk to another server within a block: `with` or `async with`.

    In the block, whatever opens or looks up a task (`Task.init`, `Task.ainit`, `create`, `get_task`, `get_tasks`, `get_all` and so on) does
    so at that server. It holds for the thread or the asyncio task that entered the block, and the asyncio tasks begun in it; nobody else
    notices. Objects belong to the server that they came from, also after the block. Blocks may be nested, and one object be used for many.

    Unlike `Task.set_credentials` it wins over the environment and the configuration files. Processes that are started in the block do not
    know of it. A process that is switched off (`ATRAINS_MODE=disabled`) stays so.

    Args:
        api_host: Base URL of the API server; `local` for the local home; by default that which is used around the block.
        web_host: Base URL of the web application; derived from another `api_host` by default.
        files_host: Base URL of the file server; derived from another `api_host` by default. What an earlier block gave for the same server
            and key stays.
        key: The user key. Those of another server are never sent: without keys the block cannot talk to a server that it names.
        secret: Its secret.
        host: Overrides `api_host`.

    Returns:
        What to enter.

    Raises:
        ValidationError: a host is not a URL, a key not text, or one of key and secret is missing.
        UsageError: on entering, if no server is named and none is used around the block.
        ConfigurationError: on entering, if the settings of the process cannot be loaded.

    Example:
        >>> with atrains.credentials(api_host="https://api.example.com", key="...", secret="..."):
        ...     task = Task.get_task(project_name="project", task_name="name")
    """
    given = check_given(BLOCK, api_host=api_host, web_host=web_host, files_host=files_host, key=key, secret=secret, host=host)
    if (given.access_key is None) != (given.secret_key is None):
        raise ValidationError(f"{BLOCK}: key and secret go together; give both, or neither")
    return Block(given)


def within(around: Settings, given: Credentials) -> Settings:
    """The settings of a block: those around it, with the server and the keys that it was given.

    Nothing that belongs to one server is sent to another: keys, token and the agent's task are left behind.

    Raises:
        UsageError: there is no server that the block could mean.
    """
    if around.mode is Mode.DISABLED:
        return around
    before = around.api
    api_host = given.api_host or before.api_host
    if api_host is None:
        raise UsageError(f"{BLOCK}: no server is named here or around the block; give api_host, a URL or {LOCAL!r}")
    sources = {path: source for path, source in around.sources.items() if not path.startswith(("api.web", "api.files", "target."))}
    if api_host == LOCAL:
        api = before._replace(api_host=None, web_host=None, files_host=None)
        return around._replace(target=TargetChoice("local", BLOCK), api=api, remote_task_id=None, sources=MappingProxyType(sources))
    same = api_host == before.api_host
    web_host = given.web_host or (before.web_host if same else derive_web_host(api_host))
    files_host = given.files_host or (before.files_host if same else derive_files_host(web_host) if web_host else None)
    keeps_keys = same and given.access_key is None
    named = {
        "target.kind": True,
        "api.api_host": given.api_host,
        "api.web_host": given.web_host,
        "api.files_host": given.files_host,
        "api.access_key": not keeps_keys,
        "api.secret_key": not keeps_keys,
    }
    sources |= {path: BLOCK for path, value in named.items() if value}
    return around._replace(
        target=TargetChoice("server", BLOCK),
        api=before._replace(
            api_host=api_host,
            web_host=web_host,
            files_host=files_host,
            access_key=before.access_key if keeps_keys else given.access_key,
            secret_key=before.secret_key if keeps_keys else given.secret_key,
            auth_token=before.auth_token if keeps_keys else None,
        ),
        remote_task_id=around.remote_task_id if same else None,
        sources=MappingProxyType(sources),
    )
