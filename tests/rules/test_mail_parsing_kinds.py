"""What labels and headers tell of the kind of a mail: drafts, spam, lists, bounces, receipts, forwards (G-06, G-22)."""

from __future__ import annotations

import pytest

from portal.providers.google.parse import mail_of
from portal.rules.facts import Direction
from tests.providers.gmail_json import OWN, facts, headers, message, mime, part


@pytest.mark.provider_fault(16)
@pytest.mark.parametrize("label", ["DRAFT", "SPAM", "TRASH", "CHAT"])
def test_labels_tell_what_is_no_mail_yet_or_no_more(label: str) -> None:
    found = facts(mime(), label)
    assert [found.is_draft, found.is_spam, found.is_trash, found.is_chat] == [
        label == n for n in ("DRAFT", "SPAM", "TRASH", "CHAT")
    ]


@pytest.mark.provider_fault(16)
def test_a_mail_to_oneself_is_outbound() -> None:
    assert facts(mime(), "SENT", "INBOX").direction == Direction.OUTBOUND


@pytest.mark.bad_input(30)
@pytest.mark.rule("G-22")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Auto-Submitted: auto-replied", "is_automatic"),
        ("Auto-Submitted: Auto-Generated; owner=x", "is_automatic"),
        ("X-Autoreply: yes", "is_automatic"),
        ("Precedence: auto_reply", "is_automatic"),
        ("Auto-Submitted: no", ""),
        ("Auto-Submitted: no (not at all)", "is_automatic"),
        ("List-Id: <news.example>", "is_list"),
        ("List-Unsubscribe: <https://x.example>", "is_list"),
        ("Precedence: Bulk", "is_list"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=x", "is_bounce"),
        ("From: Mail Delivery Subsystem <MAILER-DAEMON@googlemail.com>", "is_bounce"),
        ("X-Failed-Recipients: x@y.example", "is_bounce"),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=x", "is_receipt"),
        ("Disposition-Notification-To: pat@gmail.com", ""),
        ("Subject: Fwd: your visit", "is_forward"),
        ("Subject: WG: Termin", "is_forward"),
        ("Subject: =?utf-8?q?Fw=3A_x?=", "is_forward"),
        ("X-Forwarded-Message-Id: <a@b>", "is_forward"),
        ("Subject: Forward planning", ""),
        ("Resent-From: x@y.example", "is_automatic_forward"),
        ("X-Forwarded-For: old@practice.example amy@practice.example", "is_automatic_forward"),
        ("X-Forwarded-To: Amy@practice.example", "is_automatic_forward"),
        ("X-Forwarded-To: someone@else.example", ""),
        ("X-Auto-Response-Suppress: All", ""),
    ],
)
def test_kinds_of_mail_that_are_no_letters(line: str, kind: str) -> None:
    found = facts(mime(line))
    kinds = ["is_automatic", "is_list", "is_bounce", "is_receipt", "is_forward", "is_automatic_forward"]
    assert [name for name in kinds if getattr(found, name)] == ([kind] if kind else [])


@pytest.mark.rule("G-06")
def test_a_forward_is_known_by_its_mark_when_the_subject_was_changed() -> None:
    text = "see below\r\n\r\n---------- Forwarded message ---------\r\nFrom: x"
    payload = part("text/plain", text, From="amy@practice.example", To="pat@gmail.com", Subject="About you")
    assert mail_of(message(payload, "SENT"), OWN).facts.is_forward
    assert not mail_of(message(payload, "INBOX"), OWN).facts.is_forward
    assert not mail_of(
        message(part("text/plain", "-- Forwarded message --", From="a@b.co"), "SENT"), OWN
    ).facts.is_forward


@pytest.mark.bad_input(20)
@pytest.mark.parametrize(
    "payload", [{}, {"headers": None}, {"headers": []}, {"headers": headers(From="")}, {"body": None, "parts": None}]
)
def test_a_message_without_anything_has_nobody_and_nothing(payload: dict[str, object]) -> None:
    mail = mail_of(message(payload), OWN)
    assert (mail.facts.sender, mail.subject, mail.text, mail.html, mail.files) == (None, "", "", "", ())
