"""Hand mails to an account's own mail server, knowing of each whether it was taken, refused, or is uncertain (S-01, NET-4).

A mail counts as taken with the 250 after its final dot. The caller is called back right before that dot: what is written
then divides "certainly not sent" from "perhaps sent". Errors bear reply codes only, never what the server wrote.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType

from portal.providers.errors import OperatorFault, ProviderError, Refused, Temporary, Unanswered
from portal.providers.smtp.envelope import letter_of, wire_address
from portal.providers.smtp.wire import NONE, STARTTLS, NotAllowed, Wire

FINAL_SECONDS = 120.0  # how long a server may think about a whole mail
QUIT_SECONDS = 2.0
ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?=[ \r\n]|$)")
SIGN_IN_CODES = (530, 534, 535, 538)  # RFC 4954: it is the sign-in that is wrong, not the mail
TOO_LARGE = 552
CUT = (OSError, smtplib.SMTPException)


class HostRefused(OperatorFault):
    """The host is in a private network, or encryption is off on the way to a public one."""


class TlsRefused(OperatorFault):
    """No encryption that can be trusted: not offered, too old, or the certificate is not the server's."""


class SignInRefused(OperatorFault):
    """The server refuses user name and password, or wants some."""


class SenderRefused(Refused):
    """The server takes no mail from this sender: about the set-up, not about the recipient."""


@dataclass(frozen=True)
class RelayServer:
    """Where the server is and how to sign in. `security` is tls, starttls or none."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = field(default="", repr=False)
    may_be_private: bool = False  # demo and test: hosts of a private network are allowed
    client_name: str = ""  # how the portal introduces itself; "" for its address


class RelaySession:
    """One connection. Use it as a context manager, for one mail after the other, in one thread.

    Without encryption only hosts of a private network are spoken to, and nobody signs in (NET-2).
    """

    def __init__(self, server: RelayServer, *, timeout: float = 30) -> None:
        """`timeout` in seconds for each command; the final answer may take FINAL_SECONDS."""
        self._server, self._timeout = server, timeout
        self._is_idle = False
        self._wire = Wire(
            server.host, security=server.security, may_be_private=server.may_be_private,
            client_name=server.client_name, timeout=timeout,
        )  # fmt: skip

    @property
    def is_usable(self) -> bool:
        """Whether another mail can be sent over this connection."""
        return self._is_idle and self._wire.sock is not None

    def __enter__(self) -> RelaySession:
        """Connect, encrypt, sign in. Raises Temporary or OperatorFault."""
        if self._server.username and self._server.security == NONE:
            raise SignInRefused("no sign-in without TLS")
        try:
            with _judged_beginning():
                self._begin()
        except BaseException:
            self._wire.close()
            raise
        self._is_idle = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_usable and kind is None:
            self._wire.seconds = QUIT_SECONDS
            with suppress(*CUT):
                self._wire.docmd("QUIT")
        self._is_idle = False
        self._wire.close()

    def send(
        self, raw: bytes, mail_from: str, recipients: Sequence[str], *, before_end: Callable[[], None] = lambda: None
    ) -> None:
        """Hand over one mail for all recipients, or for none of them. Returns once the server has taken it.

        `before_end` runs when everything but the final dot was transmitted; what it raises ends the mail unsent. Raises
        Temporary (certainly not sent), Refused (for good; `args[0]` is such as "550 5.1.1"), OperatorFault, or Unanswered
        (perhaps sent).
        """
        letter = letter_of(raw)
        sender, people = wire_address(mail_from), [wire_address(address) for address in recipients]
        if not people or "" in people:
            raise Refused("503 5.5.1", status=503)
        with self._certainly_unsent():
            self._address(letter, sender, people)
            self._transmit(letter)
        try:
            before_end()
        except BaseException:
            self._wire.close()  # without the dot: the server forgets the mail
            raise
        self._end()

    def probe(self, mail_from: str) -> None:
        """Whether the server would take mail of this sender, without sending any. Raises as `send` does."""
        with self._certainly_unsent():
            self._mail(f"FROM:<{wire_address(mail_from)}>")
            self._reset()

    def _begin(self) -> None:
        wire = self._wire
        _require(wire.connect(self._server.host, self._server.port), 220)
        _require(wire.ehlo(), 250)
        if self._server.security == STARTTLS:
            with _judged_encryption():
                wire.begin_tls()
            _require(wire.ehlo(), 250)
        if self._server.username:
            self._sign_in()

    def _sign_in(self) -> None:
        try:
            self._wire.login(self._server.username, self._server.password)
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code < 500:
                raise Temporary(f"sign-in put off: {error.smtp_code}") from None
            raise SignInRefused(f"sign-in refused: {error.smtp_code}") from None
        except (smtplib.SMTPServerDisconnected, OSError):
            raise
        except (smtplib.SMTPException, ValueError) as error:  # no way to sign in that both know; signs outside ASCII
            raise SignInRefused(f"no sign-in: {type(error).__name__}") from None

    @contextmanager
    def _certainly_unsent(self) -> Iterator[None]:
        """Trouble before the final dot: nothing was sent. After a refusal the connection is made ready for the next mail."""
        if not self.is_usable:
            raise Temporary("the connection has ended")
        self._is_idle = False
        try:
            yield
        except ProviderError:
            with suppress(*CUT):
                self._reset()
            raise
        except CUT as error:
            self._wire.close()
            raise Temporary(f"cut off before the end: {type(error).__name__}") from None

    def _address(self, letter: bytes, sender: str, people: list[str]) -> None:
        wire = self._wire
        limit = wire.esmtp_features.get("size", "").strip()
        if limit.isdigit() and 0 < int(limit) < len(letter):
            raise Refused(f"{TOO_LARGE} 5.3.4", status=TOO_LARGE)
        extras = f" SIZE={len(letter)}" if wire.has_extn("size") else ""
        if not letter.isascii() and wire.has_extn("8bitmime"):
            extras += " BODY=8BITMIME"
        self._mail(f"FROM:<{sender}>{extras}")
        for address in people:
            _require(wire.docmd("RCPT", f"TO:<{address}>"), 250, 251)
        _require(wire.docmd("DATA"), 354)

    def _mail(self, arguments: str) -> None:
        try:
            _require(self._wire.docmd("MAIL", arguments), 250)
        except Refused as error:
            if error.status == TOO_LARGE:
                raise
            raise SenderRefused(str(error), error.status) from None

    def _transmit(self, letter: bytes) -> None:
        wire = self._wire
        try:
            wire.transmit(letter)
            if wire.has_spoken():
                _require(wire.getreply(), 0)
        except BaseException:
            wire.close()  # in the middle of a mail no command is possible
            raise

    def _end(self) -> None:
        """The final dot, and what the server says to it."""
        wire = self._wire
        try:
            wire.transmit(b".\r\n")
            wire.seconds = FINAL_SECONDS
            code, text = wire.getreply()
        except CUT as error:
            wire.close()
            raise Unanswered(f"no answer to the end: {type(error).__name__}") from None
        finally:
            wire.seconds = self._timeout
        if not 200 <= code < 300 and not 400 <= code < 600:
            wire.close()
            raise Unanswered(f"an answer without meaning: {code}")
        if code == 421:
            wire.close()
        self._is_idle = True
        _require((code, text), *range(200, 300))

    def _reset(self) -> None:
        """Forget the mail that was begun; without a 250 the connection is of no more use."""
        if self._wire.sock is None:
            return
        if self._wire.docmd("RSET")[0] == 250:
            self._is_idle = True
        else:
            self._wire.close()


def _require(answer: tuple[int, bytes], *good: int) -> None:
    """Raises what an answer means that is none of `good`: the codes, without the server's words."""
    code, text = answer
    if code in good:
        return
    enhanced = ENHANCED.match(text)
    status = f"{code} {enhanced[0].decode('ascii')}" if enhanced else str(code)
    if code in SIGN_IN_CODES:
        raise SignInRefused(status)
    if 500 <= code < 600:
        raise Refused(status, status=code)
    raise Temporary(status)


@contextmanager
def _judged_beginning() -> Iterator[None]:
    """What is wrong before the first mail: no mail's fault, so never a refusal of one."""
    try:
        yield
    except NotAllowed:
        raise HostRefused("host not allowed") from None
    except Refused as error:
        raise OperatorFault(f"the server refuses us: {error}") from None
    except UnicodeError:
        raise OperatorFault("the host's name is none") from None
    except ssl.SSLError as error:
        raise _encryption_trouble(error) from None
    except CUT as error:
        raise Temporary(f"not reached: {type(error).__name__}") from None


@contextmanager
def _judged_encryption() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPNotSupportedError:
        raise TlsRefused("STARTTLS is not offered") from None
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            raise TlsRefused(f"STARTTLS refused: {error.smtp_code}") from None
        raise


def _encryption_trouble(error: ssl.SSLError) -> ProviderError:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return Temporary(f"not reached: {type(error).__name__}")
    return TlsRefused(f"TLS: {type(error).__name__}")
