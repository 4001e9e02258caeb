"""Sweeps over every route of the application, made from its URL map, so that a new route is in them by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from portal.access.decorators import PUBLIC, SIGNED_IN, declared_access
from portal.access.permissions import ROLE_PERMISSIONS, Permission
from portal.database import db
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import (
    Acknowledgement,
    Attachment,
    ContactImport,
    Decision,
    Draft,
    IntakeMail,
    Message,
    Notice,
    OutboxMail,
    User,
)
from portal.models.account import Account
from portal.sealing import seal_text
from tests import factories

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SIGNED_BY_THEMSELVES = {  # no form token: each notice bears a signature, each unsubscribe link an unguessable token
    "google_webhooks.receive_notice", "microsoft_webhooks.receive_notice", "microsoft_webhooks.receive_lifecycle",
    "unsubscribe.unsubscribe", "unsubscribe.subscribe_again",
}  # fmt: skip
CLOSED = {"provider": "google"}  # words of a closed list in an address: no ids, and one stands for all
VARIABLE = re.compile(r"^[0-9a-f]{16}$")


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every route with every method, static files aside."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method


def address(app: Flask, rule: Rule, values: dict[str, Any]) -> str:
    words = {name: word for name, word in CLOSED.items() if name in rule.arguments}
    with app.test_request_context():
        return str(app.url_map.bind("localhost").build(rule.endpoint, values | words, method=next(iter(rule.methods or ()))))


@pytest.mark.requirement("TEN-2")
def test_every_route_declares_who_may_use_it(sqlite_app: Flask) -> None:
    undeclared = [rule.rule for rule, _ in routes(sqlite_app) if declared_access(rule.endpoint) is None]
    assert undeclared == []
    untyped = [rule.rule for rule, _ in routes(sqlite_app) for name in rule.arguments
               if type(rule._converters[name]).__name__ not in ("UUIDConverter", "IntegerConverter", "AnyConverter")
               and (name, declared_access(rule.endpoint)) != ("token", PUBLIC)]  # fmt: skip
    assert untyped == []


@pytest.mark.requirement("TEN-2")
def test_a_route_that_declares_nothing_answers_nobody(sqlite_app: Flask) -> None:
    """The planted failure: deny by default."""
    app = sqlite_app
    account = factories.make_account()
    owner = factories.make_member(account, "owner")
    client: Any = app.test_client().sign_in(owner)
    endpoint = "profile.show_profile"
    view = app.view_functions[endpoint]
    app.view_functions[endpoint] = lambda: "reached"
    try:
        assert client.get("/profile").status_code == 404
    finally:
        app.view_functions[endpoint] = view


OBJECTS: dict[str, Callable[[Account, User], UUID]] = {}


def an_object(name: str) -> Callable[[Callable[[Account, User], UUID]], None]:
    """Tells the sweep how to make what a route's `<name>` stands for."""

    def register(make: Callable[[Account, User], UUID]) -> None:
        OBJECTS[name] = make

    return register


@an_object("contact_id")
def _a_contact(account: Account, _user: User) -> UUID:
    return factories.make_contact(account).id


@an_object("conversation_id")
def _a_conversation(account: Account, user: User) -> UUID:
    return factories.make_conversation(factories.make_contact(account), user).id


def _message(account: Account, user: User) -> Message:
    conversation = factories.make_conversation(factories.make_contact(account), user)
    return factories.make_message(conversation, html="<p>hello</p>")


@an_object("message_id")
def _a_message(account: Account, user: User) -> UUID:
    return _message(account, user).id


@an_object("attachment_id")
def _an_attachment(account: Account, user: User) -> UUID:
    message = _message(account, user)
    row = Attachment(
        id=new_id(), account_id=account.id, message_id=message.id, conversation_id=message.conversation_id,
        content_type="image/png", state="stored", store_key="0" * 32, name=b"",
    )  # fmt: skip
    row.name = seal_text("photo.png", "attachment.name", account.id, row.id)
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("outbox_id")
def _an_outbox_mail(account: Account, user: User) -> UUID:
    message = _message(account, user)
    row = OutboxMail(
        id=new_id(), account_id=account.id, user_id=user.id, message_id=message.id, form_token=uuid4().hex,
        crm_ref=uuid4(), state="failed", next_try_at=message.sent_at,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("connection_id")
def _a_connection(account: Account, user: User) -> UUID:
    return factories.make_connection(account, factories.make_member(account)).id


@an_object("intake_id")
def _a_routed_mail(account: Account, user: User) -> UUID:
    row = IntakeMail(
        account_id=account.id, user_id=factories.make_member(account).id, kind="reply", token="t", digest=new_id().hex,
        state="unreadable", outcome="unreadable", reason="unreadable_mail", next_try_at=now(),
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("tracked_id")
def _a_tracked_contact(account: Account, user: User) -> UUID:
    return factories.make_tracked(factories.make_contact(account), user).id


@an_object("own_address_id")
def _an_own_address(account: Account, user: User) -> UUID:
    return factories.make_own_address(account, user, f"{new_id()}@home.example").id


@an_object("decision_id")
def _a_decision(account: Account, user: User) -> UUID:
    connection = factories.make_connection(account, factories.make_member(account))
    row = Decision(
        account_id=account.id, connection_id=connection.id, provider_message_id="m", direction="inbound",
        outcome="unreadable", reason="unreadable_mail", received_at=connection.connected_at,
        decided_at=connection.connected_at,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("draft_id")
def _a_draft(account: Account, user: User) -> UUID:
    row = Draft(
        id=new_id(), account_id=account.id, user_id=user.id, purpose=f"new:{factories.make_contact(account).id}",
        content=b"", updated_at=now(),
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("import_id")
def _an_import(account: Account, user: User) -> UUID:
    row = ContactImport(account_id=account.id, user_id=user.id, file_name="people.csv")
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("record_id")
def _an_acknowledgement(account: Account, user: User) -> UUID:
    row = Acknowledgement(
        account_id=account.id, user_id=user.id, provider="google", text_version=1, text_sha256="0" * 64, items=["a"],
        typed_name="X", ip="", browser="",
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("automation_id")
def _an_automation(account: Account, user: User) -> UUID:
    return factories.make_automation(account, user).id


@an_object("notice_id")
def _a_notice(account: Account, user: User) -> UUID:
    row = Notice(account_id=account.id, user_id=user.id, kind="test", text="Something stands.")
    db.session.add(row)
    db.session.flush()
    return row.id


@an_object("campaign_id")
def _a_campaign(account: Account, user: User) -> UUID:
    return factories.make_campaign(account, user).id


@an_object("account_id")
def _an_account(account: Account, _user: User) -> UUID:
    return account.id


def _shape(answer: TestResponse) -> str:
    """A page without what differs between any two answers: nonces, request ids, form tokens."""
    page = re.sub(r'nonce="[^"]*"|value="[^"]*"', "", answer.get_data(as_text=True))
    return re.sub(re.escape(answer.headers["X-Request-Id"]), "", page)


@pytest.mark.rule("A-01")
@pytest.mark.requirement("TEN-1")
def test_another_accounts_object_looks_like_one_that_does_not_exist(app: Flask) -> None:
    """Every route with an id, asked with the id of another practice: 404, the same page as for a random id."""
    ours, theirs = factories.make_account(), factories.make_account()
    owner, stranger = factories.make_member(ours, "owner"), factories.make_member(theirs, "owner")
    client: Any = app.test_client().sign_in(owner)
    swept = 0
    for rule, method in list(routes(app)):
        named = rule.arguments - set(CLOSED)
        if not named or declared_access(rule.endpoint) == PUBLIC:
            continue  # what anybody may ask is opened by its token, whoever asks
        assert named <= set(OBJECTS), f"tell the sweep what {named} of {rule.rule} are"
        values = {name: OBJECTS[name](theirs, stranger) for name in named}
        foreign = client.open(address(app, rule, values), method=method)
        missing = client.open(address(app, rule, dict.fromkeys(values, factories.unknown_id())), method=method)
        assert foreign.status_code == 404, f"{method} {rule.rule} answers {foreign.status_code}"
        assert _shape(foreign) == _shape(missing), rule.rule
        swept += 1
    assert swept > 10


@pytest.mark.requirement("WEB-1")
def test_every_change_needs_a_form_token_of_its_own_session(app: Flask) -> None:
    account = factories.make_account()
    owner = factories.make_member(account, "owner")
    client: Any = app.test_client().sign_in(owner)
    other: Any = app.test_client().sign_in(factories.make_member(account, "owner"))
    for rule, method in list(routes(app)):
        if method not in UNSAFE or rule.endpoint in SIGNED_BY_THEMSELVES:
            continue
        place = address(app, rule, {name: OBJECTS[name](account, owner) for name in rule.arguments - set(CLOSED)})
        assert client.open(place, method=method, csrf=False).status_code == 400, f"{method} {rule.rule} without a token"
        foreign = client.open(place, method=method, csrf=False, headers={"X-CSRFToken": other.form_token()})
        assert foreign.status_code == 400, f"{method} {rule.rule} with another session's token"


def test_a_stranger_gets_the_sign_in_page_and_nothing_else(sqlite_app: Flask) -> None:
    client: Any = sqlite_app.test_client()
    for rule, method in list(routes(sqlite_app)):
        if declared_access(rule.endpoint) == PUBLIC:
            continue
        answer = client.open(address(sqlite_app, rule, dict.fromkeys(rule.arguments, uuid4())), method=method)
        assert answer.status_code == 302, f"{method} {rule.rule} answers {answer.status_code}"
        assert answer.headers["Location"].startswith("/sign-in"), rule.rule


@pytest.mark.rule("A-01")
@pytest.mark.parametrize("role", [*ROLE_PERMISSIONS, "unheard-of"])
def test_what_a_role_may_not_do_is_refused_on_every_route(sqlite_app: Flask, role: str) -> None:
    """404 where even seeing is not theirs, 403 where only doing is not; the role's own routes never answer so."""
    account = factories.make_account()
    person = factories.make_member(account, role)
    client: Any = sqlite_app.test_client().sign_in(person)
    for rule, method in list(routes(sqlite_app)):
        declared = declared_access(rule.endpoint)
        if declared in (PUBLIC, SIGNED_IN) or not isinstance(declared, Permission):
            continue
        answer = client.open(address(sqlite_app, rule, dict.fromkeys(rule.arguments, uuid4())), method=method)
        if declared in ROLE_PERMISSIONS.get(role, ()):
            assert answer.status_code != 403 or rule.arguments, f"{role}: {method} {rule.rule}"
        else:
            assert answer.status_code == (404 if declared.hides else 403), f"{role}: {method} {rule.rule}"


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def test_every_answer_bears_the_headers(sqlite_app: Flask) -> None:
    account = factories.make_account()
    client: Any = sqlite_app.test_client().sign_in(factories.make_member(account, "owner"))
    for rule, method in [*routes(sqlite_app), (Rule("/no-such-page", endpoint="none", methods=["GET"]), "GET")]:
        known = rule.endpoint in sqlite_app.view_functions
        place = address(sqlite_app, rule, dict.fromkeys(rule.arguments, uuid4())) if known else rule.rule
        answer = client.open(place, method=method)
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, f"{method} {rule.rule}: {name}"
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy, rule.rule
        assert "default-src 'none'" in policy, rule.rule
        assert answer.headers["X-Frame-Options"] == "DENY", rule.rule
        assert VARIABLE.match(answer.headers["X-Request-Id"]), rule.rule
