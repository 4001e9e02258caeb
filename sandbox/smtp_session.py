"""One connection to the stand-in's mail server: RFC 5321 with SIZE, 8BITMIME, SMTPUTF8, PIPELINING, AUTH and STARTTLS.

Written on asyncio's bare protocol, since thousands of mails a second must not cost the machine what the portal needs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
from dataclasses import dataclass, field
from typing import Protocol, cast

MAX_SIZE = 36_700_160
MAX_LINE = 4_096
_PATH = re.compile(r"<([^<>]*)>")
_END = b"\r\n.\r\n"


@dataclass(slots=True)
class Envelope:
    """What the sender said before the data."""

    mail_from: str = ""
    recipients: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """What is said to a command or a mail. `reply` "" says nothing; `pause` seconds pass before it."""

    reply: str
    closes: bool = False
    pause: float = 0


class MailServer(Protocol):
    """What a session asks of its server. `None` lets the command go through."""

    host_name: str
    tls: ssl.SSLContext | None
    loop: asyncio.AbstractEventLoop

    def on_connect(self) -> Verdict | None: ...
    def on_mail(self, is_signed_in: bool) -> Verdict | None: ...
    def on_recipient(self, address: str) -> Verdict | None: ...
    def on_data(self, envelope: Envelope, raw: bytes) -> Verdict: ...
    def offers_auth(self) -> bool: ...
    def may_sign_in(self, user: str, password: str) -> bool: ...


def unstuffed(data: bytes) -> bytes:
    """The mail without the dots that the transport put before lines (RFC 5321, 4.5.2)."""
    if data.startswith(b"."):
        data = data[1:]
    return data.replace(b"\r\n.", b"\r\n") if b"\r\n." in data else data


class SmtpSession(asyncio.Protocol):
    """One client. Commands are answered in order; while a pause lasts, what comes in waits."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._is_in_data = self._is_too_large = self._is_waiting = self._is_signed_in = self._is_secure = False
        self._greeted = False
        self._envelope: Envelope | None = None
        self._task: asyncio.Task[None] | None = None  # the handshake
        self._auth: list[str] | None = None  # what AUTH LOGIN has been told so far

    # the connection ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or refuse."""
        self._transport = cast(asyncio.Transport, transport)
        self._say(self.server.on_connect() or Verdict(f"220 {self.server.host_name} ESMTP stand-in"))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget what was not finished."""
        self._transport = None
        self._buffer.clear()

    def data_received(self, data: bytes) -> None:
        """Take what came in."""
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while self._transport is not None and not self._is_waiting and self._buffer:
            if not (self._take_data() if self._is_in_data else self._take_line()):
                return

    def _say(self, verdict: Verdict) -> None:
        if verdict.pause:
            self._is_waiting = True
            self.server.loop.call_later(verdict.pause, self._say_late, Verdict(verdict.reply, verdict.closes))
            return
        if self._transport is None:
            return
        if verdict.reply:
            self._transport.write(verdict.reply.encode("utf-8", "replace") + b"\r\n")
        if verdict.closes:
            self._transport.close()
            self._transport = None

    def _say_late(self, verdict: Verdict) -> None:
        self._is_waiting = False
        self._say(verdict)
        self._go_on()

    # the data ------------------------------------------------------------------------------------------------------

    def _take_data(self) -> bool:
        """Whether the mail was whole."""
        buffer = self._buffer
        if buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            end = buffer.find(_END, max(0, self._searched - len(_END)))
            after = end + len(_END)
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > MAX_SIZE:
                self._is_too_large = True
                del buffer[: -len(_END)]
                self._searched = 0
            return False
        raw = bytes(buffer[: end + 2]) if end else b""
        del buffer[:after]
        self._searched, self._is_in_data = 0, False
        envelope, self._envelope = self._envelope, None
        if self._is_too_large:
            self._is_too_large = False
            self._say(Verdict("552 5.3.4 Message too big"))
        elif envelope is not None:
            self._say(self.server.on_data(envelope, unstuffed(raw)))
        return True

    # commands ------------------------------------------------------------------------------------------------------

    def _take_line(self) -> bool:
        """Whether there was a whole line."""
        end = self._buffer.find(b"\n")
        if end < 0 or end > MAX_LINE:
            if len(self._buffer) > MAX_LINE:
                self._say(Verdict("500 5.5.6 Line too long", closes=True))
            return False
        line = self._buffer[:end].rstrip(b"\r").decode("utf-8", "surrogateescape")
        del self._buffer[: end + 1]
        if self._auth is not None:
            self._say(self._continue_auth(line))
            return True
        command, _, rest = line.partition(" ")
        method = getattr(self, f"_on_{command.lower()}", None) if command.isalpha() else None
        verdict = method(rest.strip()) if method else Verdict("502 5.5.1 Command not recognised")
        if isinstance(verdict, str):
            verdict = Verdict(verdict)
        self._say(verdict)
        return True

    def _on_helo(self, _rest: str) -> str:
        self._greeted, self._envelope = True, None
        return f"250 {self.server.host_name}"

    def _on_ehlo(self, _rest: str) -> str:
        self._greeted, self._envelope = True, None
        lines = [self.server.host_name, f"SIZE {MAX_SIZE}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"]
        if self.server.tls and not self._is_secure:
            lines.append("STARTTLS")
        if self.server.offers_auth():
            lines.append("AUTH PLAIN LOGIN")
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _on_mail(self, rest: str) -> Verdict | str:
        path = _PATH.search(rest)
        if not self._greeted or self._envelope is not None:
            return "503 5.5.1 Bad sequence of commands"
        if path is None or not rest.upper().startswith("FROM:"):
            return "501 5.5.4 Syntax: MAIL FROM:<address>"
        if refused := self.server.on_mail(self._is_signed_in):
            return refused
        self._envelope = Envelope(path[1])
        return "250 2.1.0 OK"

    def _on_rcpt(self, rest: str) -> Verdict | str:
        path = _PATH.search(rest)
        if self._envelope is None:
            return "503 5.5.1 Need MAIL first"
        if path is None or not path[1] or not rest.upper().startswith("TO:"):
            return "501 5.5.4 Syntax: RCPT TO:<address>"
        if refused := self.server.on_recipient(path[1]):
            return refused
        self._envelope.recipients.append(path[1])
        return "250 2.1.5 OK"

    def _on_data(self, _rest: str) -> str:
        if self._envelope is None or not self._envelope.recipients:
            return "503 5.5.1 Need RCPT first"
        self._is_in_data = True
        return "354 End data with <CR><LF>.<CR><LF>"

    def _on_rset(self, _rest: str) -> str:
        self._envelope = None
        return "250 2.0.0 OK"

    def _on_noop(self, _rest: str) -> str:
        return "250 2.0.0 OK"

    def _on_vrfy(self, _rest: str) -> str:
        return "252 2.5.0 Cannot say"

    def _on_quit(self, _rest: str) -> Verdict:
        return Verdict("221 2.0.0 Bye", closes=True)

    # TLS and sign-in -----------------------------------------------------------------------------------------------

    def _on_starttls(self, _rest: str) -> str:
        if not self.server.tls or self._is_secure:
            return "502 5.5.1 Not offered"
        self._buffer.clear()  # what was sent along in the clear does not count (RFC 3207, 4.2)
        if self._transport is not None and self.server.tls is not None:
            self._is_waiting = True
            self._transport.pause_reading()  # the handshake is not for us
            self._task = self.server.loop.create_task(self._secure(self._transport, self.server.tls))
        return "220 2.0.0 Go ahead"

    async def _secure(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            made = await self.server.loop.start_tls(transport, self, tls, server_side=True)
        except OSError:
            return
        if made is None:
            return
        self._transport, self._is_secure, self._is_waiting = made, True, False
        self._greeted, self._envelope = False, None
        self._go_on()

    def _on_auth(self, rest: str) -> Verdict | str:
        mechanism, _, first = rest.partition(" ")
        if not self.server.offers_auth() or mechanism.upper() not in ("PLAIN", "LOGIN"):
            return "504 5.5.4 Not offered"
        self._auth = [mechanism.upper()]
        if first:
            return self._continue_auth(first)
        return "334 " if mechanism.upper() == "PLAIN" else "334 VXNlcm5hbWU6"

    def _continue_auth(self, line: str) -> Verdict:
        so_far = self._auth or []
        self._auth = None
        try:
            told = base64.b64decode(line, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return Verdict("501 5.5.2 Not base64")
        if so_far == ["LOGIN"]:
            self._auth = ["LOGIN", told]
            return Verdict("334 UGFzc3dvcmQ6")
        user, password = (so_far[1], told) if so_far[0] == "LOGIN" else [*told.split("\0"), "", ""][1:3]
        self._is_signed_in = self.server.may_sign_in(user, password)
        return Verdict("235 2.7.0 Welcome" if self._is_signed_in else "535 5.7.8 Wrong name or password")
