"""My Profile > Email > BCC Sync: whom one tracks, and mails that wait for one's word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.bcc import queries, service
from portal.contacts.queries import MAX_SEARCH, contact_page
from portal.conversations.store import StoreUnavailable
from portal.errors import NotFound
from portal.intake import bcc as intake
from portal.models import IntakeMail, TrackedContact
from portal.rules.reasons import Outcome, Reason

blueprint = Blueprint("bcc", __name__)
FOUND = 10
NOT_STORED = "The files of the mail could not be stored just now, so it was not filed. It waits as before. Try again later."


@blueprint.get("/profile/email/bcc/tracked")
@requires(Permission.WRITE_MAIL)
def list_tracked() -> ResponseReturnValue:
    """Whom one tracks, and whom one stopped tracking (B-03)."""
    own = (g.membership.account_id, g.user_session.user_id)
    is_on = request.args.get("show") != "stopped"
    page = queries.tracked_contacts(*own, is_on=is_on, before=request.args.get("before", type=UUID))
    record(events.CONTACTS_LISTED, account_id=own[0], shown=len(page.rows))
    return render_template(
        "bcc/tracked.html", page=page, is_on=is_on,
        counts={state: queries.tracked_count(*own, is_on=state) for state in (True, False)},
    )  # fmt: skip


@blueprint.post("/profile/email/bcc/tracked/<uuid:tracked_id>/stop")
@requires(Permission.WRITE_MAIL)
def stop_tracking(tracked_id: UUID) -> ResponseReturnValue:
    """Track a contact no longer; what is logged stays."""
    row = find(TrackedContact, tracked_id, own=True, lock=True)
    name = row.contact.name
    if service.stop_tracking(row):
        flash(f"{name} is no longer tracked. What was logged stays. A mail with your BCC address begins it again.", "ok")
    else:
        flash(f"{name} was not tracked any more. Nothing was changed.", "warn")
    return redirect(url_for("bcc.list_tracked"), 303)


@blueprint.get("/profile/email/bcc/waiting")
@requires(Permission.WRITE_MAIL)
def list_waiting() -> ResponseReturnValue:
    """Mails that wait for their owner, who alone sees them (B-05, B-06)."""
    own = (g.membership.account_id, g.user_session.user_id)
    mails = intake.waiting_mails(*own, limit=intake.PAGE + 1, before=request.args.get("before", type=UUID))
    shown = mails[: intake.PAGE]
    record(events.BCC_LISTED, account_id=own[0], shown=len(shown))
    return render_template("bcc/waiting.html", mails=shown, before=shown[-1].id if len(mails) > len(shown) else None)


@blueprint.post("/profile/email/bcc/waiting/<uuid:intake_id>/file")
@requires(Permission.WRITE_MAIL)
def file_mail(intake_id: UUID) -> ResponseReturnValue:
    """An unverified mail is one's own: file it on one's word (B-05)."""
    row = _own_mail(intake_id)
    with _storing():
        intake.file_on_word(row)
    return _after(row)


@blueprint.get("/profile/email/bcc/waiting/<uuid:intake_id>/contact")
@requires(Permission.WRITE_MAIL)
def choose_contact(intake_id: UUID) -> ResponseReturnValue:
    """Look for the contact that an unmatched mail belongs to (B-06)."""
    row = find(IntakeMail, intake_id, own=True)
    mail = intake.waiting_mail(row)
    record(events.BCC_LISTED, account_id=row.account_id, shown=1)
    search = request.args.get("q", "")[:MAX_SEARCH]
    found = contact_page(row.account_id, search=search).rows[:FOUND] if search.strip() else []
    record(events.CONTACTS_LISTED, account_id=row.account_id, shown=len(found))
    return render_template("bcc/choose_contact.html", mail=mail, search=search, found=found)


@blueprint.post("/profile/email/bcc/waiting/<uuid:intake_id>/contact")
@requires(Permission.WRITE_MAIL)
def file_under_contact(intake_id: UUID) -> ResponseReturnValue:
    """File an unmatched mail under a contact that exists."""
    row, contact_id = _own_mail(intake_id), request.form.get("contact_id", type=UUID)
    if contact_id is None:
        raise NotFound()
    with _storing():
        intake.file_under(row, contact_id)
    return _after(row)


@blueprint.post("/profile/email/bcc/waiting/<uuid:intake_id>/create")
@requires(Permission.WRITE_MAIL)
def create_contact(intake_id: UUID) -> ResponseReturnValue:
    """Create the contact that an unmatched mail went to, and file it (B-06)."""
    row = _own_mail(intake_id)
    with _storing():
        intake.create_and_file(row, request.form.get("address", ""))
    return _after(row)


@blueprint.post("/profile/email/bcc/waiting/<uuid:intake_id>/drop")
@requires(Permission.WRITE_MAIL)
def drop_mail(intake_id: UUID) -> ResponseReturnValue:
    """Leave a waiting mail out for good."""
    intake.drop(_own_mail(intake_id))
    flash("Left out. Nothing of it is kept here but the fact; your mailbox still has it.", "ok")
    return redirect(url_for("bcc.list_waiting"), 303)


def _own_mail(intake_id: UUID) -> IntakeMail:
    """One's own mail, locked until the decision stands."""
    return find(IntakeMail, intake_id, own=True, lock=True)


@contextmanager
def _storing() -> Iterator[None]:
    """While a mail is filed: a store that is away is said in words."""
    try:
        yield
    except StoreUnavailable as error:
        raise intake.CannotFile(NOT_STORED, cause="store") from error


def _after(row: IntakeMail) -> ResponseReturnValue:
    """Back to the list, saying what became of the mail."""
    if row.state in queries.WAITING_STATES:
        flash("It is yours now. It still waits, because nobody in To is a contact.", "info")
    elif row.outcome == Outcome.LOGGED:
        flash("Filed. It stands in its conversation now.", "ok")
    else:
        flash(f"It was not filed. {Reason(row.reason).sentence}", "warn")
    return redirect(url_for("bcc.list_waiting"), 303)
