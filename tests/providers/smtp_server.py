"""A mail server that says what a test tells it to, over real sockets and real TLS; and the client's first steps with it."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.providers.smtp.relay import RelayServer, RelaySession

SENDER, PRIYA, JONAH = "b-abc@replies.example", "priya@mail.example", "jonah@mail.example"
RAW = (
    b"From: Tomas <hello@lumen.example>\r\nTo: Priya <priya@mail.example>\r\nBcc: Jonah <jonah@mail.example>,\r\n"
    b" boss@lumen.example\r\nSubject: Swelling\r\nX-CRM-Ref: 1\r\n\r\n.one\r\nBcc: stays in the text\r\nSecret words\r\n"
)
HANG_UP = "hang up"


@dataclass
class Script:
    """Answers by verb; HANG_UP closes instead. "DOT" is the answer to the end of the data, "TEXT" cuts the data itself."""

    answers: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("SIZE 1000000", "8BITMIME")
    stall: float = 0.0  # seconds before the answer to the dot
    tls: ssl.SSLContext | None = None
    is_encrypted: bool = False  # from the first byte on


class MailServer:
    """Listens on a free port of loopback; one thread a connection."""

    def __init__(self, script: Script) -> None:
        self.script, self.lines, self.letters, self.connections = script, list[str](), list[bytes](), 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self.script.is_encrypted and self.script.tls:
                connection = self.script.tls.wrap_socket(connection, server_side=True)
            self._talk(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def _talk(self, connection: socket.socket) -> None:
        wire = connection.makefile("rwb", buffering=0)
        if not self._say(wire, "GREETING", "220 here"):
            return
        while line := wire.readline():
            self.lines.append(line.decode("latin-1").rstrip("\r\n"))
            verb = self.lines[-1].split(" ")[0].upper()
            self.lines[-1] = verb + self.lines[-1][len(verb) :]
            if verb == "STARTTLS" and self.script.tls and self._say(wire, verb, "220 go on"):
                connection = self.script.tls.wrap_socket(connection, server_side=True)
                wire = connection.makefile("rwb", buffering=0)
                continue
            if verb == "EHLO":
                lines = ["here", *self.script.extensions]
                usual = "\r\n".join(f"250{'-' if one is not lines[-1] else ' '}{one}" for one in lines)
            else:
                usual = {"DATA": "354 go on", "QUIT": "221 bye"}.get(verb, "250 2.0.0 fine")
            if not self._say(wire, verb, usual) or verb == "QUIT":
                return
            if verb == "DATA" and verb not in self.script.answers and not self._take(wire):
                return

    def _take(self, wire: socket.SocketIO) -> bool:
        if "TEXT" in self.script.answers:
            wire.readline()
            return self._say(wire, "TEXT", "")
        letter = b""
        while not letter.endswith(b"\r\n.\r\n"):
            if not (line := wire.readline()):
                return False
            letter += line
        self.letters.append(letter)
        time.sleep(self.script.stall)
        return self._say(wire, "DOT", "250 2.0.0 taken")

    def _say(self, wire: socket.SocketIO, step: str, usual: str) -> bool:
        answer = self.script.answers.get(step, usual)
        if answer == HANG_UP:
            return False
        wire.write(answer.encode("latin-1") + b"\r\n")
        return True


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A self-signed certificate for `name` and 127.0.0.1: the server's context, and the file for those who trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ip_address("127.0.0.1")))
    signed = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1)).add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    public, private = folder / f"{name}.pem", folder / f"{name}.key"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


Begin = Callable[..., MailServer]


def at(port: int, **values: Any) -> RelayServer:
    """A server on this machine, without encryption unless said otherwise."""
    return RelayServer(**{"host": "127.0.0.1", "port": port, "security": "none", "may_be_private": True} | values)


def send(server: RelayServer, raw: bytes = RAW, sender: str = SENDER, to: tuple[str, ...] = (PRIYA,), **values: Any) -> bool:
    """Send one mail over a connection of its own; whether that could carry another one."""
    timeout = values.pop("timeout", 2)
    with RelaySession(server, timeout=timeout) as session:
        session.send(raw, sender, to, **values)
        return session.is_usable
