"""The practice's mail server: takes all mail, delivers what is for a mailbox of the stand-in, keeps everything for a look.

It listens in a thread with an event loop of its own. `/__ctl/smtp-faults` makes it go wrong.
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
import threading

from sandbox.delivery import Arrival, Post
from sandbox.reports import delivery_report
from sandbox.settings import Settings
from sandbox.sink import SinkMail
from sandbox.smtp_faults import SmtpFault
from sandbox.smtp_session import Envelope, SmtpSession, Verdict

TAKEN = Verdict("250 2.0.0 OK")
ANSWERS = {
    "closed": Verdict("421 4.3.2 Service not available", closes=True),
    "auth_required": Verdict("530 5.7.0 Authentication required"),
    "refuse_recipient": Verdict("550 5.1.1 No such address"),
    "defer_recipient": Verdict("451 4.7.1 Greylisted, try again later"),
    "refuse_data": Verdict("554 5.7.1 Message refused"),
    "defer_data": Verdict("452 4.3.1 Insufficient system storage"),
    "drop_before_accept": Verdict("", closes=True),
    "drop_after_accept": Verdict("", closes=True),
}
TAKES_NOTHING = ("refuse_data", "defer_data", "drop_before_accept")


class SmtpServer:
    """The mail server of one world; sessions ask it what to say."""

    host_name = "mx.practice.example"

    def __init__(self, settings: Settings, post: Post) -> None:
        self.settings, self.post, self.world = settings, post, post.world
        self.loop = asyncio.new_event_loop()
        self.tls = _tls_context(settings)
        self._is_ready = threading.Event()
        self._failure: OSError | None = None

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        threading.Thread(target=self._listen, name="smtp", daemon=True).start()
        self._is_ready.wait()
        if self._failure:
            raise self._failure

    def _listen(self) -> None:
        asyncio.set_event_loop(self.loop)
        host, port = self.settings.host, self.settings.smtp_port
        listening = self.loop.create_server(lambda: SmtpSession(self), host, port, backlog=256)
        try:
            self.loop.run_until_complete(listening)
        except OSError as error:
            self._failure = error
        self._is_ready.set()
        if self._failure is None:
            self.loop.run_forever()

    # what sessions ask ---------------------------------------------------------------------------------------------

    def on_connect(self) -> Verdict | None:
        """A client is there."""
        return self._answer("connect", [])

    def on_mail(self, is_signed_in: bool) -> Verdict | None:
        """MAIL FROM."""
        if is_signed_in:
            return None
        return ANSWERS["auth_required"] if self.world.knobs.smtp_user else self._answer("mail", [])

    def on_recipient(self, address: str) -> Verdict | None:
        """RCPT TO."""
        return self._answer("rcpt", [address])

    def _answer(self, stage: str, recipients: list[str]) -> Verdict | None:
        fault = self.world.smtp_faults.take(stage, recipients)
        return ANSWERS[fault.kind] if fault else None

    def offers_auth(self) -> bool:
        """Whether there is something to sign in with, or a fault that asks for it."""
        return bool(self.world.knobs.smtp_user) or self.world.smtp_faults.is_on("auth_required")

    def may_sign_in(self, user: str, password: str) -> bool:
        """Whether name and password are those of the knobs."""
        knobs = self.world.knobs
        given, right = f"{user}\0{password}".encode(), f"{knobs.smtp_user}\0{knobs.smtp_password}".encode()
        return bool(knobs.smtp_user) and hmac.compare_digest(given, right)

    def on_data(self, envelope: Envelope, raw: bytes) -> Verdict:
        """A whole mail."""
        fault = self.world.smtp_faults.take("data", envelope.recipients)
        if fault is None:
            self._take(envelope, raw, envelope.recipients)
            return TAKEN
        if fault.kind in TAKES_NOTHING:
            return ANSWERS[fault.kind]
        if fault.kind == "bounce":
            self._bounce(envelope, raw, fault)
            return TAKEN
        self._take(envelope, raw, envelope.recipients)
        return Verdict(TAKEN.reply, pause=fault.seconds) if fault.kind == "stall" else ANSWERS[fault.kind]

    # what becomes of a mail ----------------------------------------------------------------------------------------

    def _take(self, envelope: Envelope, raw: bytes, recipients: list[str]) -> None:
        """Deliver to `recipients`, hand over what is routed, and keep the mail with its whole envelope."""
        delivered, elsewhere = self.post.receive(raw, recipients, Arrival(mail_from=envelope.mail_from, via="smtp"))
        self.world.router.hand_over(raw, envelope.mail_from, elsewhere)
        now = self.world.clock.now()
        self.world.keep(SinkMail(now, "smtp", envelope.mail_from, envelope.recipients, raw, delivered))

    def _bounce(self, envelope: Envelope, raw: bytes, fault: SmtpFault) -> None:
        """Take the mail, deliver it to those the fault is not about, and report the others to the envelope sender."""
        failed = fault.hit(envelope.recipients)
        self._take(envelope, raw, [address for address in envelope.recipients if address not in failed])
        if envelope.mail_from:  # nobody is told about a report (RFC 5321, 4.5.5)
            report = delivery_report(raw, envelope.mail_from, failed, fault.status, self.world.clock.now())
            self.post.report(report, envelope.mail_from)


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.smtp_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.smtp_cert, settings.smtp_key or None)
    return context


def start_sink(settings: Settings, post: Post) -> SmtpServer:
    """Listen on the SMTP port. Raises OSError when it is taken."""
    server = SmtpServer(settings, post)
    server.start()
    return server
