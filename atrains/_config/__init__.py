"""Configuration: `settings()` for this process, and the named tuples that it returns. Only names from here are used outside."""

from __future__ import annotations

from atrains._config.block import credentials, settings
from atrains._config.load import NOTHING_CONFIGURED, load_settings
from atrains._config.process import mark_connected, process_settings, reset, reset_in_child, set_credentials
from atrains._config.proxies import proxy_for
from atrains._config.settings import (
    ApiSettings,
    ArtifactSettings,
    CacheSettings,
    CaptureSettings,
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
    Timeout,
    UploadSettings,
)

__all__ = [
    "NOTHING_CONFIGURED",
    "ApiSettings",
    "ArtifactSettings",
    "CacheSettings",
    "CaptureSettings",
    "Credentials",
    "Durability",
    "HomeSettings",
    "HttpSettings",
    "ImageSettings",
    "JournalSettings",
    "Mode",
    "MonitorSettings",
    "Overflow",
    "ProxySettings",
    "ReportingSettings",
    "Secret",
    "Settings",
    "TargetChoice",
    "TaskSettings",
    "Timeout",
    "UploadSettings",
    "credentials",
    "load_settings",
    "mark_connected",
    "process_settings",
    "proxy_for",
    "reset",
    "reset_in_child",
    "set_credentials",
    "settings",
]
