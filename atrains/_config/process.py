"""The settings of this process: loaded once, when first asked for. How they are gathered is in `load`."""

from __future__ import annotations

import threading

from atrains._config.env import leave_for_children, take_back_from_children
from atrains._config.hosts import normalise_host
from atrains._config.layers import CALL
from atrains._config.load import load_settings
from atrains._config.settings import LOCAL, Credentials, Mode, Secret, Settings
from atrains.errors import UsageError, ValidationError


class _Process:
    """What one process knows; a forked child gets a new one, since the lock may have been held by a thread it does not have."""

    __slots__ = ("connected_to", "credentials", "lock", "settings")

    def __init__(self, credentials: Credentials, settings: Settings | None = None, connected_to: str | None = None) -> None:
        self.lock = threading.Lock()
        self.credentials = credentials
        self.settings = settings
        self.connected_to = connected_to


_process = _Process(Credentials())


def process_settings() -> Settings:
    """Return the settings of this process, whatever block of `credentials` the caller is in.

    Raises:
        ConfigurationError: if they cannot be loaded; the next call tries again.
    """
    process = _process
    if (loaded := process.settings) is not None:
        return loaded
    with process.lock:
        if process.settings is None:
            loaded = load_settings(credentials=process.credentials)
            _tell_children(loaded, process.credentials)
            process.settings = loaded
        return process.settings


def set_credentials(
    *,
    api_host: str | None = None,
    web_host: str | None = None,
    files_host: str | None = None,
    key: str | None = None,
    secret: str | None = None,
    host: str | None = None,
) -> None:
    """Set the server and the keys to use where neither a configuration file nor a variable gives them.

    Nothing is called. Once the settings are in use, child processes find what was used of it in their environment.

    Args:
        api_host: Base URL of the API server; `local` for the local home. What is None or empty keeps its value.
        web_host: Base URL of the web application.
        files_host: Base URL of the file server.
        key: The user key.
        secret: Its secret.
        host: Overrides `api_host`, and drops a web and file server given earlier.

    Raises:
        UsageError: if a task of this process is connected already.
        ValidationError: if a host is not a URL, or a key not text.
    """
    given = check_given(CALL, api_host=api_host, web_host=web_host, files_host=files_host, key=key, secret=secret, host=host)
    process = _process
    with process.lock:
        if process.connected_to is not None:
            raise UsageError(
                f"{CALL}: this process is connected to {process.connected_to} already; call it before Task.init, "
                "or talk to another server within atrains.credentials(...)"
            )
        before = process.credentials
        process.credentials = Credentials(
            api_host=given.api_host or before.api_host,
            web_host=given.web_host or (None if host else before.web_host),
            files_host=given.files_host or (None if host else before.files_host),
            access_key=given.access_key or before.access_key,
            secret_key=given.secret_key or before.secret_key,
        )
        process.settings = None


def mark_connected(target: str = "its home") -> None:
    """Take down that the settings are in use: from here on `set_credentials` is refused.

    Args:
        target: What the process is connected to, for the message.
    """
    process = _process
    with process.lock:
        process.connected_to = target


def reset() -> None:
    """Forget settings, credentials and connection, and take back what was left for children. For tests."""
    global _process  # one object, replaced whole  # noqa: PLW0603
    take_back_from_children()
    _process = _Process(Credentials())


def reset_in_child() -> None:
    """Replace what must not survive a fork, and keep the rest: the child records where its parent does."""
    global _process  # as above  # noqa: PLW0603
    parent = _process
    _process = _Process(parent.credentials, parent.settings, parent.connected_to)


def _tell_children(loaded: Settings, credentials: Credentials) -> None:
    """Put what was used of `set_credentials` into the environment, as scripts that start workers expect of the call."""
    if loaded.mode is Mode.DISABLED or loaded.target.kind == LOCAL:
        return
    values = {
        "api.api_host": ("API_HOST", credentials.api_host),
        "api.web_host": ("WEB_HOST", credentials.web_host),
        "api.files_host": ("FILES_HOST", credentials.files_host),
        "api.access_key": ("API_ACCESS_KEY", credentials.access_key and credentials.access_key.reveal()),
        "api.secret_key": ("API_SECRET_KEY", credentials.secret_key and credentials.secret_key.reveal()),
    }
    leave_for_children({suffix: value for path, (suffix, value) in values.items() if value and loaded.sources.get(path) == CALL})


def check_given(  # noqa: D417  # the rest are those of `set_credentials`
    call: str,
    *,
    api_host: str | None,
    web_host: str | None,
    files_host: str | None,
    key: str | None,
    secret: str | None,
    host: str | None,
) -> Credentials:
    """What a call was given, checked; what is None or empty counts as not given, and `host` overrides `api_host`.

    Args:
        call: The name of the call, for the message.

    Raises:
        ValidationError: a host is not a URL, or a key not text.
    """
    hosts = {"host": host, "api_host": api_host, "web_host": web_host, "files_host": files_host}
    checked = {name: _checked_host(f"{call}: {name}", value) for name, value in hosts.items()}
    return Credentials(
        api_host=checked["host"] or checked["api_host"],
        web_host=checked["web_host"],
        files_host=checked["files_host"],
        access_key=_checked_key(f"{call}: key", key),
        secret_key=_checked_key(f"{call}: secret", secret),
    )


def _checked_host(what: str, value: str | None) -> str | None:
    if not value:
        return None
    if not isinstance(value, str):
        raise ValidationError(f"{what} is of type {type(value).__name__}; expected a URL as text")
    if value.strip().lower() == LOCAL:
        return LOCAL
    try:
        return normalise_host(value)
    except ValueError as error:
        raise ValidationError(f"{what}: {error}") from None


def _checked_key(what: str, value: str | None) -> Secret | None:
    if not value:
        return None
    if not isinstance(value, str):
        raise ValidationError(f"{what} is of type {type(value).__name__}; expected text")
    return Secret(value.strip())
