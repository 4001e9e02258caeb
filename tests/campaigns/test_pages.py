"""Write, look at, start and follow a campaign, as people with different roles see it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from portal.audit import events
from portal.campaigns import preparing
from portal.database import db
from portal.models import AuditEvent, Campaign, Delivery, Message, Unsubscribe
from portal.sending import caps
from tests import factories
from tests.sending.bulk_desk import Practice

FORM = {
    "token": "t1", "action": "save", "name": "Autumn news", "by": "filter", "q": "", "show": "all", "people": "",
    "sender": "account", "subject": "News for {first_name|you}", "text": "Hello {first_name|there}.",
}  # fmt: skip


@pytest.fixture
def desk(practice: Practice, client: Any) -> Any:
    """The owner's browser."""
    return client.sign_in(practice.user)


def campaigns() -> list[Campaign]:
    db.session.expire_all()
    return list(db.session.scalars(select(Campaign).order_by(Campaign.created_at)))


def deliveries() -> list[Delivery]:
    db.session.expire_all()
    return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))


def events_of(name: str) -> list[AuditEvent]:
    return list(db.session.scalars(select(AuditEvent).where(AuditEvent.name == name)))


def page(client: Any, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    return str(answer.text)


def save(client: Any, status: int = 303, **values: Any) -> Any:
    answer = client.post("/campaigns/new", data=FORM | values)
    assert answer.status_code == status, answer.text
    return answer


def started(client: Any, **values: Any) -> Campaign:
    """A campaign that is written, started and prepared."""
    save(client, **values)
    campaign = campaigns()[-1]
    assert client.post(f"/campaigns/{campaign.id}/start").status_code == 303
    campaign_id = campaign.id
    db.session.commit()
    preparing.prepare(campaign_id)
    return campaigns()[-1]


@pytest.mark.rule("S-02")
def test_from_an_empty_list_to_everybody_has_it(desk: Any, practice: Practice) -> None:
    assert "No campaigns yet" in page(desk, "/campaigns")
    for name in ("Priya Raman", "Jonah Whitfield"):
        factories.make_contact(practice.account, name=name)
    factories.make_contact(practice.account, email=" ", name="No Address", email_key="")
    save(desk)
    campaign = campaigns()[0]
    text = page(desk, f"/campaigns/{campaign.id}")
    assert "2 people get it; 1 has no address." in text
    assert "Lumen Aesthetics Uptown" in text
    confirm = page(desk, f"/campaigns/{campaign.id}/start")
    assert "Send it to 2 people" in confirm
    assert "hello@lumen.example" in confirm
    for _ in range(2):  # pressed twice
        assert desk.post(f"/campaigns/{campaign.id}/start").status_code == 303
    assert len(events_of(events.CAMPAIGN_STARTED)) == 1
    campaign_id = campaign.id
    db.session.commit()
    assert preparing.prepare(campaign_id) == "running"
    assert 'data-refresh="2"' in page(desk, f"/campaigns/{campaign_id}")
    assert practice.run() == 2
    text = page(desk, f"/campaigns/{campaign_id}")
    assert "data-refresh" not in text
    assert 'aria-valuenow="2"' in text
    assert "<strong>2</strong> sent" in text
    assert [mail["headers"]["subject"] for mail in practice.sandbox.sink()] == ["News for Priya", "News for Jonah"]
    finished = events_of(events.CAMPAIGN_FINISHED)
    assert [event.details for event in finished] == [{"sent": 2, "failed": 0, "skipped": 0, "unknown": 0}]


def test_the_same_form_twice_is_one_draft(desk: Any) -> None:
    save(desk)
    save(desk)
    assert len(campaigns()) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": ""}, "Give it a name"),
        ({"subject": ""}, "Write a subject"),
        ({"text": " "}, "Write something"),
        ({"subject": "Hello {frist_name}"}, "There is no such field: {frist_name}"),
        ({"text": "Hello {nick_name|you}"}, "There is no such field: {nick_name}"),
        ({"subject": "a\nBcc: all@mail.example"}, "one line"),
        ({"by": "list", "people": "nobody at home"}, "No address that mail can go to"),
        ({"by": "list", "people": ""}, "Paste the addresses"),
        ({"sender": "own"}, "You have no connected mailbox"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(desk: Any, values: dict[str, str], said: str) -> None:
    answer = desk.post("/campaigns/new", data=FORM | values)
    assert answer.status_code in (400, 409)
    assert said in answer.text
    assert not campaigns()


def test_the_recipients_are_counted_while_one_chooses(desk: Any, practice: Practice) -> None:
    first = factories.make_contact(practice.account, "a@mail.example", "Priya Raman")
    factories.make_contact(practice.account, "a@mail.example", "Priya Twin")
    factories.make_contact(practice.account, "gone@mail.example", "Jonah Whitfield")
    db.session.add(Unsubscribe(account_id=practice.account.id, email_key="gone@mail.example", source="page"))
    counted = desk.post("/campaigns/count", data=FORM).text
    assert "1 person gets it; 1 unsubscribed, 1 shares an address with another contact." in counted
    assert "<html" not in counted
    listed = desk.post("/campaigns/count", data=FORM | {"by": "list", "people": "A@mail.example\nx@mail.example"}).text
    assert "1 person gets it" in listed
    assert "belongs to no contact here and gets nothing: x@mail.example" in listed
    searched = desk.post("/campaigns/new", data=FORM | {"action": "count", "q": "whitfield"}).text
    assert "Nobody gets it; 1 unsubscribed." in searched
    campaign = started(desk)
    assert [row.contact_id for row in deliveries()] == [first.id]  # the one that was created first
    assert campaign.audience["left_out"] == {"twice": 1, "unsubscribed": 1}


@pytest.mark.rule("O-07")
def test_ones_own_address_may_stand_in_from_and_is_warned_of(desk: Any, practice: Practice) -> None:
    assert "Your own connected address" not in page(desk, "/campaigns/new")
    connection = factories.make_connection(practice.account, practice.user, "tomas@gmail.com")
    factories.make_contact(practice.account)
    text = page(desk, "/campaigns/new")
    assert "You: tomas@gmail.com" in text
    assert "Mail from gmail.com that does not leave through gmail.com itself counts as forged" in text
    campaign = started(desk, sender="own")
    assert (campaign.sender, campaign.connection_id) == ("own", connection.id)
    assert practice.run() == 1
    (mail,) = practice.sandbox.sink()
    assert mail["headers"]["from"] == "Tomas Berg <tomas@gmail.com>"
    assert mail["mail_from"].endswith("@replies.demo.example")  # the transport is the practice's own in both cases
    assert caps.cap_of(connection).used == 0


@pytest.mark.rule("O-07")
def test_nobody_else_sends_as_me(desk: Any, practice: Practice, client: Any) -> None:
    factories.make_connection(practice.account, practice.user, "tomas@lumen.example")
    factories.make_contact(practice.account)
    save(desk, sender="own")
    campaign = campaigns()[0]
    other = desk.application.test_client().sign_in(factories.make_member(practice.account, "owner"))
    answer = other.post(f"/campaigns/{campaign.id}/start")
    assert answer.status_code == 409
    assert "only they can send it" in answer.text
    assert campaigns()[0].state == "draft"


@pytest.mark.rule("S-02")
def test_without_a_mail_server_it_is_refused_in_words(desk: Any, practice: Practice) -> None:
    factories.make_contact(practice.account)
    save(desk)
    campaign = campaigns()[0]
    practice.relay.is_on = False
    assert "no mail server that works" in page(desk, f"/campaigns/{campaign.id}")
    answer = desk.post(f"/campaigns/{campaign.id}/start")
    assert answer.status_code == 409
    assert "Nothing was sent" in answer.text
    assert campaigns()[0].state == "draft"


def test_what_was_started_cannot_be_edited(desk: Any, practice: Practice) -> None:
    factories.make_contact(practice.account)
    campaign = started(desk)
    assert desk.get(f"/campaigns/{campaign.id}/edit").status_code == 302
    answer = desk.post(f"/campaigns/{campaign.id}/edit", data=FORM | {"subject": "Other"})
    assert answer.status_code == 409
    assert "Copy it to write another" in answer.text
    assert desk.post(f"/campaigns/{campaign.id}/copy").status_code == 303
    copied = campaigns()[-1]
    assert (copied.name, copied.state) == ("Copy of Autumn news", "draft")
    assert "News for" in page(desk, f"/campaigns/{copied.id}/edit")


def test_the_preview_steps_through_the_recipients(desk: Any, practice: Practice) -> None:
    save(desk, html="<p>Hello <b>{first_name|there}</b>.</p>")
    campaign = campaigns()[0]
    assert "a made-up person stands in" in page(desk, f"/campaigns/{campaign.id}/preview")
    factories.make_contact(practice.account, "p@mail.example", "Priya Raman")
    factories.make_contact(practice.account, "j@mail.example", "<b>Jonah</b> Whitfield")
    first, second = (page(desk, f"/campaigns/{campaign.id}/preview?at={at}") for at in (1, 2))
    assert "News for Priya" in first
    assert "Priya Raman &lt;p@mail.example&gt;" in first
    assert "Unsubscribe: http" in first
    assert "Jonah" in second
    assert "<b>Jonah</b>" not in second
    answer = desk.get(f"/campaigns/{campaign.id}/preview/html?at=2")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox ")
    assert "<b>&lt;b&gt;Jonah&lt;/b&gt;</b>" in answer.text
    assert "Unsubscribe" in answer.text
    page(desk, f"/campaigns/{campaign.id}/preview?at=3", status=404)


def test_a_test_mail_goes_to_oneself_only(desk: Any, practice: Practice) -> None:
    factories.make_contact(practice.account)
    save(desk)
    campaign = campaigns()[0]
    assert desk.post(f"/campaigns/{campaign.id}/test").status_code == 303
    (mail,) = practice.sandbox.sink()
    assert (mail["rcpts"], mail["headers"]["subject"]) == (["tomas@lumen.example"], "Test: News for Priya")
    practice.sandbox.smtp_fault("refuse_recipient", times=1)
    answer = desk.post(f"/campaigns/{campaign.id}/test")
    assert answer.status_code == 409
    assert "No test mail was sent" in answer.text
    assert sorted(event.details["result"] for event in events_of(events.CAMPAIGN_TESTED)) == ["failed", "sent"]
    assert not deliveries()


def test_pause_resume_and_stop_for_good(desk: Any, practice: Practice) -> None:
    for _ in range(3):
        factories.make_contact(practice.account)
    campaign = started(desk)
    desk.post(f"/campaigns/{campaign.id}/pause")
    assert "Resume campaign" in page(desk, f"/campaigns/{campaign.id}")
    assert practice.run() == 0
    desk.post(f"/campaigns/{campaign.id}/resume")
    desk.post(f"/campaigns/{campaign.id}/pause")
    assert "3 mails have not left yet" in page(desk, f"/campaigns/{campaign.id}/stop")
    answer = desk.post(f"/campaigns/{campaign.id}/stop", data={"word": "yes"})
    assert answer.status_code == 400
    assert "Type STOP. Nothing was changed." in answer.text
    assert desk.post(f"/campaigns/{campaign.id}/stop", data={"word": "stop"}).status_code == 303
    assert campaigns()[0].state == "stopped"
    assert practice.states() == {"skipped": 3}
    desk.post(f"/campaigns/{campaign.id}/resume")
    assert practice.run() == 0
    assert practice.sandbox.sink_count() == 0
    text = page(desk, f"/campaigns/{campaign.id}")
    assert "Stopped for good" in text
    assert "The campaign was stopped before it left." in text


def test_uncertain_mail_waits_for_a_person(desk: Any, practice: Practice) -> None:
    factories.make_contact(practice.account, "p@mail.example")
    factories.make_contact(practice.account, "j@mail.example")
    campaign = started(desk)
    practice.sandbox.smtp_fault("drop_after_accept", times=1)
    practice.run()
    text = page(desk, f"/campaigns/{campaign.id}")
    assert "1 mail has perhaps been sent" in text
    assert "Send again to 1" in text
    assert practice.run() == 0
    desk.post(f"/campaigns/{campaign.id}/uncertain", data={"said": "again"})
    assert practice.run() == 1
    assert practice.recipients() == ["p@mail.example", "j@mail.example", "p@mail.example"]
    assert [event.details for event in events_of(events.DELIVERY_DECLARED)] == [{"said": "again", "count": 1}]
    assert campaigns()[0].state == "done"
    desk.post(f"/campaigns/{campaign.id}/uncertain", data={"said": "again"})  # pressed in an old page
    assert len(events_of(events.DELIVERY_DECLARED)) == 1


def test_uncertain_mail_can_count_as_sent(desk: Any, practice: Practice) -> None:
    campaign = practice.campaign(2)
    practice.sandbox.smtp_fault("drop_after_accept", times=1)
    practice.run()
    desk.post(f"/campaigns/{campaign.id}/uncertain", data={"said": "sent"})
    assert practice.states() == {"sent": 2}
    assert practice.sandbox.sink_count() == 2


def test_the_recipients_are_filtered_searched_and_exported(desk: Any, practice: Practice) -> None:
    factories.make_contact(practice.account, "p@mail.example", "=cmd() Raman")
    factories.make_contact(practice.account, "j@mail.example", "Jonah Whitfield")
    campaign = started(desk)
    practice.sandbox.smtp_fault("refuse_recipient", recipient="j@mail.example")
    practice.run()
    text = page(desk, f"/campaigns/{campaign.id}?show=failed")
    assert "Jonah Whitfield" in text
    assert "p@mail.example" not in text
    assert "Why mails were not sent" in text
    assert "Nobody found" in page(desk, f"/campaigns/{campaign.id}?q=nobody")
    assert "Jonah Whitfield" in page(desk, f"/campaigns/{campaign.id}?q=whit")
    answer = desk.get(f"/campaigns/{campaign.id}/recipients.csv")
    lines = answer.data.decode("utf-8-sig").splitlines()
    assert lines[1].startswith("'=cmd(),Raman,p@mail.example,Sent,")
    assert ",Not sent,," in lines[2]
    assert [event.details for event in events_of(events.RECIPIENTS_EXPORTED)] == [{"rows": 2}]


def test_the_list_searches_filters_sorts_and_pages(desk: Any, practice: Practice, monkeypatch: Any) -> None:
    from portal.campaigns import queries

    monkeypatch.setattr(queries, "PAGE", 2)
    for name, state in (("Spring", "done"), ("autumn", "draft"), ("Winter", "preparing")):
        factories.make_campaign(practice.account, practice.user, name=name, state=state)
    account_id = practice.account.id
    first = queries.campaign_page(account_id)
    assert [row.campaign.name for row in first.rows] == ["Winter", "autumn"]
    assert [row.campaign.name for row in queries.campaign_page(account_id, after=first.after).rows] == ["Spring"]
    assert [row.campaign.name for row in queries.campaign_page(account_id, sort="name").rows] == ["autumn", "Spring"]
    assert first.counts == {"all": 3, "draft": 1, "running": 1, "paused": 0, "done": 1, "stopped": 0}
    assert "Winter" in page(desk, "/campaigns?show=running")
    assert "Nothing found" in page(desk, "/campaigns?q=%25")


@pytest.mark.rule("A-01")
def test_who_may_only_look_sees_no_buttons(practice: Practice, client: Any) -> None:
    campaign = practice.campaign(1)
    client.sign_in(factories.make_member(practice.account, "compliance"))
    text = page(client, f"/campaigns/{campaign.id}")
    assert "Pause campaign" not in text
    assert "Write a campaign" not in page(client, "/campaigns")
    assert client.post(f"/campaigns/{campaign.id}/pause").status_code == 403


@pytest.mark.rule("G-07")
@pytest.mark.rule("G-14")
def test_nothing_of_a_campaign_becomes_a_conversation(desk: Any, practice: Practice) -> None:
    connection = factories.make_connection(practice.account, practice.user, "tomas@gmail.example")
    factories.make_contact(practice.account)
    started(desk, sender="own")
    practice.run()
    assert not db.session.scalars(select(Message)).all()
    assert caps.cap_of(connection).used == 0
