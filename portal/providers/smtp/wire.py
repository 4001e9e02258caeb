"""smtplib's client over a socket that was chosen with care, with a bound on every answer.

The stock client connects to whatever a name leads to, reads answers without end, and keeps what a server says before the
encryption begins.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from functools import lru_cache
from time import monotonic
from typing import NoReturn

import httpx2

from portal.providers.smtp import hosts

CONNECT_SECONDS = 10.0
MAX_ANSWER = 64 * 1024  # bytes; RFC 5321 allows 512 a line
CHUNK = 64 * 1024
TLS, STARTTLS, NONE = "tls", "starttls", "none"


class NotAllowed(Exception):
    """The host is not one that may be talked to, or not without encryption."""


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Checks certificates and names against the authorities of certifi, TLS 1.2 or later (NET-2). Loaded once."""
    context = httpx2.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Wire(smtplib.SMTP):
    """One connection to one server. Raises OSError and smtplib's errors; NotAllowed before anything is sent."""

    def __init__(self, host: str, *, security: str, may_be_private: bool, client_name: str, timeout: float) -> None:
        super().__init__(local_hostname=client_name or "localhost", timeout=timeout)
        self._host = host  # as smtplib calls it: the name that a certificate must bear
        self.security, self.may_be_private, self.seconds = security, may_be_private, timeout
        self._has_name = bool(client_name)
        self._pending = b""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        allowed = [address for address in hosts.addresses_of(host, port) if self._may_use(address)]
        if not allowed:
            raise NotAllowed
        plain = _connect(allowed, port)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the final dot would wait for an acknowledgement
        if not self._has_name:
            address = plain.getsockname()[0]
            self.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        if self.security != TLS:
            return plain
        return _encrypted(plain, host)

    def _may_use(self, address: str) -> bool:
        """Public hosts with encryption only; private ones where the settings allow them."""
        return self.security != NONE if hosts.is_public(address) else self.may_be_private

    def begin_tls(self) -> None:
        """STARTTLS. What came in the clear after its answer is not believed (CVE-2011-0411)."""
        if not self.has_extn("starttls"):
            raise smtplib.SMTPNotSupportedError("STARTTLS is not offered")
        code, answer = self.docmd("STARTTLS")
        if code != 220:
            raise smtplib.SMTPResponseException(code, answer)
        if self._pending or self.sock is None:
            raise ssl.SSLError("data before the handshake")
        self.sock = _encrypted(self.sock, self._host)
        self.ehlo_resp, self.esmtp_features = None, {}

    def getreply(self) -> tuple[int, bytes]:
        """One answer, within `seconds` and a bounded size. Raises SMTPServerDisconnected for an end or for nonsense."""
        deadline, lines, size = monotonic() + self.seconds, [], 0
        while True:
            line = self._line(deadline)
            size += len(line)
            if not line[:3].isdigit() or line[3:4] not in (b" ", b"-", b"") or size > MAX_ANSWER:
                self._give_up()
            lines.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._pending:
            left = deadline - monotonic()
            if left <= 0 or len(self._pending) > MAX_ANSWER or self.sock is None:
                self._give_up()
            self.sock.settimeout(max(left, 0.001))
            part = self.sock.recv(4096)
            if not part:
                self._give_up()
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        return line.rstrip(b"\r")

    def _give_up(self) -> NoReturn:
        self.close()
        raise smtplib.SMTPServerDisconnected("no readable answer")

    def transmit(self, data: bytes) -> None:
        """Send bytes, a piece at a time: each piece has `seconds`, so that a slow line passes and a dead one does not."""
        for start in range(0, len(data), CHUNK):
            if self.sock is not None:
                self.sock.settimeout(self.seconds)
            self.send(data[start : start + CHUNK])

    def has_spoken(self) -> bool:
        """Whether the server said something unasked, or hung up: then the answer or the end can be read without a wait."""
        if self.sock is None or self._pending:
            return True
        self.sock.settimeout(0.0)
        try:
            part = self.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):  # a record of TLS itself
            return False
        if not part:
            self._give_up()
        self._pending += part
        return True


def _connect(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first address that answers; CONNECT_SECONDS for all of them. Raises the last one's OSError."""
    deadline, last = monotonic() + CONNECT_SECONDS, OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), max(deadline - monotonic(), 0.1))
        except OSError as error:
            last = error
    raise last


def _encrypted(plain: socket.socket, host: str) -> ssl.SSLSocket:
    plain.settimeout(CONNECT_SECONDS)
    try:
        return tls_context().wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
