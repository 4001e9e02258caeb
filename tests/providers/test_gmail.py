"""What only Gmail does, against the stand-in; what every adapter keeps stands in test_contract.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.rules.facts import MailFacts
from tests.providers.adapters import GMAIL
from tests.providers.conftest import AMY, OWN, PAT, Box, ids_of, letter, open_box
from tests.services.programs import Sandbox


@pytest.fixture
def box(sandbox: Sandbox) -> Box:
    """Amy's Gmail mailbox."""
    return open_box(sandbox, GMAIL)


def test_aliases_are_the_confirmed_ones(box: Box) -> None:
    box.sandbox.add_mailbox(
        "jo@practice.example", aliases=["desk@practice.example", {"email": "new@practice.example", "verified": False}]
    )
    jo = Box(box.sandbox, box.adapter, box.adapter.tokens(box.sandbox, "jo@practice.example"))
    assert set(jo.run(lambda p: p.aliases())) == {"jo@practice.example", "desk@practice.example"}


@pytest.mark.provider_fault(15)
def test_history_that_comes_in_no_order_is_put_in_order_and_a_cursor_never_goes_back(box: Box) -> None:
    start = box.cursor()
    received = box.receive(7)
    for name, value in (("history_unordered", True), ("history_page_size", 3)):
        box.sandbox.quirk(name, value=value)
        pages = box.changes(start)
        assert ids_of(pages) == received
    assert pages[-1].cursor == box.cursor()
    cursors = [int(page.cursor) for page in pages]
    assert cursors == sorted(cursors)


@pytest.mark.provider_fault(16)
def test_only_labels_that_bring_a_message_to_us_are_changes(box: Box) -> None:
    [spam, plain] = [*box.receive(labels="SPAM"), *box.receive()]
    start = box.cursor()
    relabel = f"/mailboxes/{AMY}/messages"
    box.sandbox.call("POST", f"{relabel}/{plain}/labels", json={"add": ["STARRED"], "remove": ["UNREAD"]})
    box.sandbox.call("POST", f"{relabel}/{spam}/labels", json={"add": ["INBOX"], "remove": ["SPAM"]})
    [change] = [change for page in box.changes(start) for change in page.changes]
    assert (change.provider_message_id, change.moved) == (spam, True)


@pytest.mark.requirement("SYN-1")
def test_headers_never_ask_for_more_than_headers(box: Box) -> None:
    [received] = box.receive()
    box.sandbox.call("DELETE", "/requests")
    box.run(lambda p: p.headers([received], OWN))
    assert {r["query"]["format"][0] for r in box.sandbox.requests() if received in r["path"]} == {"metadata"}


@pytest.mark.provider_fault(20)
@pytest.mark.rule("G-19")
def test_gmail_rewrites_the_message_id_and_may_choose_another_thread(box: Box) -> None:
    message_id = box.deliver(letter(Message_ID="<pats@gmail.com>", Subject="Hours"))
    [facts] = box.run(lambda p: p.headers([message_id], OWN))
    assert isinstance(facts, MailFacts)
    reply = letter(From=f"Amy <{AMY}>", To=PAT, Subject="Re: Hours", Message_ID="<mine@practice.example>", In_Reply_To="<pats@gmail.com>")
    box.sandbox.quirk("send_new_thread", times=1)
    moved = box.run(lambda p: p.send(reply, facts.provider_thread_id))
    assert moved.provider_thread_id != facts.provider_thread_id
    assert moved.internet_message_id not in ("", "<mine@practice.example>")


@pytest.mark.provider_fault(21)
@pytest.mark.parametrize("size", [3_400_000, 25_100_000])
def test_a_large_mail_takes_the_way_that_is_wide_enough(box: Box, size: int) -> None:
    line = "x" * 70 + "\r\n"
    sent = box.run(lambda p: p.send(letter(From=f"Amy <{AMY}>", To=PAT, text=line * (size // len(line))), None))
    assert sent.provider_message_id
    [path] = [r["path"] for r in box.sandbox.requests() if r["path"].endswith("/send")]
    assert path.startswith("/upload/") is (size > 3_500_000)


@pytest.mark.provider_fault(23)
def test_a_watch_lives_for_days_and_can_be_stopped(box: Box) -> None:
    watch = box.run(lambda p: p.watch("secret"))
    assert watch is not None
    assert timedelta(days=6) < watch.expires_at - datetime.now(UTC) <= timedelta(days=7, minutes=1)
    box.run(lambda p: p.stop_watch())
