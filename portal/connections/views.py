"""Connecting a mailbox: the risks, the way to the provider and back, the end; and what compliance and admins see of it."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, current_app, flash, g, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import may, public, requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.connections import acknowledgements, attempts, consenting, queries, records, service
from portal.connections.acknowledgements import NotSigned
from portal.connections.figures import figures_of
from portal.connections.forms import DISCONNECT_WORD, RENEW, BeginForm, DisconnectForm, SignForm, StepForm
from portal.connections.refusals import record_refusal
from portal.errors import Conflict, DomainError, NotFound
from portal.formatting import full
from portal.models import Acknowledgement, Connection
from portal.rules.connecting import PROVIDERS, ConsumerPolicy, Purpose, may_role_connect
from portal.rules.reasons import Cause
from portal.sending.relays import relay_of

ANSWER = ("state", "code", "error", "error_description", "iss")  # consenting.Answer, in its order
blueprint = Blueprint("connections", __name__)
PROVIDER = f"/connections/<any({','.join(PROVIDERS)}):provider>"  # any other is no page


@blueprint.get(f"{PROVIDER}/risks")
@requires(Permission.CONNECT_OWN)
def show_acknowledgement(provider: str) -> ResponseReturnValue:
    """The six risks with the practice's own figures; that they were shown is recorded."""
    return risks_page(provider, SignForm(formdata=None), purpose=request.args.get("purpose", ""))


@blueprint.post(f"{PROVIDER}/risks")
@requires(Permission.CONNECT_OWN)
def sign_acknowledgement(provider: str) -> ResponseReturnValue:
    """Sign; then on to the provider, or back to My Profile where a connected person has read a new text."""
    form = SignForm()
    account_id, user = g.membership.account_id, g.user_session.user
    if not form.validate():
        return risks_page(provider, form, problem=" ".join(text for texts in form.errors.values() for text in texts)), 400
    acknowledgements.require_shown(form.shown.data or "", provider)
    if form.purpose.data != RENEW:
        attempts.require_open(user.id, account_id, provider, Purpose(form.purpose.data))
    ticked, typed_name = form.risk.data or [], form.typed_name.data or ""
    try:
        acknowledgements.sign(user, account_id, provider, ticked=ticked, typed_name=typed_name)
    except NotSigned as missing:
        return risks_page(provider, form, problem=missing.message, purpose=form.purpose.data), missing.status
    if form.purpose.data == RENEW:
        flash("Signed. Your mailbox stays connected, and sync goes on.", "ok")
        return redirect(url_for("profile.show_email"), 303)
    return redirect(attempts.begin(provider, Purpose(form.purpose.data)), 303)


def risks_page(provider: str, form: SignForm, *, purpose: str = "", problem: str = "") -> str:
    """The page of the risks, with what was ticked and typed before."""
    membership, user = g.membership, g.user_session.user
    connection = queries.live_connection(membership.account_id, user.id)
    signature = acknowledgements.newest_signature(user.id, membership.account_id, provider)
    text = acknowledgements.show_text(provider)
    if connection is None:
        purpose = Purpose.CONNECT.value
    elif connection.provider != provider:
        purpose = Purpose.UPDATE.value
    elif purpose not in (Purpose.UPDATE, Purpose.RECONNECT):
        purpose = RENEW
    return render_template(
        "connections/risks.html",
        form=form, problem=problem, purpose=purpose, text=text, fill=acknowledgements.fill, connection=connection,
        figures=figures_of(membership.account, user.id, provider), user=user, signature=signature,
        is_signed=signature is not None and signature.text_version >= text.version,
        may_connect=may_role_connect(membership.role, membership.account.connect_roles),
        consumer_policy=membership.account.consumer_mailboxes,
        provider=provider, app_name=app_name(provider),
        has_mail_server=relay_of(membership.account_id) is not None,
    )  # fmt: skip


@blueprint.post(f"{PROVIDER}/risks/decline")
@requires(Permission.CONNECT_OWN)
def decline_acknowledgement(provider: str) -> ResponseReturnValue:
    """Keep standard email: as easy as the other way, and recorded as well."""
    acknowledgements.decline(provider)
    flash("Nothing was connected, and nothing of your mailbox is read.", "ok")
    return redirect(url_for("profile.show_email"), 303)


@blueprint.post(f"{PROVIDER}/begin")
@requires(Permission.CONNECT_OWN)
def begin_connection(provider: str) -> ResponseReturnValue:
    """Off to the provider's consent page, for oneself."""
    form = BeginForm()
    if not form.validate():
        raise Conflict("The page did not say what to do there. Nothing was changed.", cause="purpose")
    return redirect(attempts.begin(provider, Purpose(form.purpose.data)), 303)


@blueprint.get(f"{PROVIDER}/callback")
@public
def finish_connection(provider: str) -> ResponseReturnValue:
    """Back from the provider. Open to strangers: their answer is refused here, and not carried through the sign-in page."""
    answer = consenting.Answer(*(request.args.getlist(name) for name in ANSWER))
    try:
        connection = find(Connection, consenting.finish(provider, answer), own=True)
    except DomainError as error:
        record_refusal(error, provider)
        return render_template("connections/refused.html", error=error, provider=provider), error.status
    since = full(connection.connected_at)
    flash(f"Connected as {connection.mailbox}. Mail since {since} is looked at; nothing older comes in.", "ok")
    if connection.is_consumer and connection.account.consumer_mailboxes == ConsumerPolicy.WARNED:
        flash("This is a personal mailbox: no BAA covers it. Keep health information out of it.", "warn")
    return redirect(url_for("profile.show_email"), 303)


@blueprint.get("/connections/update")
@requires(Permission.CONNECT_OWN)
def confirm_update() -> ResponseReturnValue:
    """What another mailbox in place of this one changes, and whose it can be (G-16, O-04, P-05)."""
    connection = queries.live_connection(g.membership.account_id, g.user_session.user_id)
    if connection is None:
        return redirect(url_for("profile.show_email"))
    person = connection.user_id, connection.account_id
    ways = [(name, acknowledgements.standing(*person, name), app_name(name)) for name in PROVIDERS]
    ways.sort(key=lambda way: way[0] != connection.provider)
    return render_template("connections/update.html", connection=connection, ways=ways)


def app_name(provider: str) -> str:
    """What the provider's consent page calls this portal."""
    settings = current_app.extensions["settings"]
    names = {"google": settings.google_app_name, "microsoft": settings.ms_app_name}
    return str(names[provider])


@blueprint.get("/connections/<uuid:connection_id>/disconnect")
@requires(Permission.OWN_PROFILE)
def confirm_disconnect(connection_id: UUID) -> ResponseReturnValue:
    """Before: what stays. After: what stayed, and how to remove the app at the provider (G-17, O-05)."""
    return disconnect_page(reachable(connection_id), DisconnectForm(formdata=None))


@blueprint.post("/connections/<uuid:connection_id>/disconnect")
@requires(Permission.OWN_PROFILE)
def disconnect_mailbox(connection_id: UUID) -> ResponseReturnValue:
    """End one's own connection, or as an admin a colleague's."""
    connection = reachable(connection_id, lock=True)
    form = DisconnectForm()
    if not form.validate():
        return disconnect_page(connection, form), 400
    service.disconnect(connection, "user" if connection.user_id == g.user_session.user_id else "admin")
    return redirect(url_for("connections.confirm_disconnect", connection_id=connection.id), 303)


def reachable(connection_id: UUID, *, lock: bool = False) -> Connection:
    """One's own connection, or anybody's of the account for those who may pause and end them. Raises NotFound."""
    connection = find(Connection, connection_id, lock=lock)
    if connection.user_id != g.user_session.user_id and not may(Permission.PAUSE_CONNECTIONS):
        raise NotFound(cause=Permission.PAUSE_CONNECTIONS.value)
    return connection


def disconnect_page(connection: Connection, form: DisconnectForm) -> str:
    """The page before or after the end, by the connection's state."""
    kept = queries.kept_messages([connection.id]).get(connection.id, 0)
    return render_template(
        "connections/disconnect.html" if connection.is_live else "connections/disconnected.html",
        connection=connection, kept=kept, form=form, word=DISCONNECT_WORD,
        is_own=connection.user_id == g.user_session.user_id,
        app_name=app_name(connection.provider),
    )  # fmt: skip


@blueprint.get("/connections")
@requires(Permission.READ_CONNECTIONS)
def list_connections() -> ResponseReturnValue:
    """Who connected what, and does it work."""
    account_id = g.membership.account_id
    return render_template(
        "connections/list.html", rows=queries.connection_report(account_id), standings=records.standings(account_id)
    )


@blueprint.post("/connections/<uuid:connection_id>/pause")
@requires(Permission.PAUSE_CONNECTIONS)
def pause_connection(connection_id: UUID) -> ResponseReturnValue:
    """Hold a colleague's connection where it is, or let it go on (P-06)."""
    form = StepForm()
    connection = find(Connection, connection_id, lock=True)
    if form.validate() and form.step.data == "resume":
        service.resume(connection)
    else:
        service.pause(connection, Cause.PAUSED_BY_ADMIN)
    return redirect(url_for("connections.list_connections"), 303)


@blueprint.get("/acknowledgements")
@requires(Permission.READ_ACKNOWLEDGEMENTS)
def list_acknowledgements() -> ResponseReturnValue:
    """Who has signed which text, and what it is worth now."""
    page = records.signed_page(g.membership.account_id, request.args.get("before", type=UUID))
    return render_template("connections/acknowledgements.html", page=page)


@blueprint.get("/acknowledgements/export")
@requires(Permission.READ_ACKNOWLEDGEMENTS)
def export_acknowledgements() -> ResponseReturnValue:
    """All of them as CSV."""
    data = records.export(g.membership.account_id)
    return send_file(BytesIO(data), mimetype="text/csv", as_attachment=True, download_name="acknowledgements.csv")


@blueprint.get("/acknowledgements/<uuid:record_id>")
@requires(Permission.READ_ACKNOWLEDGEMENTS)
def show_acknowledgement_record(record_id: UUID) -> ResponseReturnValue:
    """Everything that was stored with one signature, the text as it was shown; made for print too."""
    row = find(Acknowledgement, record_id)
    text = records.signed_text(row)
    return render_template("connections/record.html", row=row, text=text, fill=acknowledgements.fill)
