"""users.messages.send and insert: what Gmail does with a mail before it is stored and delivered."""

from __future__ import annotations

import secrets
from email.utils import formatdate, parsedate_to_datetime

from sandbox import caps
from sandbox.addresses import addresses_in, canonical
from sandbox.delivery import Arrival, Post
from sandbox.google import errors
from sandbox.headers import (
    body_offset,
    encoded_name,
    first_of,
    normalise_line_ends,
    replaced_field,
    values_of,
    wire_headers,
    with_fields,
    without_fields,
)  # fmt: skip
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.state import World

MAX_RAW = 36_700_160  # discovery document, mediaUpload.maxSize of messages.send
MAX_JSON = 5 * 1024 * 1024
CAPS = {"consumer": 500, "workspace": 2000}  # recipients a day, messages a day


class Sender:
    """Sends on behalf of a mailbox of one world."""

    def __init__(self, world: World, post: Post) -> None:
        self.world = world
        self.post = post

    def send(self, mailbox: Mailbox, raw: bytes, thread_id: str = "", force_thread: bool = False) -> StoredMessage:
        """Send `raw`. `force_thread` is Gmail's own web client, which keeps forwards in the thread.

        Raises ApiError for a mail that Gmail would refuse.
        """
        raw = normalise_line_ends(raw)
        headers = wire_headers(raw)
        recipients = addresses_in([v for name in ("To", "Cc", "Bcc") for v in values_of(headers, name)])
        self._check(raw, headers, recipients)
        over_cap = self._spend_cap(mailbox, len(recipients))
        raw = self._rewrite(mailbox, raw, headers)
        with self.world.lock:
            sent = self._store_sent(mailbox, raw, thread_id, force_thread, recipients)
            if over_cap or self.world.quirks.take("send_bounce", mailbox.address):
                self.post.bounce_over_cap(mailbox, sent)
                return sent
            self._deliver(mailbox, sent, recipients)
        return sent

    def insert(self, mailbox: Mailbox, raw: bytes, labels: list[str], thread_id: str, by_header: bool) -> StoredMessage:
        """Put `raw` into the mailbox as it is, without sending anything."""
        if not raw.strip():
            raise errors.invalid_argument(
                "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
            )
        if "DRAFT" in labels:
            raise errors.invalid_argument("Invalid label: DRAFT")
        raw = normalise_line_ends(raw)
        internal_date = None
        if by_header:
            try:
                moment = parsedate_to_datetime(first_of(wire_headers(raw), "Date"))
                internal_date = int(moment.timestamp() * 1000)
            except (ValueError, TypeError, OverflowError):
                internal_date = None
        probe = StoredMessage("", "", raw, set(), 0)
        accepted = thread_id if thread_id and mailbox.thread_accepts(thread_id, probe) else None
        return self.post.file(mailbox, raw, set(labels), internal_date, accepted)

    # steps of send ------------------------------------------------------------------------------------------------

    def _check(self, raw: bytes, headers: list[tuple[str, str]], recipients: list[str]) -> None:
        if len(raw) > MAX_RAW:
            raise errors.fail(413, "The message exceeds the maximum size.", "uploadTooLarge")
        if body_offset(raw) == len(raw) and not headers:
            raise errors.invalid_argument(
                "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
            )
        for name in ("To", "Cc", "Bcc"):
            for value in values_of(headers, name):
                if value.strip() and not addresses_in([value]) and "undisclosed" not in value.lower():
                    raise errors.invalid_argument(f"Invalid {name} header")
        if not recipients:
            raise errors.invalid_argument("Recipient address required")

    def _spend_cap(self, mailbox: Mailbox, count: int) -> bool:
        """Count the send against the rolling day. True: accept now and bounce later; raises when refused."""
        is_work = mailbox.kind == "workspace"
        oldest = caps.spend(self.world, mailbox, count, CAPS.get(mailbox.kind, 500), per_mail=is_work)
        if oldest is None:
            return False
        if (mailbox.send_cap or {}).get("mode") == "bounce":
            return True
        raise errors.send_cap(self.world.clock.iso(oldest + caps.DAY))

    def _rewrite(self, mailbox: Mailbox, raw: bytes, headers: list[tuple[str, str]]) -> bytes:
        """Gmail's own Message-ID in place of the sender's, a Date if there is none, a From that is allowed."""
        raw = replaced_field(raw, "Message-ID", f"<CA{secrets.token_urlsafe(33)}@mail.gmail.com>")
        if not first_of(headers, "Date"):
            raw = with_fields(raw, [("Date", formatdate(self.world.clock.now(), localtime=False))])
        allowed = {canonical(mailbox.address)}
        allowed |= {canonical(alias["email"]) for alias in mailbox.aliases if alias.get("verified", True)}
        senders = addresses_in(values_of(headers, "From"))
        if len(senders) != 1 or canonical(senders[0]) not in allowed:
            raw = replaced_field(raw, "From", f"{encoded_name(mailbox.name)} <{mailbox.address}>")
            if senders:
                raw = with_fields(raw, [("X-Google-Original-From", first_of(headers, "From"))])
        return raw

    def _store_sent(
        self, mailbox: Mailbox, raw: bytes, thread_id: str, force_thread: bool, recipients: list[str]
    ) -> StoredMessage:
        labels = {"SENT"}
        if any(self.post.same_mailbox(mailbox, address) for address in recipients):
            labels |= {"INBOX", "UNREAD"}  # mail to oneself is one message with both labels
        probe = StoredMessage("", "", raw, labels, 0)
        stays = thread_id and ((force_thread and thread_id in mailbox.threads) or mailbox.thread_accepts(thread_id, probe))
        if self.world.quirks.take("send_new_thread", mailbox.address):
            stays = False
        with self.world.lock:
            now = self.world.clock.now_ms()
            message_id = mailbox.new_id(now)
            message = StoredMessage(message_id, thread_id if stays else message_id, raw, labels, now)
            self.world.changed(mailbox, message, [mailbox.add(message)])
        return message

    def _deliver(self, mailbox: Mailbox, sent: StoredMessage, recipients: list[str]) -> None:
        others = [address for address in recipients if not self.post.same_mailbox(mailbox, address)]
        copy = without_fields(sent.raw, "Bcc")
        sender = next(iter(addresses_in(values_of(wire_headers(copy), "From"))), mailbox.address)
        _, unknown = self.post.receive(copy, others, Arrival(mail_from=sender))
        missing = [address for address in unknown if self.world.is_own_domain(address)]
        if missing:
            self.post.bounce(mailbox, sent, missing)
        self.post.leave(copy, sender, [address for address in unknown if address not in missing])
