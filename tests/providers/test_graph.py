"""What only Outlook does, against the stand-in; what every adapter keeps stands in test_contract.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from portal.providers.errors import Refused, Unanswered
from portal.providers.microsoft.client import GraphClient
from portal.providers.types import Held, RemoteMail
from portal.rules.addresses import Address
from portal.rules.facts import Direction, MailFacts
from portal.sending.mime import OutgoingFile, OutgoingMail, OutgoingPicture, build_mime
from tests.providers.adapters import OUTLOOK
from tests.providers.conftest import AMY, OWN, PAT, Box, ids_of, letter, open_box
from tests.providers.outlook import OutlookBox, listening
from tests.services.programs import Sandbox

REF = UUID("0b0f6c6e-6a39-4f0e-9f5e-0d5c1b6a7e11")


@pytest.fixture
def box(sandbox: Sandbox) -> OutlookBox:
    """Amy's Outlook mailbox."""
    opened = open_box(sandbox, OUTLOOK)
    return OutlookBox(sandbox, OUTLOOK, opened.tokens)


@pytest.fixture
def heard(box: OutlookBox) -> Iterator[OutlookBox]:
    """Amy's Outlook mailbox, with somebody who takes its notices."""
    with listening() as url:
        box.base_url = url
        yield box


def outgoing(**fields: object) -> bytes:
    """A mail as the portal makes it, from Amy to Pat."""
    values: dict[str, object] = {
        "sender": Address(AMY, AMY, "Amy Stone"), "to": (Address(PAT, PAT, "Pat"),), "subject": "Hours", "text": "Hello Pat",
        "crm_ref": REF, "written_at": datetime.now(UTC),
    }  # fmt: skip
    return build_mime(OutgoingMail(**(values | fields)))  # type: ignore[arg-type]


def facts_of(box: Box, message_id: str) -> MailFacts:
    [facts] = box.run(lambda p: p.headers([message_id], OWN))
    assert isinstance(facts, MailFacts)
    return facts


# reading -------------------------------------------------------------------------------------------------------------


def test_the_address_is_mail_or_the_name_one_signs_in_with(box: OutlookBox) -> None:
    assert box.run(lambda p: p.aliases()) == (AMY,)
    box.sandbox.quirk("ms_me_without_mail")
    assert box.run(lambda p: p.profile()).address == AMY


@pytest.mark.requirement("SYN-1")
def test_headers_never_ask_for_content_and_a_delta_only_for_ids(box: OutlookBox) -> None:
    start = box.cursor()
    [received] = box.receive()
    box.sandbox.call("DELETE", "/requests")
    assert ids_of(box.changes(start)) == [received]
    facts_of(box, received)
    wanted = {r["path"].partition("/me/")[2]: r["query"].get("$select", [""])[0] for r in box.sandbox.requests()}
    [fields] = [value for path, value in wanted.items() if received in path]
    assert not {"body", "uniqueBody", "bodyPreview", "attachments"} & set(fields.split(","))
    assert "body" not in start


@pytest.mark.provider_fault(27)
def test_every_call_asks_for_ids_that_outlive_a_move(heard: OutlookBox) -> None:
    start = heard.cursor()
    [received] = heard.receive()
    heard.changes(start)
    heard.run(lambda p: p.messages([received], OWN))
    sent = heard.run(lambda p: p.send(outgoing(), None))
    heard.run(lambda p: p.watch("secret"))
    assert {headers["Prefer"].partition(",")[0] for _, _, headers in heard.asked} == {'IdType="ImmutableId"'}
    assert facts_of(heard, sent.provider_message_id).crm_ref == REF


@pytest.mark.provider_fault(25)
def test_both_folders_are_one_stream_without_drafts_and_without_what_left(box: OutlookBox) -> None:
    start = box.cursor()
    [first, moved] = box.receive(2)
    box.relabel(moved, add=["FOLDER:Family"], remove=["INBOX"])
    box.sandbox.write(AMY, to=[PAT], subject="From Outlook", text="…")
    [sent] = [box.adapter.id_of(m["id"]) for m in box.sandbox.messages(AMY) if "SENT" in m["labels"]]
    [page] = box.changes(start)
    assert {change.provider_message_id for change in page.changes} == {first, sent}
    assert facts_of(box, sent).direction is Direction.OUTBOUND
    assert facts_of(box, moved).direction is Direction.INBOUND


@pytest.mark.provider_fault(25)
@pytest.mark.rule("O-03")
def test_a_mail_of_a_known_thread_is_found_wherever_a_rule_puts_it(box: OutlookBox) -> None:
    sent = box.run(lambda p: p.send(outgoing(), None))
    since, start = datetime.now(UTC) - timedelta(minutes=5), box.cursor()
    [hidden] = [
        box.deliver(letter(Subject="Re: Hours", In_Reply_To=sent.internet_message_id, References=sent.internet_message_id), labels="FOLDER:Family")
    ]
    assert ids_of(box.changes(start)) == []
    found = box.run(lambda p: p.thread_messages([sent.provider_thread_id, "AAQk'none"], since))
    assert set(found) == {sent.provider_message_id, hidden}
    assert box.run(lambda p: p.thread_messages([sent.provider_thread_id], datetime.now(UTC) + timedelta(hours=1))) == []


def test_junk_and_bin_are_told_apart_from_the_inbox(box: OutlookBox) -> None:
    [junk] = box.receive(labels="SPAM")
    [binned] = box.receive(labels="TRASH")
    assert (facts_of(box, junk).is_spam, facts_of(box, binned).is_trash) == (True, True)


@pytest.mark.rule("O-06")
def test_files_and_pictures_stay_behind_their_ids_until_asked_for(box: OutlookBox) -> None:
    raw = outgoing(
        html='<p>Look</p><img src="cid:pic1">', pictures=(OutgoingPicture("pic1", "p.png", "image/png", b"\x89PNG\r\n\x1a\n"),),
        files=(OutgoingFile("form.pdf", "application/pdf", b"%PDF-1.7 form"),),
    )  # fmt: skip
    received = box.deliver(raw.replace(b"From: ", b"X-Was: ", 1).replace(b"To: Pat", b"From: Pat", 1))
    [mail] = box.run(lambda p: p.messages([received], OWN))
    assert isinstance(mail, RemoteMail)
    assert {(f.name, f.content_id, f.data) for f in mail.files} == {("p.png", "pic1", None), ("form.pdf", "", None)}
    [form] = [f for f in mail.files if f.name == "form.pdf"]
    assert box.run(lambda p: p.file(received, form)) == b"%PDF-1.7 form"


# sending -------------------------------------------------------------------------------------------------------------


def test_a_reply_goes_to_those_whom_the_mail_names_and_nobody_else(box: OutlookBox) -> None:
    """Outlook's own reply to a mail that Amy sent herself would go to Amy."""
    first = box.run(lambda p: p.send(outgoing(), None))
    again = outgoing(
        crm_ref=UUID(int=7), subject="Re: Hours", parent_id=first.internet_message_id, references=first.internet_message_id,
        html="<p>One more thing</p>",
    )  # fmt: skip
    sent = box.run(lambda p: p.send(again, first.provider_thread_id))
    assert sent.provider_thread_id == first.provider_thread_id
    arrived = box.sandbox.messages(PAT)[-1]
    assert arrived["headers"]["message_id"] == sent.internet_message_id
    facts = facts_of(box, sent.provider_message_id)
    assert ([p.key for p in facts.to], facts.cc, facts.crm_ref) == ([PAT], (), UUID(int=7))
    assert facts.references[-1] == first.internet_message_id
    assert len(box.sandbox.messages(AMY)) == 2


@pytest.mark.provider_fault(28)
def test_a_reply_to_what_was_deleted_still_says_what_it_replies_to(box: OutlookBox) -> None:
    raw = outgoing(subject="Re: Hours", parent_id="<pats@gmail.com>", references="<pats@gmail.com>")
    sent = box.run(lambda p: p.send(raw, "AAQk-long-ago"))
    assert facts_of(box, sent.provider_message_id).references == ("<pats@gmail.com>",)
    assert len(box.sandbox.messages(PAT)) == 1


@pytest.mark.provider_fault(28)
def test_a_parent_deleted_under_our_hands_does_not_stop_the_reply(box: OutlookBox) -> None:
    box.deliver(letter(Message_ID="<pats@gmail.com>"))
    box.sandbox.fault(path="*/createReply", status=404)
    sent = box.run(lambda p: p.send(outgoing(parent_id="<pats@gmail.com>", references="<pats@gmail.com>"), None))
    assert facts_of(box, sent.provider_message_id).references == ("<pats@gmail.com>",)


@pytest.mark.provider_fault(29)
@pytest.mark.parametrize("is_reply", [False, True], ids=["new", "reply"])
def test_large_files_arrive_whole(box: OutlookBox, is_reply: bool) -> None:
    sizes = {"small.pdf": 1_800_000, "large.pdf": 3_600_000}
    files = tuple(OutgoingFile(name, "application/pdf", name.encode() * (size // len(name))) for name, size in sizes.items())
    parent = box.deliver(letter(Message_ID="<pats@gmail.com>")) if is_reply else ""
    more = {"parent_id": "<pats@gmail.com>", "references": "<pats@gmail.com>"} if parent else {}
    sent = box.run(lambda p: p.send(outgoing(files=files, **more), None))
    [mail] = box.run(lambda p: p.messages([sent.provider_message_id], OWN))
    assert isinstance(mail, RemoteMail)
    assert mail.facts.crm_ref == REF
    got = {f.name: box.run(lambda p, f=f: p.file(sent.provider_message_id, f)) for f in mail.files}
    assert got == {file.name: file.data for file in files}
    assert all("Authorization" not in headers for method, _, headers in box.asked if method == "PUT")
    assert len(box.sandbox.messages(PAT)) == 1


@pytest.mark.provider_fault(29)
def test_large_pictures_in_the_text_leave_as_files_that_stand_in_it(box: OutlookBox) -> None:
    picture = OutgoingPicture("pic1", "p.png", "image/png", b"\x89PNG\r\n\x1a\n" * 400_000)
    raw = outgoing(html='<p>Look</p><img src="cid:pic1">', pictures=(picture,), parent_id="<gone@gmail.com>", references="<gone@gmail.com>")
    sent = box.run(lambda p: p.send(raw, None))
    [mail] = box.run(lambda p: p.messages([sent.provider_message_id], OWN))
    assert isinstance(mail, RemoteMail)
    assert ("Look" in mail.html, mail.facts.crm_ref, mail.facts.references) == (True, REF, ("<gone@gmail.com>",))
    assert [(f.name, f.content_id, f.size) for f in mail.files] == [("p.png", "pic1", 3_200_000)]


@pytest.mark.fault(18)
@pytest.mark.rule("S-03")
def test_what_left_is_not_sent_again_and_a_draft_left_behind_is_cleared(box: OutlookBox) -> None:
    box.sandbox.fault(path="*/send", times=1, drop=True)
    with pytest.raises(Unanswered):
        box.run(lambda p: p.send(outgoing(), None))
    assert len(box.drafts(AMY)) == 1
    assert box.run(lambda p: p.find_sent(REF, datetime.now(UTC))) is None
    sent = box.run(lambda p: p.send(outgoing(), None))
    assert box.run(lambda p: p.send(outgoing(), None)) == sent
    assert (len(box.drafts(AMY)), len(box.sandbox.messages(PAT))) == (0, 1)


# notices -------------------------------------------------------------------------------------------------------------


def test_without_an_address_for_notices_there_is_no_watch(box: OutlookBox) -> None:
    assert box.run(lambda p: p.watch("secret")) is None


@pytest.mark.provider_fault(30)
def test_a_watch_is_renewed_while_it_lives_and_made_anew_when_it_is_gone(heard: OutlookBox) -> None:
    watch = heard.run(lambda p: p.watch("secret"))
    assert watch is not None
    assert [held.resource for held in watch.held] == [f"me/mailFolders('{name}')/messages" for name in ("inbox", "sentitems")]
    assert timedelta(days=6) < watch.expires_at - datetime.now(UTC) < timedelta(days=7)
    inbox, sent = watch.held
    renewed = heard.run(lambda p: p.watch("secret", watch.held))
    assert renewed is not None
    assert [held.remote_id for held in renewed.held] == [inbox.remote_id, sent.remote_id]
    gone = (Held("11111111-1111-4111-8111-111111111111", inbox.resource, inbox.expires_at), sent)
    made = heard.run(lambda p: p.watch("secret", gone))
    assert made is not None
    assert made.held[0].remote_id not in (gone[0].remote_id, inbox.remote_id)
    assert made.held[1].remote_id == sent.remote_id
    heard.run(lambda p: p.stop_watch((inbox, *made.held)))
    heard.run(lambda p: p.stop_watch(made.held))  # again: what is gone is gone


@pytest.mark.provider_fault(30)
def test_a_watch_that_cannot_be_made_whole_is_not_left_half(heard: OutlookBox) -> None:
    heard.sandbox.fault(method="POST", path="*/subscriptions", skip=1, times=1, status=400)
    with pytest.raises(Refused):
        heard.run(lambda p: p.watch("secret"))
    methods = [method for method, url, _ in heard.asked if "/subscriptions" in url]
    assert methods == ["POST", "POST", "DELETE"]


def test_a_link_is_ours_only_below_our_own_graph() -> None:
    client = GraphClient(None, "https://graph.microsoft.com", None)  # type: ignore[arg-type]
    assert client.is_own("https://graph.microsoft.com/v1.0/me/messages?$skip=1")
    for other in ("https://graph.microsoft.com.evil.example/v1.0/me", "https://graph.microsoft.com/v1.0@evil.example/", "http://graph.microsoft.com/v1.0/me", ""):
        assert not client.is_own(other)
