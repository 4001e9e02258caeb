"""The SMTP sink: takes all mail, delivers what is for a mailbox of the stand-in, keeps everything for a look."""

from __future__ import annotations

from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox.delivery import Arrival, Post
from sandbox.settings import Settings
from sandbox.state import SinkMail

MAX_SIZE = 36_700_160


class SinkHandler:
    """aiosmtpd's hooks."""

    def __init__(self, post: Post) -> None:
        self.post = post

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Deliver and keep one mail."""
        raw = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        recipients = [str(address) for address in envelope.rcpt_tos]
        sender = str(envelope.mail_from or "")
        delivered, _ = self.post.receive(raw, recipients, Arrival(mail_from=sender, via="smtp"))
        world = self.post.world
        world.keep(SinkMail(world.clock.now(), "smtp", sender, recipients, raw, delivered))
        return "250 2.0.0 OK"


def start_sink(settings: Settings, post: Post) -> Any:
    """Listen on the SMTP port in a thread of its own. Returns the controller, to stop it."""
    controller = Controller(
        SinkHandler(post), hostname=settings.host, port=settings.smtp_port, data_size_limit=MAX_SIZE,
        enable_SMTPUTF8=True, ident="sandbox sink",
    )  # fmt: skip
    controller.start()
    return controller
