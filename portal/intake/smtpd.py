"""The SMTP server of the intake: who may speak, for how long, to whom; a mail is kept before it is acknowledged (SMT-3).

It takes mail for the portal's own addresses only, relays nothing, tells nobody which addresses exist, and never writes a
mail itself. Built on aiosmtpd; the end of the data is found here, since a line of a real mail may be longer than RFC 5321
allows and nothing but CRLF.CRLF may end it. Work on the database runs in threads.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax
from sqlalchemy.exc import SQLAlchemyError

from portal.intake.service import AddressFull, Handed, Target
from portal.lib.traces import trace_of

MAX_BYTES = 36_700_160  # 35 MB: 25 MB of files in base64, and their text
MAX_DRAINED = 2 * MAX_BYTES  # who goes on beyond this is cut off
MOST_RECIPIENTS, MOST_UNKNOWN = 20, 10
MOST_PER_ADDRESS, MOST_CONNECTIONS = 20, 60
IDLE_SECONDS, TOTAL_SECONDS = 60.0, 600.0
CALLS = {"*": 100, "RCPT": 500, "STARTTLS": 1}
END_OF_DATA = b"\r\n.\r\n"
UNKNOWN = "550 5.1.1 No such address here"
FOREIGN = "550 5.7.1 Only its owner may write to this address"
FULL = "452 4.2.2 Too much waits at this address, try again later"
LATER = "451 4.3.0 Not possible at the moment, try again later"
NOT_OFFERED = ("AUTH", "HELP")

log = logging.getLogger("portal.intake")
Answer = TypeVar("Answer")


@dataclass
class Limits:
    """What one caller may take; tests set it tighter."""

    per_address: int = MOST_PER_ADDRESS
    connections: int = MOST_CONNECTIONS
    idle_seconds: float = IDLE_SECONDS
    total_seconds: float = TOTAL_SECONDS


@dataclass
class Door:
    """Counts who is in, over all connections."""

    limits: Limits = field(default_factory=Limits)
    inside: Counter[str] = field(default_factory=Counter)

    def let_in(self, caller: str) -> bool:
        """Whether one more connection of this caller may come in; it then counts until `leave`."""
        if self.inside.total() >= self.limits.connections or self.inside[caller] >= self.limits.per_address:
            return False
        self.inside[caller] += 1
        return True

    def leave(self, caller: str) -> None:
        """A connection of this caller has ended."""
        self.inside[caller] -= 1
        if self.inside[caller] <= 0:
            del self.inside[caller]


def caller_of(peer: Any) -> str:
    """Who counts as one caller: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except (ValueError, IndexError, TypeError):
        return ""
    return str(address if address.version == 4 else ip_network((address, 64), strict=False))


@dataclass(frozen=True)
class Desk:
    """What the server asks of the portal, each call in a thread of its own: `run` brings it there."""

    find: Callable[[str], Target | None]
    keep: Callable[[list[Target], bytes, Handed], bool]
    run: Callable[[Callable[[], Any]], Any]  # → awaitable


class IntakeEnvelope(Envelope):
    """An SMTP transaction with what its recipients stand for."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Target] = []


class IntakeServer(SMTP):
    """One connection."""

    def __init__(self, door: Door, desk: Desk, *, name: str, tls: ssl.SSLContext | None, loop: Any) -> None:
        super().__init__(
            self, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, hostname=name, ident="ESMTP", tls_context=tls,
            timeout=door.limits.idle_seconds, command_call_limit=dict(CALLS), loop=loop,
        )  # fmt: skip
        for command in NOT_OFFERED:
            self._smtp_methods.pop(command, None)
        self._door, self._desk, self._caller = door, desk, ""
        self._is_inside = self._is_refused = False
        self._unknown = 0
        self._end: asyncio.TimerHandle | None = None

    def _create_envelope(self) -> Envelope:
        return IntakeEnvelope()

    def connection_made(self, transport: Any) -> None:
        """Let the caller in or say that too many are; start the clock of the whole visit."""
        if not self._is_inside:
            self._caller = caller_of(transport.get_extra_info("peername"))
            if not self._door.let_in(self._caller):
                self._is_refused = True
                transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
                transport.close()
                return
            self._is_inside = True
            self._end = self.loop.call_later(self._door.limits.total_seconds, self._timeout_cb)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Each sign of life starts the idle clock anew, also within the data."""
        if self._is_refused:
            return
        self._reset_timeout()
        super().data_received(data)

    def eof_received(self) -> bool | None:
        """The caller has hung up."""
        return None if self._is_refused else super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Make room for the next."""
        if self._is_inside:
            self._is_inside = False
            self._door.leave(self._caller)
            if self._end is not None:
                self._end.cancel()
        if not self._is_refused:
            super().connection_lost(error)

    def _timeout_cb(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        found: Answer = await self._desk.run(question)
        return found

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, name: str, lines: list[str]
    ) -> list[str]:
        """What is offered: neither sign-in nor help."""
        session.host_name = name
        offered = [line[4:] for line in lines if not line[4:].startswith(NOT_OFFERED)]
        return [f"250{'-' if number < len(offered) else ' '}{text}" for number, text in enumerate(offered, 1)]

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: IntakeEnvelope, address: str, _options: list[str]
    ) -> str:
        """Only addresses of ours that exist; one answer for all others (SMT-1)."""
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients, send the rest in another mail"
        try:
            target = await self._ask(lambda: self._desk.find(address))
        except SQLAlchemyError as error:
            log.warning("an address could not be looked up: %s", trace_of(error))
            return LATER
        if target is None:
            return self._refuse()
        envelope.rcpt_tos.append(address)
        envelope.targets.append(target)
        return "250 2.1.5 OK"

    def _refuse(self) -> str:
        """Who guesses is shown out after some tries."""
        self._unknown += 1
        if self._unknown <= MOST_UNKNOWN:
            return UNKNOWN
        if self.transport is not None:
            self.loop.call_soon(self._timeout_cb)
        return "421 4.7.0 Too many unknown recipients"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: IntakeEnvelope) -> str:
        """Keep it, then say so. What is wrong with a mail is no reason to refuse it; to write to a stranger's BCC address
        is one (B-05)."""
        raw, sender = bytes(envelope.original_content or b""), envelope.mail_from or ""
        peer = str(session.peer[0]) if session.peer else ""
        handed = Handed("" if sender == "<>" else sender, peer, session.host_name or "")
        try:
            is_taken = await self._ask(lambda: self._desk.keep(envelope.targets, raw, handed))
        except SQLAlchemyError as error:
            log.warning("a mail could not be kept: %s", trace_of(error))
            return LATER
        except AddressFull:
            return FULL
        return "250 2.0.0 OK, kept" if is_taken else FOREIGN

    async def handle_exception(self, error: Exception) -> str:
        """A command that is not understood; the error's text may quote it, so only its place is logged."""
        log.warning("an SMTP command failed: %s", trace_of(error))
        return "501 5.5.2 Not understood" if isinstance(error, RecursionError | ValueError | IndexError) else LATER

    async def smtp_VRFY(self, _arg: str) -> None:
        """Nobody is told which addresses exist."""
        await self.push("502 5.5.1 Not available")

    async def smtp_EXPN(self, _arg: str) -> None:
        """As VRFY."""
        await self.push("502 5.5.1 Not available")

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        """Take the data up to CRLF.CRLF and nothing else (no smuggling by LF.LF and the like)."""
        envelope = self.envelope
        if await self.check_helo_needed():
            return
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Need RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        if self._reader._buffer:  # type: ignore[attr-defined]
            await self.push("503 5.5.0 Wait for the answer to DATA")
            if self.transport is not None:
                self.transport.close()
            return
        self._reader.feed_data(b"\r\n")  # so that a dot in the first line ends the data, too
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        raw = await self._data()
        if raw is None:
            await self.push("552 5.3.4 Too large")
        else:
            envelope.content = envelope.original_content = raw
            await self.push(await self.handle_DATA(self, self.session, envelope))  # type: ignore[arg-type]
        self._set_post_data_state()

    async def _data(self) -> bytes | None:
        """The data with its doubled dots undone; None when it is larger than what is taken."""
        pieces: list[bytes] = []
        size = 0
        while True:
            try:
                piece = await self._reader.readuntil(END_OF_DATA)
                is_last = True
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
                is_last = False
            size += len(piece)
            if size > MAX_BYTES:
                pieces.clear()
            else:
                pieces.append(piece)
            if size > MAX_DRAINED and self.transport is not None:
                self.transport.close()
            if is_last:
                break
        if size > MAX_BYTES:
            return None
        return b"".join(pieces)[:-3].replace(b"\r\n.", b"\r\n")[2:]
