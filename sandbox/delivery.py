"""Mail on its way: into mailboxes, to lists, through automatic forwards, out into the sink, and back as a bounce."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate

from sandbox.addresses import addresses_in, canonical
from sandbox.headers import first_of, normalise_line_ends, values_of, wire_headers, with_fields, without_fields
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.microsoft.ids import exchange_id
from sandbox.reports import fields_block, status_part
from sandbox.signatures import signed
from sandbox.sink import SinkMail
from sandbox.state import World

DAEMON = "Mail Delivery Subsystem <mailer-daemon@googlemail.com>"
PROGRAMS_MARKS = ("Auto-Submitted", "List-Id", "List-Unsubscribe", "Precedence")
CAP_TEXT = "You have reached a limit for sending mail. Your message was not sent."


@dataclass(frozen=True)
class Arrival:
    """How a mail comes in, beside its bytes."""

    mail_from: str = ""
    labels: frozenset[str] = frozenset()  # in place of INBOX and UNREAD
    internal_date: int | None = None
    auth: str = "pass"  # what the provider's Authentication-Results will say: pass, fail, none
    exact: bool = False  # store the bytes as they are, without the receiving server's own fields
    via: str = "gmail"


def _verdicts(verdict: str, sender: str, domain: str, is_google: bool) -> str:
    """What the receiving provider found about the sender, in its own form."""
    if is_google:
        return (
            f"mx.google.com; dkim={verdict} header.i=@{domain}; spf={verdict} smtp.mailfrom={sender}; "
            f"dmarc={verdict} (p=NONE sp=NONE dis=NONE) header.from={domain}"
        )
    return (
        f"spf={verdict} (sender IP is 192.0.2.10) smtp.mailfrom={domain}; dkim={verdict} header.d={domain};"
        f"dmarc={verdict} action=none header.from={domain};compauth={verdict} reason=100"
    )


class Post:
    """The mail transport between the mailboxes of one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    # into one mailbox --------------------------------------------------------------------------------------------

    def file(
        self, mailbox: Mailbox, raw: bytes, labels: set[str], internal_date: int | None = None,
        thread_id: str | None = None,
    ) -> StoredMessage:  # fmt: skip
        """Store a message in a mailbox; without `thread_id` it joins the thread that Gmail would choose."""
        world = self.world
        with world.lock:
            now = world.clock.now_ms()
            message_id = mailbox.new_id(now)
            message = StoredMessage(message_id, message_id, raw, labels, now)
            if internal_date is not None:
                message.internal_date = internal_date
            message.parsed  # noqa: B018  now, so that the first reader does not wait for it
            message.thread_id = thread_id or mailbox.thread_for(message)
            entries: list[HistoryEntry] = [mailbox.add(message)]
            world.changed(mailbox, message, entries)
        return message

    def _stamped(self, raw: bytes, mailbox: Mailbox, address: str, arrival: Arrival) -> bytes:
        """`raw` with the fields that the receiving side puts in front."""
        headers = wire_headers(raw)
        sender = arrival.mail_from or next(iter(addresses_in(values_of(headers, "From"))), "")
        domain = sender.rpartition("@")[2] or "unknown.example"
        number, is_google = secrets.token_hex(8), mailbox.provider == "google"
        fields = [
            ("Delivered-To", address),
            ("Received", f"by 2002:a05:6022:1234 with SMTP id {number}; {formatdate(self.world.clock.now())}"),
        ]
        if arrival.auth != "none":
            fields.append(("Authentication-Results", _verdicts(arrival.auth, sender, domain, is_google)))
        if not first_of(headers, "Return-Path"):
            fields.insert(2, ("Return-Path", f"<{sender}>"))
        if not any(name.lower() == "message-id" for name, _ in headers):
            fields.append(("Message-ID", f"<{number}.SMTPIN_ADDED_MISSING@mx.google.com>" if is_google else exchange_id()))
        return with_fields(raw, fields if is_google else fields[1:])

    # to addresses --------------------------------------------------------------------------------------------------

    def receive(self, raw: bytes, recipients: list[str], arrival: Arrival) -> tuple[dict[str, str], list[str]]:
        """Deliver to each recipient. Returns ({address: message id}, addresses that are no mailbox here)."""
        raw = raw if arrival.exact else normalise_line_ends(raw)
        delivered: dict[str, str] = {}
        unknown: list[str] = []
        by_mailbox: dict[str, str] = {}
        for address in recipients:
            members = self.world.lists.get(address.lower())
            if members is not None:
                listed = self._with_list_fields(raw, address)
                ids, missing = self.receive(listed, [m for m in members if m != address], arrival)
                delivered.update(ids)
                unknown.extend(missing)
                continue
            mailbox = self.world.mailbox_for(address)
            if mailbox is None or not mailbox.mail_enabled:
                unknown.append(address)
                continue
            if mailbox.address not in by_mailbox:
                by_mailbox[mailbox.address] = self._deliver(mailbox, raw, address, arrival).id
            delivered[address] = by_mailbox[mailbox.address]
        return delivered, unknown

    def _deliver(self, mailbox: Mailbox, raw: bytes, address: str, arrival: Arrival) -> StoredMessage:
        stamped = raw if arrival.exact else self._stamped(raw, mailbox, address, arrival)
        labels = set(arrival.labels) or {"INBOX", "UNREAD"}
        message = self.file(mailbox, stamped, labels, arrival.internal_date)
        if mailbox.forward_to and not arrival.exact and "SPAM" not in labels:
            self._forward_on(mailbox, stamped, arrival)
        if mailbox.auto_reply and not arrival.exact and "INBOX" in labels:
            self._reply_by_itself(mailbox, message)
        return message

    def _forward_on(self, mailbox: Mailbox, raw: bytes, arrival: Arrival) -> None:
        """Gmail's automatic forwarding: an unchanged copy with X-Forwarded fields and an SRS-like envelope sender."""
        target = mailbox.forward_to
        if any(target in value for value in values_of(wire_headers(raw), "X-Forwarded-To")):
            return
        local, _, domain = mailbox.address.rpartition("@")
        envelope = f"{local}+caf_={target.replace('@', '=')}@{domain}"
        fields = [("X-Forwarded-To", target), ("X-Forwarded-For", f"{mailbox.address} {target}")]
        copy = with_fields(without_fields(raw, "Return-Path"), fields)
        onward = Arrival(envelope, internal_date=arrival.internal_date, auth=arrival.auth)
        _, unknown = self.receive(copy, [target], onward)
        self.leave(copy, envelope, unknown)

    def _reply_by_itself(self, mailbox: Mailbox, met: StoredMessage) -> None:
        """The out-of-office answer, once to each sender and never to mail that a program wrote (RFC 3834)."""
        headers = met.parsed.headers
        by_a_program = [name for name in PROGRAMS_MARKS if first_of(headers, name)]
        senders = addresses_in(values_of(headers, "Reply-To")) or addresses_in(values_of(headers, "From"))
        to = senders[0] if senders else ""
        is_report = first_of(headers, "Return-Path") == "<>"
        if by_a_program or is_report or not to or to in mailbox.auto_replied or self.same_mailbox(mailbox, to):
            return
        mailbox.auto_replied.append(to)
        answer = MIMEText(mailbox.auto_reply + "\n")
        subject = met.subject if met.subject.lower().startswith("re:") else f"Re: {met.subject}"
        for name, value in [
            ("From", formataddr((mailbox.name, mailbox.address))), ("To", to), ("Subject", " ".join(subject.split())),
            ("Auto-Submitted", "auto-replied"), ("X-Autoreply", "yes"), ("Precedence", "bulk"),
            ("In-Reply-To", met.internet_message_id), ("References", met.internet_message_id),
            ("Message-ID", f"<{secrets.token_hex(12)}@mail.gmail.com>"), ("Date", formatdate(self.world.clock.now())),
        ]:  # fmt: skip
            answer[name] = value
        raw = normalise_line_ends(answer.as_bytes())
        _, elsewhere = self.receive(raw, [to], Arrival(mail_from=mailbox.address))
        self.leave(raw, mailbox.address, elsewhere)

    def _with_list_fields(self, raw: bytes, address: str) -> bytes:
        name = address.replace("@", ".")
        return with_fields(raw, [("List-Id", f"<{name}>"), ("Precedence", "list"), ("Delivered-To", address)])

    def leave(self, raw: bytes, mail_from: str, recipients: list[str], via: str = "gmail") -> None:
        """Hand over mail that another program receives; keep mail for people outside in the sink."""
        if via != "smtp" and any(self.world.router.is_routed(address) for address in recipients):
            raw = signed(self.world, raw, mail_from)
        outside = self.world.router.hand_over(raw, mail_from, recipients)
        if outside:
            self.world.keep(SinkMail(self.world.clock.now(), via, mail_from, outside, raw))

    # back to the sender ------------------------------------------------------------------------------------------

    def bounce(self, mailbox: Mailbox, sent: StoredMessage, recipients: list[str]) -> StoredMessage:
        """A mailer-daemon's failure notice (RFC 3464) in the thread of the sent message."""
        text = (
            f"** Address not found **\n\nYour message wasn't delivered to {', '.join(recipients)} because the address "
            "couldn't be found, or is unable to receive mail.\n\nThe response from the remote server was:\n"
            "550 5.1.1 The email account that you tried to reach does not exist.\n"
        )
        blocks = [
            fields_block(("Final-Recipient", f"rfc822; {address}"), ("Action", "failed"), ("Status", "5.1.1"))
            for address in recipients
        ]
        report = MIMEMultipart("report", report_type="delivery-status")
        report.attach(MIMEText(text))
        report.attach(status_part("googlemail.com", blocks))
        for name, value in self._notice_fields(mailbox, sent, "Delivery Status Notification (Failure)"):
            report[name] = value
        raw = normalise_line_ends(report.as_bytes())
        return self.file(mailbox, raw, {"INBOX", "UNREAD"}, thread_id=sent.thread_id)

    def report(self, raw: bytes, to: str) -> None:
        """A mail server's report with the null sender, to wherever `to` receives mail."""
        with_path = with_fields(raw, [("Return-Path", "<>")])
        _, elsewhere = self.receive(with_path, [to], Arrival(via="smtp"))
        self.leave(raw, "", elsewhere, via="smtp")

    def bounce_over_cap(self, mailbox: Mailbox, sent: StoredMessage) -> StoredMessage:
        """The notice that follows a send above the daily cap."""
        report = MIMEText(f"{CAP_TEXT}\n\nThe response was:\n{CAP_TEXT}\n")
        for name, value in self._notice_fields(mailbox, sent, f"Undeliverable: {sent.subject}"):
            report[name] = value
        raw = normalise_line_ends(report.as_bytes())
        return self.file(mailbox, raw, {"INBOX", "UNREAD"}, thread_id=sent.thread_id)

    def _notice_fields(self, mailbox: Mailbox, sent: StoredMessage, subject: str) -> list[tuple[str, str]]:
        failed = ", ".join(addresses_in(values_of(sent.parsed.headers, "To")))
        return [
            ("Delivered-To", mailbox.address), ("Return-Path", "<>"), ("From", DAEMON), ("To", mailbox.address),
            ("Auto-Submitted", "auto-replied"), ("Subject", " ".join(subject.split())),
            ("References", sent.internet_message_id), ("In-Reply-To", sent.internet_message_id),
            ("X-Failed-Recipients", failed), ("Message-ID", f"<{secrets.token_hex(12)}.GMR@mx.google.com>"),
            ("Date", formatdate(self.world.clock.now())),
        ]  # fmt: skip

    def same_mailbox(self, mailbox: Mailbox, address: str) -> bool:
        """Whether mail for `address` arrives in `mailbox`."""
        found = self.world.mailbox_for(address)
        return found is mailbox or canonical(address) == canonical(mailbox.address)
