"""Delivery status notifications (RFC 3464), as the practice's mail server writes them."""

from __future__ import annotations

import secrets
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate

from sandbox.headers import body_offset, first_of, normalise_line_ends, wire_headers

REPORTER = "mx.practice.example"
WORDS = {
    "5.1.1": "550 5.1.1 The email account that you tried to reach does not exist.",
    "5.1.2": "550 5.1.2 The domain does not exist.",
    "5.2.1": "550 5.2.1 The mailbox is disabled.",
    "5.2.2": "552 5.2.2 The recipient's mailbox is full.",
    "5.7.1": "550 5.7.1 The message was refused by the recipient's policy.",
    "4.4.1": "451 4.4.1 The recipient's server does not answer; trying further.",
}


def fields_block(*fields: tuple[str, str]) -> Message:
    """A group of fields of a delivery status."""
    block = Message()
    for name, value in fields:
        block[name] = value
    return block


def status_part(reporter: str, blocks: list[Message]) -> Message:
    """The message/delivery-status part over a block for each recipient."""
    status = Message()
    status["Content-Type"] = "message/delivery-status"
    status.set_payload([fields_block(("Reporting-MTA", f"dns; {reporter}")), *blocks])
    return status


def delivery_report(raw: bytes, mail_from: str, recipients: list[str], status: str, at: float) -> bytes:
    """The report to `mail_from` about the mail `raw` and these recipients; failed, or delayed for a 4.x.x status."""
    action = "delayed" if status.startswith("4") else "failed"
    words = WORDS.get(status, f"{550 if action == 'failed' else 451} {status} Not delivered.")
    headers = wire_headers(raw)
    blocks = [
        fields_block(
            ("Final-Recipient", f"rfc822; {address}"), ("Action", action), ("Status", status),
            ("Diagnostic-Code", f"smtp; {words}"),
        )
        for address in recipients
    ]  # fmt: skip
    report = MIMEMultipart("report", report_type="delivery-status")
    report.attach(MIMEText(
        f"This is the mail system at {REPORTER}.\n\nYour message could not be delivered to {', '.join(recipients)}.\n\n"
        f"The remote server said:\n{words}\n"
    ))  # fmt: skip
    report.attach(status_part(REPORTER, blocks))
    report.attach(_headers_of(raw))
    fields = [
        ("From", f"Mail Delivery System <MAILER-DAEMON@{REPORTER}>"), ("To", mail_from),
        ("Subject", "Undelivered Mail Returned to Sender" if action == "failed" else "Delayed Mail"),
        ("Auto-Submitted", "auto-replied"), ("Date", formatdate(at)),
        ("Message-ID", f"<{secrets.token_hex(12)}@{REPORTER}>"),
    ]  # fmt: skip
    if about := first_of(headers, "Message-ID"):
        fields += [("In-Reply-To", about), ("References", about)]
    for name, value in fields:
        report[name] = value
    return normalise_line_ends(report.as_bytes())


def _headers_of(raw: bytes) -> Message:
    part = MIMEText(raw[: body_offset(raw)].decode("ascii", "replace"), "rfc822-headers", "utf-8")
    del part["Content-Transfer-Encoding"]
    part.set_payload(raw[: body_offset(raw)].decode("ascii", "replace").replace("\r\n", "\n"))
    return part
