"""What a person wrote, and the refusal to send it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from portal.errors import DomainError
from portal.models import Contact, Conversation, Message
from portal.rules.addresses import Address
from portal.sending.mime import OutgoingFile, OutgoingPicture


class SendRefused(DomainError):
    """The mail may not leave now. Nothing was sent, and the caller keeps what was written."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Nothing was sent"

    def __init__(self, message: str, *, cause: str, next_free_at: datetime | None = None) -> None:
        super().__init__(message, cause=cause)
        self.next_free_at = next_free_at


class NoRecipient(SendRefused):
    """The address that was typed leads to no contact: a mistake in the form, not a state of the mailbox."""

    status: ClassVar[int] = 400


@dataclass(frozen=True)
class NewMail:
    """What a person wrote. Without `conversation` it begins one; `parent` is the message answered."""

    kind: str  # new, reply, forward
    token: str  # of the form: a second press with it is the same mail
    contact: Contact
    subject: str
    text: str
    conversation: Conversation | None = None
    parent: Message | None = None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    html: str = ""  # clean; "" for plain text only
    pictures: tuple[OutgoingPicture, ...] = ()
    files: tuple[OutgoingFile, ...] = ()
    waits_for: str = ""  # "", "reset" of the cap, or a "time"
    send_at: datetime | None = None  # where it waits for a time

    @property
    def parts(self) -> tuple[OutgoingFile | OutgoingPicture, ...]:
        """Everything beside the text that leaves and is kept, in order."""
        return self.files + self.pictures


def without_repeats(mail: NewMail) -> NewMail:
    """The mail with everybody in one place only: To before CC before BCC."""
    to = {mail.contact.email_key}
    cc = tuple(person for person in mail.cc if person.key not in to)
    seen = to | {person.key for person in cc}
    return replace(mail, cc=cc, bcc=tuple(person for person in mail.bcc if person.key not in seen))
