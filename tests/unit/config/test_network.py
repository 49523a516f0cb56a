"""The way to a server: proxies, who is reached without one, certificates, and what of it does not matter on the local home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atrains._config import ProxySettings, Secret, Settings, proxy_for
from atrains._config.proxies import normalise_proxy
from atrains.errors import ConfigurationError

Load = Callable[..., Settings]
Write = Callable[[str, str], Path]
SERVER = {"ATRAINS_API_HOST": "https://api.example.com"}


def way(settings: Settings, url: str = "https://api.example.com/x") -> str | None:
    return proxy_for(url, settings.api.proxy)


def test_our_proxy_wins_over_files_and_those_over_other_programs(load: Load, write: Write) -> None:
    shared = {"HTTPS_PROXY": "http://shared:1", "http_proxy": "plain:2", "ALL_PROXY": "http://all:3"}
    assert way(load(**SERVER)) is None
    assert way(load(**SERVER, **shared)) == "http://shared:1"
    assert way(load(**SERVER, **shared), "http://files.example.com") == "http://plain:2"
    assert way(load(**SERVER, ALL_PROXY="http://all:3")) == "http://all:3"
    write("clearml.conf", 'atrains.proxy = "http://file:4"')
    settings = load(**SERVER, **shared)
    assert way(settings) == way(settings, "http://localhost:8008") == "http://file:4"
    assert settings.sources["api.proxy.https"] == "~/clearml.conf"
    assert way(load(**SERVER, **shared, ATRAINS_PROXY="http://own:5")) == "http://own:5"
    assert way(load(**SERVER, **shared, ATRAINS_PROXY="none")) is None


def test_a_lower_case_variable_wins(load: Load) -> None:
    assert way(load(**SERVER, https_proxy="http://lower:1", HTTPS_PROXY="http://upper:1")) == "http://lower:1"


def test_this_machine_is_reached_directly_unless_we_are_told_otherwise(load: Load) -> None:
    settings = load(**SERVER, http_proxy="http://shared:1")
    for url in ("http://localhost:8008", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:8008"):
        assert way(settings, url) is None
        assert way(load(**SERVER, ATRAINS_PROXY="http://own:1"), url) == "http://own:1"


@pytest.mark.parametrize(
    ("entry", "host", "direct"),
    [
        ("*", "anything", True),
        ("example.com", "example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("example.com", "badexample.com", False),
        ("EXAMPLE.com", "api.Example.Com", True),
        ("api.example.com:8008", "api.example.com:8008", True),
        ("api.example.com:8008", "api.example.com:8009", False),
        ("api.example.com:443", "api.example.com", True),
        ("10.0.0.0/8", "10.1.2.3:8008", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "[::1]:8008", True),
        ("[::1]:8008", "[::1]:8008", True),
        ("", "example.com", False),
        (" ", "example.com", False),
    ],
)
def test_who_is_reached_without_a_proxy(entry: str, host: str, direct: bool) -> None:
    proxy = Secret("http://proxy:1")
    assert (proxy_for(f"https://{host}/path", ProxySettings(proxy, proxy, (entry,))) is None) is direct


def test_the_exceptions_are_a_list_with_commas(load: Load) -> None:
    settings = load(**SERVER, ATRAINS_PROXY="http://own:1", NO_PROXY=" a.example , .b.example,")
    assert settings.api.proxy.bypass == ("a.example", ".b.example")
    assert load(**SERVER, ATRAINS_NO_PROXY="c", NO_PROXY="a").api.proxy.bypass[0] == "c"


@pytest.mark.parametrize("text", ["socks5://host:1", "http://", "http://host:port", "ftp://host", "http://host:0"])
def test_a_proxy_that_cannot_be_used_is_named(load: Load, text: str) -> None:
    for name in ("ATRAINS_PROXY", "https_proxy"):
        with pytest.raises(ConfigurationError, match=f"{name}: .*not the URL of an http proxy"):
            load(**SERVER, **{name: text})
    assert load(https_proxy=text).target.kind == "local"  # what the local home does not need does not stop it


def test_a_password_of_a_proxy_is_never_shown(load: Load) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**SERVER, ATRAINS_PROXY="socks5://user:hunter2@host:1")
    assert "hunter2" not in str(caught.value)
    settings = load(**SERVER, ATRAINS_PROXY="http://user:hunter2@host:1")
    assert "hunter2" not in repr(settings)
    assert normalise_proxy("user:hunter2@host:1") == "http://user:hunter2@host:1"


def test_certificates_are_files_that_exist(load: Load, write: Write) -> None:
    path = write("me.pem", "")
    settings = load(**SERVER, ATRAINS_CLIENT_CERTIFICATE="~/me.pem", ATRAINS_CLIENT_KEY=str(path), ATRAINS_CLIENT_KEY_PASSWORD="open")
    assert (settings.api.client_certificate, settings.api.client_key, settings.api.client_key_password) == (path, path, Secret("open"))
    write("clearml.conf", 'atrains { client_certificate: "~/me.pem" }')
    assert load(**SERVER).api.client_certificate == path
    with pytest.raises(ConfigurationError, match=r"ATRAINS_CLIENT_CERTIFICATE is '/no/such.pem'; expected the path of a file that exists"):
        load(**SERVER, ATRAINS_CLIENT_CERTIFICATE="/no/such.pem")


def test_authorities_of_other_programs_count_for_servers_alone(load: Load, write: Write) -> None:
    path = write("ca.pem", "")
    assert load(**SERVER, REQUESTS_CA_BUNDLE=str(path)).api.verify_certificate == str(path)
    assert load(**SERVER, REQUESTS_CA_BUNDLE=str(path), CLEARML_API_HOST_VERIFY_CERT="no").api.verify_certificate is False
    assert load(REQUESTS_CA_BUNDLE="/gone.pem").api.verify_certificate is True


def test_the_highest_version_is_two_numbers(load: Load) -> None:
    assert load(CLEARML_FORCE_MAX_API_VERSION="2.13").api.max_api_version == (2, 13)
    with pytest.raises(ConfigurationError, match="an API version, such as"):
        load(CLEARML_FORCE_MAX_API_VERSION="latest")
