"""TLS and proxies, with certificates made for the test and a real proxy in between."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains.errors import AccessError, TransportError
from tests.api_server import ApiServer, serving

Make = Callable[..., HttpTransport]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authority_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
async def secured(tls: ssl.SSLContext) -> AsyncIterator[ApiServer]:
    async with serving(answering(), tls=tls) as server:
        yield server


def answering() -> ApiServer:
    return ApiServer(handlers={"tasks.get_by_id": lambda *_: {"task": {"id": "t"}}})


async def ask(transport: HttpTransport) -> Any:
    return (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": "t"}))["task"]["id"]


async def test_a_certificate_of_nobody_is_refused_at_once(secured: ApiServer, connect: Make) -> None:
    begun = time.monotonic()
    with pytest.raises(AccessError, match=r"certificate of https://127\.0\.0\.1.* cannot be verified .*ATRAINS_API_HOST_VERIFY_CERT"):
        await ask(connect(secured.url))
    assert time.monotonic() - begun < 2
    assert not secured.sent


async def test_an_authority_of_ones_own_is_trusted(secured: ApiServer, connect: Make, authority_file: str) -> None:
    assert await ask(connect(secured.url, CLEARML_API_HOST_VERIFY_CERT=authority_file)) == "t"
    assert await ask(connect(secured.url, REQUESTS_CA_BUNDLE=authority_file)) == "t"


async def test_the_name_counts_as_well(secured: ApiServer, connect: Make, authority: trustme.CA, authority_file: str) -> None:
    other = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("somewhere.example").configure_cert(other)
    async with serving(answering(), tls=other) as server:
        with pytest.raises(AccessError, match="mismatch"):
            await ask(connect(server.url, CLEARML_API_HOST_VERIFY_CERT=authority_file))


async def test_without_verification_one_warning_is_given(secured: ApiServer, connect: Make, caplog: pytest.LogCaptureFixture) -> None:
    transport = connect(secured.url, CLEARML_API_HOST_VERIFY_CERT="no")
    with caplog.at_level(logging.WARNING, "atrains"):
        assert [await ask(transport) for _ in range(3)] == ["t"] * 3
    assert len([record for record in caplog.records if "not verified" in record.message]) == 1


async def test_a_file_that_holds_no_authority(secured: ApiServer, connect: Make, tmp_path: Path) -> None:
    (tmp_path / "not.pem").write_text("hello")
    with pytest.raises(AccessError, match=r"api\.verify_certificate: .*not\.pem holds no certificates"):
        await ask(connect(secured.url, CLEARML_API_HOST_VERIFY_CERT=str(tmp_path / "not.pem")))


async def test_https_at_a_port_without_tls(server: ApiServer, connect: Make) -> None:
    with pytest.raises(AccessError, match="does not speak TLS"):
        await ask(connect(server.url.replace("http:", "https:")))


async def test_http_at_a_port_with_tls(secured: ApiServer, connect: Make) -> None:
    with pytest.raises(TransportError, match=r"127\.0\.0\.1"):
        await ask(connect(secured.url.replace("https:", "http:")))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_certificates(
    tls: ssl.SSLContext, connect: Make, authority: trustme.CA, authority_file: str, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.minimum_version = tls.maximum_version = version
    authority.configure_trust(tls)
    mine = authority.issue_cert("me@example.com")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    trust = {"CLEARML_API_HOST_VERIFY_CERT": authority_file}
    async with serving(answering(), tls=tls) as server:
        assert await ask(connect(server.url, **trust, ATRAINS_CLIENT_CERTIFICATE=str(tmp_path / "both.pem"))) == "t"
        pair = {"ATRAINS_CLIENT_CERTIFICATE": str(tmp_path / "certificate.pem"), "ATRAINS_CLIENT_KEY": str(tmp_path / "key.pem")}
        assert await ask(connect(server.url, **trust, **pair)) == "t"
        with pytest.raises(TransportError) as caught:
            await ask(connect(server.url, **trust))
        assert "ATRAINS_CLIENT_CERTIFICATE" in str(caught.value)
        with pytest.raises(AccessError, match=r"certificate\.pem cannot be used"):
            await ask(connect(server.url, **trust, ATRAINS_CLIENT_CERTIFICATE=str(tmp_path / "certificate.pem")))


async def test_an_encrypted_key_needs_its_password_and_never_asks(
    tls: ssl.SSLContext, connect: Make, authority: trustme.CA, authority_file: str, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    mine = authority.issue_cert("me@example.com")
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    form = serialization.BestAvailableEncryption(b"open sesame")
    encrypted = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
    (tmp_path / "key.pem").write_bytes(encrypted)
    mine.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    variables = {
        "CLEARML_API_HOST_VERIFY_CERT": authority_file,
        "ATRAINS_CLIENT_CERTIFICATE": str(tmp_path / "certificate.pem"),
        "ATRAINS_CLIENT_KEY": str(tmp_path / "key.pem"),
    }
    async with serving(answering(), tls=tls) as server:
        transport = connect(server.url, **variables, ATRAINS_CLIENT_KEY_PASSWORD="open sesame")
        assert await ask(transport) == "t"
        assert "sesame" not in repr(transport.client.settings)
        with pytest.raises(AccessError, match="encrypted, and no password is set"):
            await ask(connect(server.url, **variables))


@dataclass
class Proxy:
    """An HTTP proxy: forwards plain requests, tunnels the others; keeps their first lines."""

    user: str | None = None
    seen: list[str] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.seen.append(f"{method} {target}")
            wanted = f"Proxy-Authorization: Basic {base64.b64encode((self.user or '').encode()).decode()}"
            if self.user is not None and wanted.encode() not in head:
                writer.write(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            address = target if method == "CONNECT" else target.split("/")[2]
            host, _, port = address.partition(":")
            upstream, out = await asyncio.open_connection(host, int(port))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Go Ahead\r\n\r\n")
            else:
                out.write(head.replace(f"http://{address}".encode(), b"", 1))
            pumps = [asyncio.create_task(pump(reader, out)), asyncio.create_task(pump(upstream, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in pumps:
                task.cancel()
            out.close()
        except (OSError, EOFError, ValueError):
            pass
        finally:
            writer.close()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()


@asynccontextmanager
async def running(proxy: Proxy) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()


async def test_our_proxy_setting_holds_for_everything(server: ApiServer, secured: ApiServer, connect: Make, authority_file: str) -> None:
    server.handlers = secured.handlers
    async with running(Proxy()) as proxy:
        plain = connect(server.url, ATRAINS_PROXY=proxy.url)
        assert await ask(plain) == "t"
        assert proxy.seen[0] == f"POST {server.url}/auth.login"
        proxy.seen.clear()
        tunnelled = connect(secured.url, ATRAINS_PROXY=f"http://{proxy.url}", CLEARML_API_HOST_VERIFY_CERT=authority_file)
        assert await ask(tunnelled) == "t"
        assert proxy.seen == [f"CONNECT {secured.url.removeprefix('https://')}"]
        await plain.aclose()
        await tunnelled.aclose()


async def test_a_proxy_that_asks_who_we_are(server: ApiServer, connect: Make) -> None:
    server.handlers = answering().handlers
    async with running(Proxy(user="me:pass word")) as proxy:
        known = connect(server.url, ATRAINS_PROXY=f"http://me:pass%20word@{proxy.url}")
        assert await ask(known) == "t"
        assert "pass%20" not in repr(known.client.settings)
        stranger = connect(server.url, ATRAINS_PROXY=proxy.url)
        with pytest.raises(AccessError, match="asks for a user"):
            await ask(stranger)
        await known.aclose()
        await stranger.aclose()


async def test_other_programs_proxies_are_not_for_this_machine(server: ApiServer, connect: Make) -> None:
    server.handlers = answering().handlers
    async with running(Proxy()) as proxy:
        assert await ask(connect(server.url, http_proxy=proxy.url, HTTPS_PROXY=proxy.url)) == "t"
        assert not proxy.seen
        elsewhere = connect("http://api.example.com", HTTP_PROXY=proxy.url)
        with pytest.raises(TransportError):
            await ask(elsewhere)
        assert set(proxy.seen) == {"POST http://api.example.com/auth.login"}
        asked = len(proxy.seen)
        exempt = connect("http://api.example.invalid", http_proxy=proxy.url, NO_PROXY=".example.invalid")
        with pytest.raises(TransportError, match="cannot be resolved"):
            await ask(exempt)
        assert len(proxy.seen) == asked
        await elsewhere.aclose()


async def test_a_proxy_that_is_away_is_named_as_the_reason(server: ApiServer, connect: Make) -> None:
    with pytest.raises(TransportError, match=r"the proxy on the way to .* cannot be reached; check ATRAINS_PROXY"):
        await ask(connect(server.url, ATRAINS_PROXY="http://127.0.0.1:9"))
