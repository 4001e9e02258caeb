"""What a person does in the provider's own web client: write, reply, forward, keep drafts, send them."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate, make_msgid

from sandbox.addresses import addresses_in, canonical
from sandbox.delivery import Post
from sandbox.google.sending import Sender
from sandbox.headers import first_of, normalise_line_ends, values_of
from sandbox.inputs import BadInput
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.microsoft.ids import exchange_id
from sandbox.microsoft.sending import OutlookSender
from sandbox.mime import part_data

File = tuple[str, bytes]
FORWARD_MARK = "---------- Forwarded message ---------"
_POLICY = SMTP.clone(max_line_length=900, refold_source="none")


@dataclass
class Letter:
    """What a person writes. `reply_to` and `forward_of` are ids of messages in the person's mailbox."""

    to: str = ""
    cc: str = ""
    bcc: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    sender: str = ""  # one of the person's own addresses; empty: the mailbox itself
    reply_to: str = ""
    reply_all: bool = False
    forward_of: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    files: Sequence[File] = ()


class WebClient:
    """The web clients of Gmail and Outlook for any mailbox of one world."""

    def __init__(self, post: Post, gmail: Sender, outlook: OutlookSender) -> None:
        self.post, self.gmail, self.outlook, self.world = post, gmail, outlook, post.world

    def _sender(self, mailbox: Mailbox) -> Sender | OutlookSender:
        return self.outlook if mailbox.provider == "microsoft" else self.gmail

    def send(self, mailbox: Mailbox, letter: Letter) -> StoredMessage:
        """Send a letter. Raises BadInput for one that cannot be sent, ApiError where the provider itself refuses."""
        raw, thread_id = self._mime(mailbox, letter)
        return self._sender(mailbox).send(mailbox, raw, thread_id, force_thread=True)

    def save_draft(self, mailbox: Mailbox, letter: Letter, draft_id: str = "") -> tuple[str, StoredMessage]:
        """Save a draft: as in Gmail each save is a new message, and the one before is gone. (draft id, message)"""
        raw, thread_id = self._mime(mailbox, letter)
        with self.world.lock:
            old = self._drop_draft(mailbox, draft_id) if draft_id else None
            thread_id = thread_id or (old.thread_id if old else "")
            message = self.post.file(mailbox, normalise_line_ends(raw), {"DRAFT"}, thread_id=thread_id or None)
            draft_id = draft_id or f"r{message.id}"
            mailbox.drafts[draft_id] = message.id
            self.world.changed(mailbox, message, [])
        return draft_id, message

    def send_draft(self, mailbox: Mailbox, draft_id: str) -> StoredMessage:
        """Send a draft: it is deleted, and a message with SENT is added."""
        with self.world.lock:
            draft = self._drop_draft(mailbox, draft_id)
            mailbox.drafts.pop(draft_id, None)
            thread = draft.thread_id if draft.thread_id in mailbox.threads else ""
            return self._sender(mailbox).send(mailbox, draft.raw, thread, force_thread=True)

    def _drop_draft(self, mailbox: Mailbox, draft_id: str) -> StoredMessage:
        message = mailbox.messages.get(mailbox.drafts.get(draft_id, ""))
        if message is None:
            raise BadInput(f"no draft {draft_id} in {mailbox.address}", 404)
        self.world.changed(mailbox, message, [mailbox.remove(message)])
        return message

    # the mail itself ---------------------------------------------------------------------------------------------

    def _mime(self, mailbox: Mailbox, letter: Letter) -> tuple[bytes, str]:
        """(the mail's bytes, the thread it belongs to)"""
        parent = self._message(mailbox, letter.reply_to or letter.forward_of)
        mail = EmailMessage(policy=_POLICY)
        text, files = letter.text, list(letter.files)
        if parent and letter.forward_of:
            text += "\n\n" + _forwarded_text(parent)
            files += _files_of(parent)
        try:
            for name, value in self._fields(mailbox, letter, parent):
                if value:
                    mail[name] = value
            mail.set_content(text or "\n")
            if letter.html:
                mail.add_alternative(letter.html, subtype="html")
            for file_name, data in files:
                main, _, sub = (mimetypes.guess_type(file_name)[0] or "application/octet-stream").partition("/")
                mail.add_attachment(data, maintype=main, subtype=sub, filename=file_name)
            return mail.as_bytes(), parent.thread_id if parent else ""
        except (ValueError, MessageError, UnicodeError, IndexError) as error:
            raise BadInput(f"this mail cannot be made: {error}") from None

    def _message(self, mailbox: Mailbox, message_id: str) -> StoredMessage | None:
        if not message_id:
            return None
        message = mailbox.messages.get(message_id)
        if message is None:
            raise BadInput(f"no message {message_id} in {mailbox.address}", 404)
        return message

    def _fields(self, mailbox: Mailbox, letter: Letter, parent: StoredMessage | None) -> list[tuple[str, str]]:
        to, cc, subject = letter.to, letter.cc, letter.subject
        related: list[tuple[str, str]] = []
        if parent:
            prefix = "Fwd" if letter.forward_of else "Re"
            subject = subject or _prefixed(prefix, parent.subject)
            if letter.reply_to:
                everybody = reply_addresses(mailbox, parent, letter.reply_all)
                to, cc = to or ", ".join(everybody[0]), cc or ", ".join(everybody[1])
            # Gmail sets both on forwards too, which is why their absence says nothing.
            chain = [mid for mid in (*parent.references(), parent.internet_message_id) if mid]
            related = [("In-Reply-To", parent.internet_message_id), ("References", " ".join(dict.fromkeys(chain)))]
        new_id = make_msgid(domain="mail.gmail.com") if mailbox.provider == "google" else exchange_id()
        return [
            ("MIME-Version", ""), ("Date", formatdate(self.world.clock.now())),
            ("From", formataddr((mailbox.name, letter.sender or mailbox.address))),
            ("To", to), ("Cc", cc), ("Bcc", letter.bcc), ("Subject", subject),
            ("Message-ID", new_id), *related, *letter.headers.items(),
        ]  # fmt: skip


def reply_addresses(mailbox: Mailbox, parent: StoredMessage, everybody: bool) -> tuple[list[str], list[str]]:
    """(To, Cc) of a reply; a reply to one's own mail goes to those it was sent to."""
    headers = parent.parsed.headers
    own = {canonical(address) for address in mailbox.own_addresses()}
    senders = addresses_in(values_of(headers, "Reply-To")) or addresses_in(values_of(headers, "From"))
    recipients = addresses_in(values_of(headers, "To"))
    to = [address for address in senders if canonical(address) not in own] or recipients
    if not everybody:
        return to, []
    rest = [*recipients, *addresses_in(values_of(headers, "Cc"))]
    return to, [a for a in dict.fromkeys(rest) if a not in to and canonical(a) not in own]


def _prefixed(prefix: str, subject: str) -> str:
    return subject if subject.lower().startswith(prefix.lower() + ":") else f"{prefix}: {subject}"


def _forwarded_text(parent: StoredMessage) -> str:
    shown = parent.parsed.headers
    lines = [f"{name}: {first_of(shown, name)}" for name in ("From", "Date", "Subject", "To")]
    return "\n".join([FORWARD_MARK, *lines, "", "", parent.parsed.text])


def _files_of(parent: StoredMessage) -> list[File]:
    found = [part_data(parent.raw, part_id) for part_id in parent.parsed.part_ids]
    return [(name, data) for data, _, name in (part for part in found if part) if name]
