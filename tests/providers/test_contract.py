"""What every mail adapter keeps, against the stand-in: the same tests for each provider (see adapters.py)."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from portal.providers.errors import CursorExpired, Gone, Refused
from portal.providers.types import RemoteFile, RemoteMail, Unread
from portal.rules.facts import Direction, MailFacts
from tests.providers.conftest import AMY, OWN, PAT, Box, ids_of, letter

REF = UUID("0b0f6c6e-6a39-4f0e-9f5e-0d5c1b6a7e11")


def outgoing(text: str = "Hello Pat", **fields: str) -> bytes:
    return letter(text=text, From=f"Amy <{AMY}>", To=f"Pat <{PAT}>", X_CRM_Ref=str(REF), **fields)


def test_profile_gives_the_address_and_a_cursor_of_now(box: Box) -> None:
    before = box.cursor()
    received = box.receive()
    assert box.run(lambda p: p.profile()).address == AMY
    assert ids_of(box.changes(before)) == received
    assert ids_of(box.changes(box.cursor())) == []


@pytest.mark.provider_fault(15)
@pytest.mark.parametrize(
    "quirks",
    [
        {},
        {"page_size": 2},
        {"page_size": 2, "empty_page": True},
        {"duplicate": True},
        {"page_size": 3, "duplicate": True},
    ],
    ids=lambda q: "+".join(q) or "plain",
)
def test_changes_name_each_message_once_and_in_order(box: Box, quirks: dict[str, object]) -> None:
    start = box.cursor()
    received = box.receive(7)
    for name, value in quirks.items():
        box.quirk(name, value=value, times=1 if name == "empty_page" else None)
    pages = box.changes(start)
    assert ids_of(pages) == received
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    box.sandbox.clear_faults()
    assert ids_of(box.changes(pages[-1].cursor)) == []


@pytest.mark.provider_fault(15)
def test_a_cursor_of_the_middle_gives_the_rest(box: Box) -> None:
    start = box.cursor()
    received = box.receive(6)
    box.quirk("page_size", value=2)
    pages = box.changes(start)
    assert len(pages) == 3
    assert ids_of(box.changes(pages[0].cursor)) == received[2:]


def test_no_change_is_one_last_page_without_changes(box: Box) -> None:
    [page] = box.changes(box.cursor())
    assert (page.changes, page.is_last) == ((), True)


@pytest.mark.provider_fault(16)
def test_what_came_back_out_of_junk_is_a_change_that_moved(box: Box) -> None:
    [spam] = box.receive(labels="SPAM")
    start = box.cursor()
    box.relabel(spam, add=["INBOX"], remove=["SPAM"])
    [change] = [change for page in box.changes(start) for change in page.changes]
    assert (change.provider_message_id, change.moved) == (spam, True)


@pytest.mark.provider_fault(14)
@pytest.mark.parametrize("cursor", ["1", "0", "not-a-number", ""])
def test_a_cursor_that_is_not_known_any_more_is_said_so(box: Box, cursor: str) -> None:
    box.receive(2)
    box.sandbox.call("POST", f"/users/{AMY}/history-floor", json={})
    with pytest.raises(CursorExpired):
        box.changes(cursor)


@pytest.mark.provider_fault(14)
def test_listing_goes_from_a_moment_on_oldest_first(box: Box) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=3)
    box.receive(2, internal_date=int(old.timestamp() * 1000))
    recent = box.receive(3)
    box.receive(labels="SPAM")

    async def read(provider):  # type: ignore[no-untyped-def]
        return [page async for page in provider.listing(now - timedelta(hours=1), "777")]

    pages = box.run(read)
    assert ids_of(pages) == recent
    assert (pages[-1].cursor, pages[-1].is_last) == ("777", True)


def test_headers_come_in_the_order_asked_and_without_content(box: Box) -> None:
    received = box.receive(60)
    unknown = box.adapter.id_of("00000000deadbeef")
    asked = [*reversed(received), unknown]
    found = box.run(lambda p: p.headers(asked, OWN))
    assert [item.provider_message_id for item in found] == asked
    facts = found[0]
    assert isinstance(facts, MailFacts)
    assert facts.sender is not None
    assert (facts.sender.key, facts.sender.name, facts.to[0].key) == (PAT, "Pat Rivers", AMY)
    assert (facts.direction, facts.is_readable) == (Direction.INBOUND, True)
    assert abs(facts.received_at.timestamp() - time.time()) < 120
    assert found[-1] == Unread(unknown, gone=True, error=found[-1].error)  # type: ignore[union-attr]


def test_messages_bring_text_html_and_files(box: Box) -> None:
    raw = (
        f"From: {PAT}\r\nTo: {AMY}\r\nSubject: =?utf-8?q?F=C3=BCr_Amy?=\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
        "--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n"
        "--x\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=a.png\r\n\r\niVBORw0KGgo=\r\n--x--\r\n"
    ).encode()
    message_id = box.deliver(raw)
    [mail] = box.run(lambda p: p.messages([message_id], OWN))
    assert isinstance(mail, RemoteMail)
    assert (mail.subject, mail.defects) == ("Für Amy", ())
    assert "Grüße" in (mail.text or mail.html)  # Graph hands out one of them, and makes HTML of text
    [file] = mail.files
    assert (file.name, file.claimed_type, file.size) == ("a.png", "image/png", 8)
    assert box.run(lambda p: p.file(message_id, file)) == b"\x89PNG\r\n\x1a\n"


def test_a_file_id_that_aged_is_found_again_and_a_missing_file_is_gone(box: Box) -> None:
    raw = letter(
        Content_Type="application/pdf; name=form.pdf",
        Content_Disposition="attachment; filename=form.pdf",
        text="%PDF-1.7",
    )
    message_id = box.deliver(raw)
    [mail] = box.run(lambda p: p.messages([message_id], OWN))
    assert isinstance(mail, RemoteMail)
    [file] = mail.files
    aged = RemoteFile(file.name, file.claimed_type, file.size, remote_id="ANGjdJ-long-ago")
    assert box.run(lambda p: p.file(message_id, aged)).startswith(b"%PDF-1.7")
    with pytest.raises(Gone):
        box.run(
            lambda p: p.file(message_id, RemoteFile("other.pdf", "application/pdf", 9, remote_id="ANGjdJ-long-ago"))
        )


@pytest.mark.provider_fault(20)
@pytest.mark.rule("G-19")
def test_a_sent_mail_bears_the_message_id_that_the_world_sees(box: Box) -> None:
    sent = box.run(lambda p: p.send(outgoing(Message_ID="<mine@practice.example>"), None))
    [arrived] = box.sandbox.messages(PAT)
    assert sent.internet_message_id
    assert sent.internet_message_id == arrived["headers"]["message_id"]
    [facts] = box.run(lambda p: p.headers([sent.provider_message_id], OWN))
    assert isinstance(facts, MailFacts)
    assert (facts.direction, facts.crm_ref, facts.provider_thread_id) == (
        Direction.OUTBOUND,
        REF,
        sent.provider_thread_id,
    )


@pytest.mark.provider_fault(20)
def test_a_reply_stays_in_its_thread(box: Box) -> None:
    message_id = box.deliver(letter(Message_ID="<pats@gmail.com>", Subject="Hours"))
    [facts] = box.run(lambda p: p.headers([message_id], OWN))
    assert isinstance(facts, MailFacts)
    reply = outgoing(Subject="Re: Hours", In_Reply_To="<pats@gmail.com>", References="<pats@gmail.com>")
    sent = box.run(lambda p: p.send(reply, facts.provider_thread_id))
    assert sent.provider_thread_id == facts.provider_thread_id


def test_a_thread_that_the_mailbox_lost_does_not_stop_the_mail(box: Box) -> None:
    assert box.run(lambda p: p.send(outgoing(), "00000000deadbeef")).provider_message_id
    assert len(box.sandbox.messages(PAT)) == 1


@pytest.mark.provider_fault(21)
def test_a_mail_that_no_way_takes_is_refused_before_it_leaves(box: Box) -> None:
    with pytest.raises(Refused) as refused:
        box.run(lambda p: p.send(outgoing() + b"x" * 36_700_160, None))
    assert refused.value.status == 413
    assert not [r for r in box.sandbox.requests() if r["path"].endswith("/send")]


@pytest.mark.provider_fault(18)
def test_a_sent_mail_is_found_by_its_reference(box: Box) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    for number in range(3):
        box.sandbox.write(AMY, to=[PAT], subject=f"Other {number}", text="…")
    assert box.run(lambda p: p.find_sent(REF, since)) is None
    sent = box.run(lambda p: p.send(outgoing(), None))
    assert box.run(lambda p: p.find_sent(REF, since)) == sent
    assert box.run(lambda p: p.find_sent(uuid4(), since)) is None
    box.relabel(sent.provider_message_id, add=["TRASH"])
    assert box.run(lambda p: p.find_sent(REF, since)) == sent


@pytest.mark.bad_input(18)
def test_the_same_message_id_twice_is_two_messages(box: Box) -> None:
    ids = [box.deliver(letter(n, Message_ID="<same@gmail.com>", text=f"text {n}")) for n in range(2)]
    first, second = box.run(lambda p: p.messages(ids, OWN))
    assert isinstance(first, RemoteMail)
    assert isinstance(second, RemoteMail)
    assert ["text 0" in (first.text or first.html), "text 1" in (second.text or second.html)] == [True, True]
    assert first.facts.internet_message_id == second.facts.internet_message_id
