"""The servers that belong together: a user gives one URL, and links and uploads must reach the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from atrains._config import Settings
from atrains._config.hosts import derive_files_host, derive_web_host, normalise_host

Load = Callable[..., Settings]


@pytest.mark.parametrize(
    ("api", "web", "files"),
    [
        ("http://localhost:8008", "http://localhost:8080", "http://localhost:8081"),
        ("https://api.example.org", "https://app.example.org", "https://files.example.org"),
        ("https://demoapi.example.org", "https://demoapp.example.org", "https://demofiles.example.org"),
        ("https://api.example.org:8008", "https://app.example.org:8008", "https://app.example.org:8081"),
        ("http://[::1]:8008", "http://[::1]:8080", "http://[::1]:8081"),
        ("http://10.0.0.1:8008", "http://10.0.0.1:8080", "http://10.0.0.1:8081"),
        ("http://8008.example.org:8008", "http://8008.example.org:8080", "http://8008.example.org:8081"),
    ],
)
def test_web_and_files_follow_from_the_api_server(load: Load, api: str, web: str, files: str) -> None:
    settings = load(TRAINS_API_HOST=api + "/")
    assert (settings.api.api_host, settings.api.web_host, settings.api.files_host) == (api, web, files)
    assert settings.sources["api.web_host"] == settings.sources["api.files_host"] == "derived"


@pytest.mark.parametrize(
    ("web", "files"), [("http://web", "http://web:8081"), ("https://app.x.y", "https://files.x.y"), ("http://w:99", "http://w:8081")]
)
def test_files_follow_from_a_web_server_that_is_given(load: Load, web: str, files: str) -> None:
    settings = load(TRAINS_API_HOST="http://unusual:1234", CLEARML_WEB_HOST=web)
    assert (settings.api.web_host, settings.api.files_host) == (web, files)
    assert derive_files_host(web) == files


def test_hosts_that_cannot_be_derived_are_left_out_and_given_ones_are_kept(load: Load) -> None:
    assert derive_web_host("http://unusual:1234") is None
    settings = load(TRAINS_API_HOST="http://unusual:1234")
    assert settings.api.web_host is settings.api.files_host is None
    settings = load(TRAINS_API_HOST="http://localhost:8008", TRAINS_FILES_HOST="http://files:1")
    assert (settings.api.web_host, settings.api.files_host) == ("http://localhost:8080", "http://files:1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "localhost:8008",
        "ftp://host",
        "http://",
        "http://:8008",
        "http://h:99999",
        "http://h:x",
        "http://a b",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected something like http://localhost:8008"):
        normalise_host(text)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    for text in ("http://user:hunter2@host:8008", "user:hunter2@host", "http://user:hunter2@host:x"):
        with pytest.raises(ValueError, match="host") as caught:
            normalise_host(text)
        assert "hunter2" not in str(caught.value)
