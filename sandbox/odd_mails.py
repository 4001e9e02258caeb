"""Mails of the kinds that a mailbox meets beside letters, ready to be delivered: newsletter, auto-reply, old mail, spam …"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from sandbox.delivery import Arrival
from sandbox.inputs import BadInput

DAY = 86_400


@dataclass(frozen=True)
class OddMail:
    """A kind of mail: its title for people, and what makes (mail, way of arrival) from sender, recipient and time."""

    name: str
    title: str
    make: Callable[[str, str, float], tuple[bytes, Arrival]]


def _mail(sender: str, to: str, now: float, subject: str, text: str, **fields: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = formatdate(now)
    mail["Message-ID"] = f"<{secrets.token_hex(12)}@{sender.rpartition('@')[2]}>"
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def _newsletter(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(
        sender, to, now, "Our offers this month", "20% off everything until Friday.\n",
        List_Id=f"<news.{sender.rpartition('@')[2]}>", List_Unsubscribe="<https://news.example/unsubscribe>",
        Precedence="bulk",
    )  # fmt: skip
    mail.add_alternative("<h1>20% off everything</h1><img src='https://news.example/pixel.gif'>", subtype="html")
    return mail.as_bytes(), Arrival(sender)


def _auto_reply(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    text = "I am away until Monday and will read your mail then.\n"
    mail = _mail(sender, to, now, "Out of office", text, Auto_Submitted="auto-replied", X_Autoreply="yes")
    return mail.as_bytes(), Arrival(sender)


def _old(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    then = now - 400 * DAY
    mail = _mail(sender, to, then, "A question from last year", "Do you still have my file?\n")
    return mail.as_bytes(), Arrival(sender, internal_date=int(then * 1000))


def _old_date_new_arrival(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(sender, to, now - 400 * DAY, "Sent late", "My computer's clock is wrong.\n")
    return mail.as_bytes(), Arrival(sender)


def _spam(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(sender, to, now, "You have won", "Send us your card number.\n")
    return mail.as_bytes(), Arrival(sender, labels=frozenset({"SPAM", "UNREAD"}), auth="fail")


def _forged(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(sender, to, now, "It is me", "Please send my results to this new address.\n")
    return mail.as_bytes(), Arrival("someone@elsewhere.example", auth="fail")


def _bounce(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    daemon = f"mailer-daemon@{sender.rpartition('@')[2]}"
    text = "Your message could not be delivered: 550 5.1.1 no such user.\n"
    mail = _mail(daemon, to, now, "Delivery Status Notification (Failure)", text, Auto_Submitted="auto-replied")
    return mail.as_bytes(), Arrival("")


def _invitation(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(sender, to, now, "Invitation: consultation", "Shall we talk on Friday at ten?\n")
    calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    mail.add_attachment(calendar.encode(), maintype="text", subtype="calendar", filename="invite.ics")
    return mail.as_bytes(), Arrival(sender)


def _broken(sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    mail = _mail(sender, to, now, "Broken", "\n")
    del mail["Content-Type"]
    head = mail.as_bytes().partition(b"\r\n\r\n")[0]
    junk = b"--\r\nContent-Type: text/plain; charset=no-such\r\n\r\n\xff\xfe what is this\r\n"
    return head + b'\r\nContent-Type: multipart/mixed; boundary=""\r\n\r\n' + junk, Arrival(sender)


KINDS = [
    OddMail("newsletter", "Newsletter (List-Id, Precedence: bulk)", _newsletter),
    OddMail("auto_reply", "Out-of-office answer", _auto_reply),
    OddMail("old", "Old mail, more than a year ago", _old),
    OddMail("old_date", "New mail with an old Date header", _old_date_new_arrival),
    OddMail("spam", "Spam, in the spam folder", _spam),
    OddMail("forged", "Forged sender (authentication fails)", _forged),
    OddMail("bounce", "Delivery failure of a mailer-daemon", _bounce),
    OddMail("invitation", "Calendar invitation", _invitation),
    OddMail("broken", "Broken MIME", _broken),
]
BY_NAME = {kind.name: kind for kind in KINDS}


def odd_mail(name: str, sender: str, to: str, now: float) -> tuple[bytes, Arrival]:
    """(bytes, way of arrival) of a mail of a kind. Raises BadInput for an unknown kind."""
    if name not in BY_NAME:
        raise BadInput(f"unknown kind of mail {name}; known: {', '.join(BY_NAME)}")
    return BY_NAME[name].make(sender, to, now)
