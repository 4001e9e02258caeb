"""Make the demo practice: rows for people and contacts; everything else through the portal's own pages and jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
from flask import Flask, current_app
from sqlalchemy import select

from portal.admin import relay_service
from portal.admin.relay_service import Wanted
from portal.auth.passwords import hash_password
from portal.conversations.queries import contacts_by_key
from portal.database import db, transaction
from portal.demo import mails
from portal.demo.people import (
    CONNECTED,
    MAILBOX_PASSWORD,
    PASSWORD,
    PATIENTS,
    PEOPLE,
    PLACES,
    PRIYA,
    RELAY_FROM,
    Patient,
    Person,
)
from portal.demo.walk import Form, consent, find_form
from portal.models import (
    Account,
    Connection,
    Contact,
    ContactAddress,
    Conversation,
    MailRelay,
    Membership,
    OutboxMail,
    User,
)
from portal.rules.addresses import match_key
from portal.sending import outbox
from portal.sync.service import sync_mailbox


class Outside:
    """The control plane of the stand-in, reached where Gmail is reached."""

    def __init__(self, base: str) -> None:
        self._client = httpx2.Client(base_url=f"{base}/__ctl", timeout=30, trust_env=False)

    def add_mailbox(self, address: str, name: str, provider: str = "google") -> None:
        """Somebody with a mailbox; addresses of gmail.com are consumers'."""
        kind = "consumer" if address.endswith("@gmail.com") else "workspace"
        body = {"address": address, "name": name, "password": MAILBOX_PASSWORD, "kind": kind, "provider": provider}
        self._client.post("/mailboxes", json=body).raise_for_status()

    def deliver(self, raw: bytes, to: str) -> None:
        """Let a mail arrive."""
        answer = self._client.post("/mail", params={"to": to}, content=raw, headers={"Content-Type": "message/rfc822"})
        answer.raise_for_status()

    def await_message(self, address: str) -> str:
        """The wire id of the newest mail in a mailbox; waits for one, since a worker may be sending it."""
        for _try in range(100):
            answer = self._client.get(f"/mailboxes/{address}/messages").raise_for_status()
            if found := answer.json()["messages"]:
                return str(found[-1]["headers"]["message_id"])
            time.sleep(0.2)
        raise RuntimeError("the mail from the CRM did not arrive")


class Visitor:
    """A browser without a screen. Each request has its own application context, as one that comes over the wire."""

    def __init__(self, app: Flask) -> None:
        self._app, self._client = app, app.test_client()

    def get(self, path: str) -> str:
        """Open a page."""
        with self._app.app_context():
            return self._client.get(path).get_data(as_text=True)

    def press(self, form: Form, typed: Mapping[str, str], *, button: str = "") -> str:
        """Fill in a form, tick every box, press its button; returns the address that the answer leads to.

        Raises RuntimeError with the answer's status where the portal refuses it.
        """
        with self._app.app_context():
            answer = self._client.post(form.action, data=form.filled(typed, press=button))
        if not 300 <= answer.status_code < 400:
            raise RuntimeError(f"{form.action} answered {answer.status_code}")
        return answer.headers["Location"]


def seed() -> bool:
    """Make what of the demo practice is not there yet; tells whether anything was. Needs the stand-in running."""
    with transaction():
        if db.session.scalar(select(Account.id).where(Account.slug == PLACES[0].slug)) is None:
            _make_people()
    has_new_relays = _set_up_relays()
    return _make_mail() or has_new_relays


def _set_up_relays() -> bool:
    """Give each place without a mail server the demo's, if there is one. Raises RuntimeError when it does not answer."""
    host, _, port = current_app.extensions["settings"].demo_relay.rpartition(":")
    slugs = [place.slug for place in PLACES] if host else []
    with transaction():
        lacking = select(Account).where(Account.slug.in_(slugs), Account.id.not_in(select(MailRelay.account_id)))
        places = db.session.scalars(lacking).all()
        for place in places:
            relay_service.save(place, Wanted(host, int(port), "none", "", "", RELAY_FROM, f"{place.name} {place.location}"))
        ids = [place.id for place in places]
    for account_id in ids:
        if not relay_service.try_out(account_id):
            raise RuntimeError("the demo's mail server did not pass its test")
    return bool(ids)


def _make_mail() -> bool:
    """Mailboxes, a connection and the first mails; whether they were not there yet."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    outside = Outside(app.extensions["settings"].gmail_api_base)
    with transaction():
        if db.session.scalar(select(Connection.id).limit(1)) is not None:
            return False
    _make_mailboxes(outside)
    for raw in mails.before_connection():
        outside.deliver(raw, CONNECTED.mailbox)
    connect(app, CONNECTED)
    for raw in mails.after_connection():
        outside.deliver(raw, CONNECTED.mailbox)
    _sync(CONNECTED)
    _exchange(app, outside)
    return True


def _make_mailboxes(outside: Outside) -> None:
    staff = [(person.mailbox, person.name, person.provider) for person in PEOPLE if person.mailbox]
    patients = [(patient.email, patient.name, "google") for patient in PATIENTS if patient.has_mailbox]
    for address, name, provider in [*staff, *patients]:
        outside.add_mailbox(address, name, provider)


def _make_people() -> None:
    places = {place.slug: Account(slug=place.slug, name=place.name, location=place.location, time_zone=place.time_zone)
              for place in PLACES}  # fmt: skip
    db.session.add_all(places.values())
    db.session.flush()
    for person in PEOPLE:
        user = User(email=person.email, email_key=match_key(person.email), name=person.name,
                    password_hash=hash_password(PASSWORD))  # fmt: skip
        db.session.add(user)
        db.session.flush()
        for slug in person.places:
            db.session.add(Membership(account_id=places[slug].id, user_id=user.id, role=person.role))
            db.session.flush()  # one by one, so that the first is where they begin
    db.session.add_all(_contacts(places))


def _contacts(places: dict[str, Account]) -> Iterable[Contact]:
    for patient in PATIENTS:
        first, _, last = patient.name.partition(" ")
        account_id = places[patient.place].id
        yield Contact(
            account_id=account_id,
            first_name=first,
            last_name=last,
            name_key=f"{last} {first}".casefold(),
            email=patient.email,
            email_key=match_key(patient.email),
            phone=patient.phone,
            source="demo",
            alternates=[
                ContactAddress(account_id=account_id, email=email, email_key=match_key(email))
                for email in patient.alternates
            ],
        )


def connect(app: Flask, person: Person) -> None:
    """Sign in, read and tick the six risks, go through the provider's consent, come back: as the person does."""
    browser = sign_in(app, person)
    form = find_form(browser.get("/connections/google/risks"), "/connections/google/risks")
    leads_to = browser.press(form, {"typed_name": person.name})
    back = urlsplit(consent(leads_to, person.mailbox, MAILBOX_PASSWORD))
    browser.get(f"{back.path}?{back.query}")


def sign_in(app: Flask, person: Person) -> Visitor:
    """A browser in which the person has signed in."""
    browser = Visitor(app)
    form = find_form(browser.get("/sign-in"), "/sign-in", page="/sign-in")
    browser.press(form, {"email": person.email, "password": PASSWORD})
    return browser


def _sync(person: Person) -> None:
    with transaction():
        query = select(Connection.id).where(Connection.mailbox_key == match_key(person.mailbox))
        connection_id = db.session.scalars(query).one()
    sync_mailbox(connection_id)


def _conversation_with(patient: Patient) -> UUID:
    """The conversation that the patient's mail began. Waits for it, since a worker may be at the mailbox already."""
    for _try in range(100):
        with transaction():
            account = db.session.scalars(select(Account).where(Account.slug == patient.place)).one()
            contact = contacts_by_key(account.id, [match_key(patient.email)])[match_key(patient.email)]
            query = select(Conversation.id).where(Conversation.contact_id == contact.id)
            if (found := db.session.scalar(query)) is not None:
                return found
        time.sleep(0.2)
        _sync(CONNECTED)
    raise RuntimeError("the patient's mail did not arrive")


def _exchange(app: Flask, outside: Outside) -> None:
    """The connected person answers the first patient from the CRM, and the patient answers back."""
    conversation_id = _conversation_with(PRIYA)
    browser = sign_in(app, CONNECTED)
    form = find_form(browser.get(f"/conversations/{conversation_id}"), f"/conversations/{conversation_id}/reply")
    text = (
        "Hi Priya,\n\nfirmness on one side on day 2 is common. Keep using the cold pack, ten minutes at a time, and sleep "
        "with your head raised.\n\nTomas"
    )
    browser.press(form, {"text": text}, button="send")
    with transaction():
        prepared = db.session.scalars(select(OutboxMail.id).where(OutboxMail.state == "prepared")).all()
    for outbox_id in prepared:
        outbox.deliver(outbox_id)
    answers = outside.await_message(PRIYA.email)
    subject = "Re: Swelling after lip filler, day 2"
    thanks = "Thank you, Tomas. It feels softer than yesterday.\nIs it fine to fly on Friday?\n\nPriya"
    outside.deliver(mails.write(PRIYA, [CONNECTED.mailbox], subject, thanks, answers=answers), CONNECTED.mailbox)
    _sync(CONNECTED)
