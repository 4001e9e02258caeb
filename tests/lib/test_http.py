"""The wrapper of calls to providers: what never left is told from what may have, certificates are checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.lib.http import Answer, Http, NoAnswer


def ask(url: str, **values: float) -> Answer:
    async def request() -> Answer:
        async with Http() as http:
            return await http.request("GET", url, **values)  # type: ignore[arg-type]

    return asyncio.run(request())


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """A TLS server with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    served: list[bytes] = []

    def serve(server: socket.socket) -> None:
        try:
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as tls:
                served.append(tls.recv(1000))
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield f"https://localhost:{server.getsockname()[1]}/"
        thread.join(2)
    assert served == []


@pytest.mark.requirement("NET-2")
@pytest.mark.provider_fault(39)
def test_a_certificate_that_nobody_signed_is_refused(stranger: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        ask(stranger)
    assert not raised.value.sent


@pytest.mark.provider_fault(39)
@pytest.mark.fault(14)
def test_a_server_that_never_answers_is_given_up(silent: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        ask(silent, read_seconds=0.3)
    assert raised.value.sent


@pytest.mark.provider_fault(39)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "ftp://x.example/", "http://x:9:9/", "x", ""]
)
def test_what_never_left_is_told_apart(url: str) -> None:
    with pytest.raises(NoAnswer) as raised:
        ask(url)
    assert not raised.value.sent
    assert url not in str(raised.value) or not url
