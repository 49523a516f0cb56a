"""Which key, variable and default each setting has, and the choice of the home. What holds for the whole process is in `process`."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast, get_args

from atrains._config.env import Environment, host_name, process_variables
from atrains._config.hocon import ConfigFile, read_config_files
from atrains._config.hosts import derive_files_host, derive_web_host
from atrains._config.layers import CALL, Found, Layers
from atrains._config.proxies import LOOPBACK, normalise_proxy
from atrains._config.settings import (
    LOCAL,
    ApiSettings,
    ArtifactSettings,
    CacheSettings,
    CaptureSettings,
    ConsoleSettings,
    Credentials,
    Durability,
    HomeSettings,
    HttpSettings,
    ImageSettings,
    JournalSettings,
    Mode,
    MonitorSettings,
    Overflow,
    ProxySettings,
    ReportingSettings,
    Secret,
    Settings,
    TargetChoice,
    TaskSettings,
    UploadSettings,
)
from atrains.errors import ConfigurationError

NOTHING_CONFIGURED: Final = "nothing configured"
DERIVED: Final = "derived"
"""The source of a host that follows from another one."""
_LOGGER: Final = logging.getLogger("atrains")
_VERSION: Final = re.compile(r"\d+(\.\d+)+")
_WORKER: Final = "sdk.development.worker"


def load_settings(
    environ: Mapping[str, str] | None = None, credentials: Credentials | None = None, home_directory: Path | None = None
) -> Settings:
    """Gather the settings: defaults, below what `set_credentials` was given, below the configuration files, below the environment.

    Nothing is kept, and nothing but files is read. One warning is logged when a file or a variable wins over a given value.

    Args:
        environ: The variables; those of the process by default.
        credentials: What `set_credentials` was given.
        home_directory: The user's home directory; taken from the variables by default.

    Raises:
        ConfigurationError: naming the variable, or file, line and key, that cannot be used, and what was expected.
    """
    environment = Environment(process_variables() if environ is None else environ)
    user_directory = home_directory or environment.user_directory()
    first_look = Layers(environment, (), user_directory)
    own_mode = first_look.find("mode", own="MODE")
    mode = Mode(own_mode.choice(list(Mode))) if own_mode else Mode.ACTIVE
    files: list[ConfigFile] = []
    remarks: list[str] = []
    if mode is Mode.ACTIVE:  # a disabled process is not stopped by a file that it does not need
        files, remarks = read_config_files(environment, user_directory)
    layers = Layers(environment, files, user_directory)
    target, api_host = _target(layers, own_mode if mode is Mode.DISABLED else None, credentials or Credentials(), remarks)
    quiet = layers.find("quiet", own="QUIET")
    no_argparse = layers.find("no_argparse", own="NO_ARGPARSE")
    remote_task = layers.find("remote_task_id", suffix="TASK_ID")
    settings = Settings(
        target=target,
        home=_home(layers, user_directory),
        reporting=_reporting(layers),
        api=_api(layers, api_host, credentials or Credentials()),
        cache=_cache(layers),
        journal=_journal(layers),
        console=_console(layers),
        monitor=_monitor(layers),
        uploads=_uploads(layers),
        artifacts=_artifacts(layers),
        images=_images(layers),
        capture=_capture(layers),
        task=_task(layers),
        mode=mode,
        quiet=quiet.boolean() if quiet else False,
        no_argparse=no_argparse.boolean() if no_argparse else False,
        remote_task_id=remote_task.text() if remote_task else None,
        sources=MappingProxyType(first_look.sources | layers.sources),
    )
    if layers.overridden and mode is Mode.ACTIVE:
        winners = ", ".join(f"{name} (set by {source})" for name, source in layers.overridden.items())
        _LOGGER.warning("%s: what it was given is not used for %s; unset it there, or leave it out of the call", CALL, winners)
    return settings


def _target(layers: Layers, disabled: Found | None, credentials: Credentials, remarks: list[str]) -> tuple[TargetChoice, str | None]:
    """Choose the home; with a server, its URL."""
    offline = layers.find("target.kind", suffix="OFFLINE_MODE")
    host = layers.find("api.api_host", suffix="API_HOST", keys=("api.api_server", "api.host"), given=credentials.api_host)
    # The official clients take a version here as well: the one that the absent server would have.
    forced = offline if offline and (_VERSION.fullmatch(str(offline.value)) or offline.boolean()) else None
    chosen = disabled or forced or host
    if host and host.source == CALL and chosen is not host and chosen is not None:
        layers.overridden["api_host"] = chosen.source
    if chosen is None:
        layers.sources.pop("target.kind", None)  # a variable that says no
        return TargetChoice("local", f"{NOTHING_CONFIGURED} ({'; '.join(remarks)})" if remarks else NOTHING_CONFIGURED), None
    layers.sources["target.kind"] = chosen.source
    if chosen is not host or host.text().lower() == LOCAL:
        return TargetChoice("local", chosen.source), None
    return TargetChoice("server", chosen.source), host.host()


def _api(layers: Layers, api_host: str | None, credentials: Credentials) -> ApiSettings:
    web = layers.find("api.web_host", suffix="WEB_HOST", keys=("api.web_server",), given=credentials.web_host)
    files = layers.find("api.files_host", suffix="FILES_HOST", keys=("api.files_server",), given=credentials.files_host)
    access_key = layers.find("api.access_key", suffix="API_ACCESS_KEY", keys=("api.credentials.access_key",), given=credentials.access_key)
    secret_key = layers.find("api.secret_key", suffix="API_SECRET_KEY", keys=("api.credentials.secret_key",), given=credentials.secret_key)
    token = layers.find("api.auth_token", suffix="AUTH_TOKEN")
    verify = layers.find(
        "api.verify_certificate",
        suffix="API_HOST_VERIFY_CERT",
        keys=("api.verify_certificate",),
        shared=("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if api_host else (),
    )
    certificate = layers.find("api.client_certificate", own="CLIENT_CERTIFICATE", keys=("atrains.client_certificate",))
    key = layers.find("api.client_key", own="CLIENT_KEY", keys=("atrains.client_key",))
    password = layers.find("api.client_key_password", own="CLIENT_KEY_PASSWORD", keys=("atrains.client_key_password",))
    version = layers.find("api.max_api_version", suffix="FORCE_MAX_API_VERSION")
    web_host = files_host = None
    if api_host:  # the local home has no other servers, whatever is configured for one
        web_host = web.host() if web else derive_web_host(api_host)
        files_host = files.host() if files else derive_files_host(web_host) if web_host else None
        derived = {"api.web_host": web_host and not web, "api.files_host": files_host and not files}
        layers.sources.update({name: DERIVED for name, holds in derived.items() if holds})
    return ApiSettings(
        api_host=api_host,
        web_host=web_host,
        files_host=files_host,
        access_key=access_key.secret() if access_key else None,
        secret_key=secret_key.secret() if secret_key else None,
        auth_token=token.secret() if token else None,
        verify_certificate=_verify_certificate(layers, verify) if verify else True,
        client_certificate=_file(layers, certificate) if certificate else None,
        client_key=_file(layers, key) if key else None,
        client_key_password=password.secret() if password else None,
        proxy=_proxy(layers) if api_host else _proxy_for_files(layers),
        max_api_version=version.version() if version else None,
        http=_http(layers),
    )


def _verify_certificate(layers: Layers, found: Found) -> bool | str:
    if isinstance(found.value, str) and os.path.exists(path := layers.path(found)):
        return str(path)
    return found.boolean(otherwise=", or the path of a file of certificate authorities that exists")


def _file(layers: Layers, found: Found) -> Path:
    path = layers.path(found)
    if not path.is_file():
        found.refuse("the path of a file that exists")
    return path


def _proxy(layers: Layers) -> ProxySettings:
    """Our own setting holds for everything; without it count the variables that other programs use, except for this machine."""
    own = layers.find("api.proxy", own="PROXY", keys=("atrains.proxy",))
    bypass = layers.find("api.proxy.bypass", own="NO_PROXY", keys=("atrains.no_proxy",), shared=("no_proxy", "NO_PROXY"))
    exceptions = tuple(filter(None, map(str.strip, bypass.text().split(",")))) if bypass else ()
    if own:
        layers.sources["api.proxy.http"] = layers.sources["api.proxy.https"] = layers.sources.pop("api.proxy")
        proxy = None if own.text().lower() == "none" else _proxy_url(own)
        return ProxySettings(proxy, proxy, exceptions)
    http = layers.find("api.proxy.http", shared=("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"))
    https = layers.find("api.proxy.https", shared=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"))
    return ProxySettings(_proxy_url(http) if http else None, _proxy_url(https) if https else None, exceptions + LOOPBACK)


def _proxy_for_files(layers: Layers) -> ProxySettings:
    """The way to files that are fetched by URL. The local home needs none, so one that cannot be used does not stop it."""
    try:
        return _proxy(layers)
    except ConfigurationError as error:
        _LOGGER.warning("%s; files are fetched without a proxy until then", error)
        return ProxySettings()


def _proxy_url(found: Found) -> Secret:
    try:
        return Secret(normalise_proxy(found.text()))
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{found.place}: {error}") from None


def _http(layers: Layers) -> HttpSettings:
    default = HttpSettings()
    size = layers.find("api.http.max_req_size", keys=("api.http.max_req_size",))
    retries = layers.find("api.http.retries", keys=("api.http.retries.total",))
    factor = layers.find("api.http.backoff_factor", keys=("api.http.retries.backoff_factor",))
    longest = layers.find("api.http.backoff_max", keys=("api.http.retries.backoff_max",))
    codes = layers.find("api.http.extra_retry_codes", suffix="API_EXTRA_RETRY_CODES", keys=("api.http.extra_retry_codes",))
    wait = layers.find("api.http.wait_on_maintenance_forever", keys=("api.http.wait_on_maintenance_forever",))
    threshold = layers.find("api.http.token_refresh_threshold", keys=("api.auth.token_expiration_threshold_sec",))
    return HttpSettings(
        max_req_size=size.whole(at_least=1, unit="bytes") if size else default.max_req_size,
        retries=retries.whole(at_least=0, unit="attempts") if retries else default.retries,
        backoff_factor=factor.number(at_least=0, unit="seconds") if factor else default.backoff_factor,
        backoff_max=longest.number(at_least=0, unit="seconds") if longest else default.backoff_max,
        extra_retry_codes=codes.statuses() if codes else default.extra_retry_codes,
        wait_on_maintenance_forever=wait.boolean() if wait else default.wait_on_maintenance_forever,
        token_refresh_threshold=threshold.number(at_least=0, unit="seconds") if threshold else default.token_refresh_threshold,
    )


def _home(layers: Layers, user_directory: Path | None) -> HomeSettings:
    home = layers.find("home.path", own="HOME", keys=("atrains.home",))
    cache = layers.find("home.cache_dir", suffix="CACHE_DIR", keys=("sdk.storage.cache.default_base_dir",))
    if home is None and user_directory is None:
        raise ConfigurationError("this user has no home directory, so there is no place for ~/.atrains; name a folder in ATRAINS_HOME")
    path = layers.path(home) if home else cast("Path", user_directory).absolute() / ".atrains"
    return HomeSettings(path=path, cache_dir=layers.path(cache) if cache else path / "cache")


def _cache(layers: Layers) -> CacheSettings:
    default = CacheSettings()
    size = layers.find("cache.max_bytes", own="CACHE_MAX_BYTES", keys=("atrains.cache.max_bytes",))
    number = layers.find(
        "cache.max_files", own="CACHE_MAX_FILES", keys=("atrains.cache.max_files", "sdk.storage.cache.default_cache_manager_size")
    )
    return CacheSettings(
        max_bytes=size.whole(at_least=1, unit="bytes") if size else default.max_bytes,
        max_files=number.whole(at_least=1, unit="files") if number else default.max_files,
    )


def _journal(layers: Layers) -> JournalSettings:
    default = JournalSettings()
    durability = layers.find("journal.durability", own="JOURNAL_DURABILITY", keys=("atrains.journal.durability",))
    overflow = layers.find("journal.overflow", own="JOURNAL_OVERFLOW", keys=("atrains.journal.overflow",))
    size = layers.find("journal.max_bytes", own="JOURNAL_MAX_BYTES", keys=("atrains.journal.max_bytes",))
    directory = layers.find("journal.directory", own="JOURNAL_DIRECTORY", keys=("atrains.journal.directory",))
    return JournalSettings(
        durability=cast("Durability", durability.choice(get_args(Durability))) if durability else default.durability,
        overflow=cast("Overflow", overflow.choice(get_args(Overflow))) if overflow else default.overflow,
        max_bytes=size.whole(at_least=1, unit="bytes") if size else default.max_bytes,
        directory=layers.path(directory) if directory else None,
    )


def _reporting(layers: Layers) -> ReportingSettings:
    worker = layers.find("reporting.worker", suffix="WORKER_NAME")
    ping = layers.find("reporting.ping_period", keys=(f"{_WORKER}.ping_period_sec",))
    flush = layers.find("reporting.flush_period", own="FLUSH_PERIOD")
    shared = None if flush else layers.find("reporting.flush_period", keys=(f"{_WORKER}.report_period_sec",))
    default = ReportingSettings(worker=worker.text() if worker else host_name())
    period = flush.number(above=0, unit="seconds") if flush else default.flush_period
    return ReportingSettings(
        worker=default.worker,
        # In shared files a second is the least, as for the official clients; our own variable may go below.
        flush_period=max(1.0, shared.number(unit="seconds")) if shared else period,
        ping_period=max(1.0, ping.number(unit="seconds")) if ping else default.ping_period,
    )


def _console(layers: Layers) -> ConsoleSettings:
    default = ConsoleSettings()
    capture = layers.find("console.capture", own="CONSOLE", keys=(f"{_WORKER}.log_stdout",))
    period = layers.find("console.cr_flush_period", own="CONSOLE_CR_FLUSH_PERIOD", keys=(f"{_WORKER}.console_cr_flush_period",))
    return ConsoleSettings(
        capture=capture.boolean() if capture else default.capture,
        cr_flush_period=period.number(at_least=0, unit="seconds") if period else default.cr_flush_period,
    )


def _monitor(layers: Layers) -> MonitorSettings:
    default = MonitorSettings()
    enabled = layers.find("monitor.enabled", own="MONITOR", keys=("atrains.monitor.enabled",))
    first = layers.find("monitor.first_report", own="MONITOR_FIRST_REPORT", keys=(f"{_WORKER}.report_start_sec",))
    report = layers.find("monitor.report_period", own="MONITOR_REPORT_PERIOD", keys=("atrains.monitor.report_period",))
    sample = layers.find("monitor.sample_period", own="MONITOR_SAMPLE_PERIOD", keys=("atrains.monitor.sample_period",))
    memory = layers.find("monitor.global_memory", keys=(f"{_WORKER}.report_global_mem_used",))
    return MonitorSettings(
        enabled=enabled.boolean() if enabled else default.enabled,
        first_report=first.number(at_least=0, unit="seconds") if first else default.first_report,
        report_period=report.number(at_least=1, unit="seconds") if report else default.report_period,
        sample_period=sample.number(at_least=0.1, unit="seconds") if sample else default.sample_period,
        global_memory=memory.boolean() if memory else default.global_memory,
    )


def _uploads(layers: Layers) -> UploadSettings:
    number = layers.find("uploads.max_concurrent", own="UPLOADS_MAX_CONCURRENT", keys=("atrains.uploads.max_concurrent",))
    return UploadSettings(max_concurrent=number.whole(at_least=1, unit="uploads") if number else UploadSettings().max_concurrent)


def _artifacts(layers: Layers) -> ArtifactSettings:
    period = layers.find("artifacts.watch_period", own="ARTIFACTS_WATCH_PERIOD", keys=("atrains.artifacts.watch_period_sec",))
    return ArtifactSettings(watch_period=period.number(at_least=0.1, unit="seconds") if period else ArtifactSettings().watch_period)


def _images(layers: Layers) -> ImageSettings:
    default = ImageSettings()
    history = layers.find("images.history", keys=("sdk.metrics.file_history_size",))
    form = layers.find("images.format", keys=("sdk.metrics.images.format",))
    quality = layers.find("images.quality", keys=("sdk.metrics.images.quality",))
    return ImageSettings(
        history=history.whole(at_least=-(2**31), unit="files") if history else default.history,
        format=form.text().upper() if form else default.format,
        quality=quality.whole(at_least=1, unit="percent") if quality else default.quality,
    )


def _capture(layers: Layers) -> CaptureSettings:
    default = CaptureSettings()
    enabled = layers.find("capture.enabled", own="CAPTURE", keys=("atrains.capture.enabled",))
    diff = layers.find("capture.diff", own="CAPTURE_DIFF", keys=("sdk.development.store_uncommitted_code_diff",))
    remote = layers.find("capture.diff_from_remote", keys=("sdk.development.store_code_diff_from_remote",))
    everything = layers.find("capture.all_packages", keys=("sdk.development.detect_with_pip_freeze",))
    redact = layers.find("capture.redact", own="CAPTURE_REDACT", keys=("atrains.capture.redact",))
    names = layers.find("capture.environment", suffix="LOG_ENVIRONMENT", keys=("sdk.development.log_os_environments",))
    image = layers.find("capture.docker_image", suffix="DOCKER_IMAGE")
    script = layers.find("capture.docker_script", suffix="DOCKER_BASH_SCRIPT")
    return CaptureSettings(
        enabled=enabled.boolean() if enabled else default.enabled,
        diff=diff.boolean() if diff else default.diff,
        diff_from_remote=remote.boolean() if remote else default.diff_from_remote,
        all_packages=everything.boolean() if everything else default.all_packages,
        redact=redact.boolean() if redact else default.redact,
        environment=names.words() if names else default.environment,
        docker_image=image.text() if image else None,
        docker_script=script.text() if script else None,
    )


def _task(layers: Layers) -> TaskSettings:
    default = TaskSettings()
    window = layers.find("task.reuse_window_hours", keys=("sdk.development.task_reuse_time_window_in_hours",))
    no_reuse = layers.find("task.no_reuse", suffix="TASK_NO_REUSE")
    stopping = layers.find("task.support_stopping", own="SUPPORT_STOPPING", keys=("sdk.development.support_stopping",))
    offset = layers.find("task.iteration_offset", suffix="SET_ITERATION_OFFSET")
    output = layers.find("task.default_output_uri", suffix="DEFAULT_OUTPUT_URI", keys=("sdk.development.default_output_uri",))
    return TaskSettings(
        reuse_window_hours=window.number(at_least=0, unit="hours") if window else default.reuse_window_hours,
        no_reuse=no_reuse.boolean() if no_reuse else default.no_reuse,
        support_stopping=stopping.boolean() if stopping else default.support_stopping,
        iteration_offset=offset.whole(at_least=0, unit="iterations") if offset else None,
        default_output_uri=output.text() if output else None,
    )
