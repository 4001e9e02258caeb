"""Contacts: the list, one record, the form."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import may, requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.bcc.queries import trackers_of
from portal.campaigns.unsubscribing import unsubscribed_since
from portal.contacts import queries, service
from portal.contacts.concerns import ContactRefused
from portal.contacts.forms import ContactForm
from portal.conversations.queries import conversation_page
from portal.models import Contact
from portal.rules.sending import is_reachable

blueprint = Blueprint("contacts", __name__)


@blueprint.get("/contacts")
@requires(Permission.READ_CONTACTS)
def list_contacts() -> ResponseReturnValue:
    """The contacts of the location, by name or newest first, searched and filtered."""
    search = request.args.get("q", "")[: queries.MAX_SEARCH]
    show, sort = request.args.get("show", "all"), request.args.get("sort", "name")
    show, sort = show if show in queries.FILTERS else "all", sort if sort in queries.SORTS else "name"
    after = request.args.get("after", type=UUID)
    page = queries.contact_page(g.membership.account_id, search=search, show=show, sort=sort, after=after)
    record(events.CONTACTS_LISTED, shown=len(page.rows))
    return render_template(
        "contacts/list.html", page=page, search=search, show=show, sort=sort, after=after,
        filters=queries.FILTERS, sorts=queries.SORTS,
    )  # fmt: skip


@blueprint.get("/contacts/<uuid:contact_id>")
@requires(Permission.READ_CONTACTS)
def show_contact(contact_id: UUID) -> ResponseReturnValue:
    """One contact's record. Reading it is an audit event."""
    contact = find(Contact, contact_id)
    record(events.CONTACT_READ, contact)
    return render_template("contacts/contact.html", tab="overview", trackers=trackers_of(contact), **_head(contact))


@blueprint.get("/contacts/<uuid:contact_id>/conversations")
@requires(Permission.READ_CONVERSATIONS)
def list_contact_conversations(contact_id: UUID) -> ResponseReturnValue:
    """What was said with the contact, and where it was copied (G-11)."""
    contact = find(Contact, contact_id)
    before = request.args.get("before", type=UUID)
    page = conversation_page(contact.account_id, g.user_session.user_id, contact_id=contact.id, before=before)
    record(events.CONTACT_READ, contact)
    record(events.CONVERSATIONS_LISTED, contact, shown=len(page.rows))
    return render_template(
        "contacts/conversations.html", tab="conversations", page=page, mentions=queries.mentions_of(contact),
        before=before, **_head(contact),
    )  # fmt: skip


def _head(contact: Contact) -> dict[str, object]:
    """What every tab of a record shows. The figure of the conversations is for those who may read them."""
    facts = queries.contact_record(contact)
    return {
        "contact": contact,
        "record": facts,
        "conversation_count": queries.conversation_count(contact) if may(Permission.READ_CONVERSATIONS) else None,
        "may_read_notes": may(Permission.READ_CONVERSATIONS),  # written by those who treat
        "is_reachable": is_reachable(contact.email_key),
        "no_campaigns_since": unsubscribed_since(contact.account_id, contact.email_key) if contact.email_key else None,
    }


@blueprint.get("/contacts/new")
@requires(Permission.WRITE_CONTACTS)
def new_contact() -> ResponseReturnValue:
    """The empty form; `?email=` and `?first_name=` fill it in for a link from a mail."""
    return _form_page(ContactForm(formdata=None, data=request.args.to_dict()), None)


@blueprint.post("/contacts/new")
@requires(Permission.WRITE_CONTACTS)
def create_contact() -> ResponseReturnValue:
    """Save a new contact."""
    form = ContactForm()
    try:
        contact = service.create_contact(
            g.membership.account_id, form.details, by=g.user_session.user_id, token=form.token.data,
            accepted=form.accepted.data or (),
        )  # fmt: skip
    except ContactRefused as refused:
        return _form_page(form, None, refused)
    flash(f"{contact.name} was saved.", "ok")
    return redirect(url_for("contacts.show_contact", contact_id=contact.id))


@blueprint.get("/contacts/<uuid:contact_id>/edit")
@requires(Permission.WRITE_CONTACTS)
def edit_contact(contact_id: UUID) -> ResponseReturnValue:
    """The form of an existing contact."""
    contact = find(Contact, contact_id)
    return _form_page(ContactForm.of(contact), contact)


@blueprint.post("/contacts/<uuid:contact_id>/edit")
@requires(Permission.WRITE_CONTACTS)
def update_contact(contact_id: UUID) -> ResponseReturnValue:
    """Save changes of a contact."""
    form = ContactForm()
    try:
        contact = service.update_contact(
            contact_id, form.details, seen=form.seen.data or "", keep_old=bool(form.keep_old.data),
            accepted=form.accepted.data or (),
        )  # fmt: skip
    except ContactRefused as refused:
        return _form_page(form, find(Contact, contact_id), refused)
    flash(f"{contact.name} was saved.", "ok")
    return redirect(url_for("contacts.show_contact", contact_id=contact.id))


def _form_page(form: ContactForm, contact: Contact | None, refused: ContactRefused | None = None) -> ResponseReturnValue:
    concerns = refused.concerns if refused else []
    if refused is not None:
        form.show_refusal(refused)
    page = render_template("contacts/form.html", form=form, contact=contact, concerns=concerns)
    return page, 409 if concerns else 400 if refused else 200
