"""Sending from an Outlook mailbox: a draft that transport moves to Sent Items, or a whole mail at once."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate, getaddresses

from sandbox import caps
from sandbox.addresses import addresses_in, canonical, is_address
from sandbox.delivery import Arrival, Post
from sandbox.headers import (
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
from sandbox.microsoft import graph_errors as errors
from sandbox.microsoft.ids import exchange_id
from sandbox.microsoft.notices import OVER_CAP, UNKNOWN, bounce
from sandbox.state import World

MAX_REQUEST = 4 * 1024 * 1024  # one request of Graph
MAX_RECIPIENTS = 500
CAPS = {"consumer": 5_000, "workspace": 10_000}  # recipients a day


class OutlookSender:
    """Sends on behalf of the Outlook mailboxes of one world."""

    def __init__(self, world: World, post: Post) -> None:
        self.world, self.post = world, post
        self._leaving: list[tuple[float, str, str]] = []  # (when, mailbox, message): mail in the outbox
        self.later: Callable[[Callable[[], int], float], None] = lambda _send, _seconds: None

    # drafts ----------------------------------------------------------------------------------------------------------

    def file_draft(
        self, mailbox: Mailbox, raw: bytes, thread_id: str = "", keep_sender: bool = False
    ) -> StoredMessage:  # fmt: skip
        """Store a draft with what Exchange adds: a Message-ID when there is none, the owner as From, a Date.

        `keep_sender` leaves another's address there, which only a right to send as that person may send.
        """
        raw = normalise_line_ends(raw)
        headers = wire_headers(raw)
        own = {canonical(address) for address in mailbox.own_addresses()}
        senders = addresses_in(values_of(headers, "From"))
        if not senders or not (keep_sender or {canonical(a) for a in senders} <= own):
            raw = replaced_field(raw, "From", f"{encoded_name(mailbox.name)} <{mailbox.address}>")
        if not first_of(headers, "Message-ID"):
            raw = with_fields(raw, [("Message-ID", exchange_id())])
        if not first_of(headers, "Date"):
            raw = with_fields(raw, [("Date", formatdate(self.world.clock.now()))])
        return self.post.file(mailbox, raw, {"DRAFT"}, thread_id=thread_id or None)

    def send(self, mailbox: Mailbox, raw: bytes, thread_id: str = "", force_thread: bool = False) -> StoredMessage:
        """Send a whole mail. `force_thread` is Outlook's own client, which keeps replies in their conversation.

        Raises ApiError for a mail that Exchange would refuse.
        """
        with self.world.lock:
            stays = thread_id if force_thread and thread_id in mailbox.threads else ""
            draft = self.file_draft(mailbox, raw, stays)
            try:
                self.send_draft(mailbox, draft)
            except Exception:
                self.world.changed(mailbox, draft, [mailbox.remove(draft)])
                raise
        return draft

    def send_draft(self, mailbox: Mailbox, draft: StoredMessage) -> None:
        """Submit a draft. It is in Sent Items afterwards, or later (`ms_sent_late` seconds), with the same immutable id.

        Raises ApiError for a mail that Exchange refuses at once; other failures come as a report into the Inbox.
        """
        recipients = self._checked(mailbox, draft)
        oldest = caps.spend(self.world, mailbox, len(recipients), CAPS.get(mailbox.kind, 5_000))
        over_cap = oldest is not None
        if over_cap and (mailbox.send_cap or {}).get("mode") != "bounce":
            raise errors.fail(429, "ErrorExceededMessageLimit", errors.CAP_TEXT)
        take, address = self.world.quirks.take, mailbox.address
        never, late = take("ms_sent_never", address), take("ms_sent_late", address)
        with self.world.lock:
            self._move(mailbox, draft, {"OUTBOX"})
            if never or over_cap:
                bounce(self.post, mailbox, draft, recipients, OVER_CAP)
            elif late:
                self._leaving.append((self.world.clock.now() + float(late), address, draft.id))
                self.later(self.settle, float(late))
            else:
                self._leave(mailbox, draft)

    def settle(self) -> int:
        """Let mail leave whose time has come; 200, as a background call that is done."""
        with self.world.lock:
            now = self.world.clock.now() + 0.05  # the timer may wake a moment early
            due = [row for row in self._leaving if row[0] <= now]
            self._leaving = [row for row in self._leaving if row[0] > now]
            for _, address, number in due:
                mailbox = self.world.mailboxes.get(address)
                message = mailbox.messages.get(number) if mailbox else None
                if mailbox and message and "OUTBOX" in message.labels:
                    self._leave(mailbox, message)
        return 200

    # steps -----------------------------------------------------------------------------------------------------------

    def _checked(self, mailbox: Mailbox, draft: StoredMessage) -> list[str]:
        headers = draft.parsed.headers
        values = [v for name in ("To", "Cc", "Bcc") for v in values_of(headers, name) if v.strip()]
        named = [address for _, address in getaddresses(values) if address]
        recipients = addresses_in(values)
        if not recipients or not all(is_address(address) for address in named):
            raise errors.fail(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
        if len(recipients) > MAX_RECIPIENTS:
            raise errors.fail(400, "ErrorRecipientLimitExceeded", "The number of recipients is over the limit.")
        own = {canonical(address) for address in mailbox.own_addresses()}
        if any(canonical(address) not in own for address in addresses_in(values_of(headers, "From"))):
            text = "The user account which was used to submit this request does not have the right to send mail on behalf"
            raise errors.fail(403, "ErrorSendAsDenied", f"{text} of the specified sending account.")
        return recipients

    def _move(self, mailbox: Mailbox, message: StoredMessage, labels: set[str]) -> None:
        message.extra["moves"] = int(message.extra.get("moves", 0)) + 1
        self.world.changed(mailbox, message, mailbox.relabel(message, labels, message.labels - labels))

    def _leave(self, mailbox: Mailbox, message: StoredMessage) -> None:
        """Transport: the Sent copy keeps Bcc, those who receive the mail do not see it."""
        now = self.world.clock.now()
        dated = replaced_field(message.raw, "Date", formatdate(now))
        self.world.changed(mailbox, message, [mailbox.rewrite(message, dated)])
        message.internal_date = self.world.clock.now_ms()
        self._move(mailbox, message, {"SENT"})
        headers = wire_headers(message.raw)
        recipients = addresses_in([v for name in ("To", "Cc", "Bcc") for v in values_of(headers, name)])
        copy = without_fields(message.raw, "Bcc")
        sender = next(iter(addresses_in(values_of(headers, "From"))), mailbox.address)
        if self.world.quirks.take("ms_sent_bounce", mailbox.address):
            bounce(self.post, mailbox, message, recipients, UNKNOWN)
            return
        _, unknown = self.post.receive(copy, recipients, Arrival(mail_from=sender))
        missing = [address for address in unknown if self.world.is_own_domain(address)]
        if missing:
            bounce(self.post, mailbox, message, missing, UNKNOWN)
        self.post.leave(copy, sender, [address for address in unknown if address not in missing], via="outlook")
