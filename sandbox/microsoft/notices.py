"""Non-delivery reports of Exchange (NDR), which arrive in the Inbox of the sender."""

from __future__ import annotations

import secrets
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate

from sandbox.delivery import Post
from sandbox.headers import normalise_line_ends
from sandbox.mailbox import Mailbox, StoredMessage
from sandbox.reports import fields_block, status_part

UNKNOWN = ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup")
OVER_CAP = ("5.7.705", "550 5.7.705 Access denied, tenant has exceeded threshold; message limit exceeded")


def bounce(
    post: Post, mailbox: Mailbox, sent: StoredMessage, recipients: list[str], why: tuple[str, str]
) -> StoredMessage:
    """File the report about `sent` and these recipients in the sender's Inbox, in the conversation of the mail."""
    status, words = why
    domain = mailbox.address.rpartition("@")[2]
    blocks = [
        fields_block(
            ("Final-Recipient", f"rfc822; {address}"), ("Action", "failed"), ("Status", status),
            ("Diagnostic-Code", f"smtp; {words}"),
        )
        for address in recipients
    ]  # fmt: skip
    report = MIMEMultipart("report", report_type="delivery-status")
    report.attach(MIMEText(
        f"Delivery has failed to these recipients or groups:\n\n{', '.join(recipients)}\n"
        f"Your message wasn't delivered.\n\nRemote Server returned '{words}'\n"
    ))  # fmt: skip
    report.attach(status_part(f"BN8PR12MB0001.{domain}", blocks))
    for name, value in [
        ("Return-Path", "<>"), ("To", mailbox.address), ("Auto-Submitted", "auto-replied"),
        ("From", f"Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{domain}>"),
        ("Subject", " ".join(f"Undeliverable: {sent.subject}".split())), ("Date", formatdate(post.world.clock.now())),
        ("Message-ID", f"<{secrets.token_hex(12)}@BN8PR12MB0001.namprd12.prod.outlook.com>"),
        ("In-Reply-To", sent.internet_message_id), ("References", sent.internet_message_id),
        ("X-MS-Exchange-Message-Is-Ndr", ""), ("X-Failed-Recipients", ", ".join(recipients)),
    ]:  # fmt: skip
        if value or name.startswith("X-MS"):
            report[name] = value
    raw = normalise_line_ends(report.as_bytes())
    return post.file(mailbox, raw, {"INBOX", "UNREAD"}, thread_id=sent.thread_id)
