"""What goes wrong while Graph sends: nothing is doubled or lost, and no draft is left behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from portal.lib.http import Http
from portal.providers.errors import Limited, Refused, SendCapReached, Temporary, Unanswered
from portal.providers.microsoft.client import GraphClient
from portal.providers.microsoft.mail import GraphProvider
from portal.rules.facts import MailFacts
from portal.sending.mime import OutgoingFile
from tests.providers.adapters import OUTLOOK
from tests.providers.conftest import AMY, PAT, Box, headers, ids_of, open_box
from tests.providers.outlook import OutlookBox
from tests.providers.test_graph import REF, outgoing
from tests.providers.test_graph_faults import graph_error
from tests.services.programs import Sandbox

GRAPH = "https://graph.microsoft.com"


@pytest.fixture
def box(sandbox: Sandbox) -> OutlookBox:
    """Amy's Outlook mailbox."""
    return OutlookBox(sandbox, OUTLOOK, open_box(sandbox, OUTLOOK).tokens)


@pytest.mark.provider_fault(27)
@pytest.mark.rule("S-03")
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "after_effect": True}, {"drop": True}, {"status": 500, "after_effect": True}, {"status": 503},
        {"status": 503, "headers": {"Retry-After": "5"}}, {"status": 200, "body": "<html>gateway</html>", "after_effect": True},
        {"status": 302, "headers": {"Location": "https://evil.example/"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_send_without_a_good_answer_may_have_left_and_is_found_if_it_has(box: OutlookBox, fault: dict[str, object]) -> None:
    box.sandbox.fault(path="*/send", times=1, **fault)
    with pytest.raises(Unanswered):
        box.run(lambda p: p.send(outgoing(), None))
    has_left = bool(fault.get("after_effect"))
    assert len(box.sandbox.messages(PAT)) == has_left
    assert (box.run(lambda p: p.find_sent(REF, datetime.now(UTC))) is not None) is has_left


@pytest.mark.provider_fault(27)
@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("*/me/messages", {"method": "POST", "drop": True, "after_effect": True}),
        ("*/me/messages", {"method": "POST", "status": 500}),
        ("*/me/messages/*", {"method": "PATCH", "status": 503}),
        ("*/me/messages/*", {"method": "PATCH", "truncate": 9}),
        ("*/attachments", {"method": "POST", "drop": True}),
        ("*/send", {"status": 429, "headers": {"Retry-After": "3"}}),
    ],
    ids=str,
)
def test_trouble_before_the_last_word_has_certainly_not_sent_it(box: OutlookBox, path: str, fault: dict[str, object]) -> None:
    files = tuple(OutgoingFile(f"{n}.pdf", "application/pdf", b"%PDF" * 280_000) for n in range(2))
    box.sandbox.fault(path=path, times=1, **fault)
    with pytest.raises((Temporary, Limited)) as raised:
        box.run(lambda p: p.send(outgoing(files=files), None))
    assert not isinstance(raised.value, Unanswered)
    assert box.sandbox.messages(PAT) == []
    box.run(lambda p: p.send(outgoing(files=files), None))
    assert (len(box.sandbox.messages(PAT)), box.drafts(AMY)) == (1, [])


@pytest.mark.provider_fault(27)
def test_a_copy_that_comes_late_keeps_the_id_we_were_given(box: OutlookBox) -> None:
    start = box.cursor()
    box.sandbox.quirk("ms_sent_late", value=30)
    sent = box.run(lambda p: p.send(outgoing(), None))
    assert ids_of(box.changes(start)) == []
    assert box.run(lambda p: p.find_sent(REF, datetime.now(UTC))) is None
    box.sandbox.call("POST", "/clock", json={"offset_seconds": 31})
    assert ids_of(box.changes(start)) == [sent.provider_message_id]
    assert box.run(lambda p: p.find_sent(REF, datetime.now(UTC))) == sent


@pytest.mark.provider_fault(27)
@pytest.mark.rule("G-22")
def test_a_mail_that_never_leaves_comes_back_as_a_report_in_its_thread(box: OutlookBox) -> None:
    start = box.cursor()
    box.sandbox.quirk("ms_sent_never")
    sent = box.run(lambda p: p.send(outgoing(), None))
    [report] = headers(box, ids_of(box.changes(start)))
    assert isinstance(report, MailFacts)
    assert (report.is_bounce, report.provider_thread_id) == (True, sent.provider_thread_id)
    assert sent.internet_message_id in report.references


@pytest.mark.provider_fault(31)
@pytest.mark.rule("G-14")
@pytest.mark.parametrize(("status", "code"), [(429, "ErrorExceededMessageLimit"), (400, "ErrorSubmissionQuotaExceeded")])
def test_the_cap_of_sent_mail_is_its_own_trouble_and_leaves_no_draft(box: OutlookBox, status: int, code: str) -> None:
    box.sandbox.fault(path="*/send", status=status, body=graph_error(code, "Cannot send mail."))
    with pytest.raises(SendCapReached):
        box.run(lambda p: p.send(outgoing(), None))
    assert (box.drafts(AMY), box.sandbox.messages(PAT)) == ([], [])


@pytest.mark.provider_fault(31)
@pytest.mark.parametrize(("status", "code"), [(400, "ErrorInvalidRecipients"), (404, "ErrorItemNotFound"), (413, "ErrorMessageSizeExceeded")])
def test_a_refused_mail_is_refused_for_good_and_leaves_no_draft(box: OutlookBox, status: int, code: str) -> None:
    box.sandbox.fault(path="*/send", status=status, body=graph_error(code))
    with pytest.raises(Refused) as raised:
        box.run(lambda p: p.send(outgoing(), None))
    assert raised.value.status == status
    assert box.drafts(AMY) == []


@pytest.mark.provider_fault(29)
def test_an_upload_that_ends_early_has_not_sent_the_mail(box: OutlookBox) -> None:
    files = (OutgoingFile("large.pdf", "application/pdf", b"%PDF" * 800_000),)
    for fault in ({"status": 404}, {"status": 200, "body": {"nextExpectedRanges": ["0-"]}}, {"status": 200, "body": {}}):
        box.sandbox.fault(method="PUT", path="/graph-upload/*", **fault)
        with pytest.raises(Temporary) as raised:
            box.run(lambda p: p.send(outgoing(files=files), None))
        assert not isinstance(raised.value, Unanswered)
        box.sandbox.clear_faults()
    assert (box.drafts(AMY), box.sandbox.messages(PAT)) == ([], [])


@pytest.mark.provider_fault(29)
@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://outlook.office.com/api/upload", True), ("https://graph.microsoft.com/x", True),
        ("http://outlook.office.com/x", False), ("https://outlook.office.com.evil.example/x", False), ("https://169.254.169.254/", False),
        ("file:///etc/passwd", False), ("", False), ("https://[", False),
    ],
)  # fmt: skip
def test_a_file_goes_to_microsoft_only(url: str, is_good: bool) -> None:
    client = GraphClient(None, GRAPH, None)  # type: ignore[arg-type]
    assert client._is_upload_place(url) is is_good


@pytest.mark.provider_fault(39)
@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://no-such-host.invalid", "http://127.0.0.1:9:9"])
def test_a_mail_that_never_left_is_known_to_have_stayed(box: Box, base: str) -> None:
    async def send() -> None:
        async with Http() as http:
            await GraphProvider(GraphClient(http, base, box.tokens)).send(outgoing(), None)

    with pytest.raises(Temporary) as raised:
        asyncio.run(send())
    assert not isinstance(raised.value, Unanswered)
