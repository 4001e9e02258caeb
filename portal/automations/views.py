"""Automations: the list, one with its history and preview, the form, the switch."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, flash, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.automations import queries, service
from portal.automations.forms import AutomationForm
from portal.campaigns.queries import PEOPLE_FILTERS
from portal.models import Automation
from portal.rules.templates import FIELDS
from portal.sending.relays import relay_of

blueprint = Blueprint("automations", __name__)
SAID = ("again", "sent")


@blueprint.get("/automations")
@requires(Permission.READ_AUTOMATIONS)
def list_automations() -> ResponseReturnValue:
    """The automations of the location, newest first."""
    before = request.args.get("before", type=UUID)
    page = queries.automation_page(g.membership.account_id, before)
    record(events.AUTOMATIONS_LISTED, shown=len(page.rows))
    return render_template(
        "automations/list.html", page=page, before=before, relay=relay_of(g.membership.account_id)
    )


@blueprint.get("/automations/<uuid:automation_id>")
@requires(Permission.READ_AUTOMATIONS)
def show_automation(automation_id: UUID) -> ResponseReturnValue:
    """One automation: when it sends, the switch, its mail as somebody would get it, and what became of its mails."""
    automation = find(Automation, automation_id)
    show, before = request.args.get("show", "all"), request.args.get("before", type=UUID)
    show, has_name = show if show in PEOPLE_FILTERS else "all", request.args.get("sample") != "nameless"
    record(events.AUTOMATION_READ, automation)
    return render_template(
        "automations/automation.html", automation=automation, rule=queries.rule_of(automation),
        history=queries.history_of(automation, show, before), show=show, before=before, filters=PEOPLE_FILTERS,
        mail=queries.preview(automation, has_name=has_name), has_name=has_name, relay=relay_of(automation.account_id),
        contacts=queries.contact_count(automation.account_id), waiting=service.waiting_count(automation),
    )  # fmt: skip


@blueprint.get("/automations/<uuid:automation_id>/html")
@requires(Permission.READ_AUTOMATIONS)
def show_preview_html(automation_id: UUID) -> ResponseReturnValue:
    """The formatted preview as a document of its own, for the sandboxed frame: nothing runs, nothing is loaded."""
    has_name = request.args.get("sample") != "nameless"
    clean = queries.preview_html(find(Automation, automation_id), has_name=has_name)
    page = render_template("conversations/mail.html", html=clean, theme=g.user_session.user.theme)
    response: Response = make_response(page)
    response.headers["Content-Security-Policy"] = (
        f"sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'nonce-{g.csp_nonce}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@blueprint.get("/automations/new")
@requires(Permission.WRITE_AUTOMATIONS)
def new_automation() -> ResponseReturnValue:
    """The empty form."""
    return _form_page(AutomationForm(), None)


@blueprint.post("/automations/new")
@requires(Permission.WRITE_AUTOMATIONS)
def create_automation() -> ResponseReturnValue:
    """Save a new automation, switched off."""
    form = AutomationForm()
    if not form.validate():
        return _form_page(form, None)
    made = service.create(g.membership.account_id, g.user_session.user_id, form.details, form.token.data or "")
    flash(f"{made.name} was saved. It is off: look at its mail, then switch it on.", "ok")
    return _back_to(made.id)


@blueprint.get("/automations/<uuid:automation_id>/edit")
@requires(Permission.WRITE_AUTOMATIONS)
def edit_automation(automation_id: UUID) -> ResponseReturnValue:
    """The form of an automation."""
    automation = find(Automation, automation_id)
    return _form_page(AutomationForm.of(automation), automation)


@blueprint.post("/automations/<uuid:automation_id>/edit")
@requires(Permission.WRITE_AUTOMATIONS)
def change_automation(automation_id: UUID) -> ResponseReturnValue:
    """Save changes of an automation."""
    automation, form = find(Automation, automation_id), AutomationForm()
    if not form.validate():
        return _form_page(form, automation)
    service.change(automation_id, form.details)
    flash(f"{automation.name} was saved. Mails that have not left yet get the new text.", "ok")
    return _back_to(automation_id)


@blueprint.post("/automations/<uuid:automation_id>/on")
@requires(Permission.WRITE_AUTOMATIONS)
def switch_on(automation_id: UUID) -> ResponseReturnValue:
    """Switch it on; refused in words without a mail server that works."""
    if service.switch_on(automation_id):
        flash("It is on. Each contact that is created from now on gets this mail.", "ok")
    return _back_to(automation_id)


@blueprint.post("/automations/<uuid:automation_id>/off")
@requires(Permission.WRITE_AUTOMATIONS)
def switch_off(automation_id: UUID) -> ResponseReturnValue:
    """Switch it off and skip what waits."""
    left = service.switch_off(automation_id)
    waited = "One mail that waited was not sent." if left == 1 else f"{left:,} mails that waited were not sent."
    flash(f"It is off. {waited if left else 'No mail was waiting.'}", "ok")
    return _back_to(automation_id)


@blueprint.post("/automations/<uuid:automation_id>/uncertain")
@requires(Permission.WRITE_AUTOMATIONS)
def declare_uncertain(automation_id: UUID) -> ResponseReturnValue:
    """Settle the mails that have perhaps been sent, by what a person says of them."""
    automation, said = find(Automation, automation_id), request.form.get("said", "")
    if said in SAID:
        count = service.settle_uncertain(automation.id, said)
        verb = "will be sent again" if said == "again" else "now counts as sent" if count == 1 else "now count as sent"
        flash(f"{count:,} {'mail' if count == 1 else 'mails'} {verb}.", "ok")
    return _back_to(automation_id)


def _back_to(automation_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("automations.show_automation", automation_id=automation_id))


def _form_page(form: AutomationForm, automation: Automation | None) -> ResponseReturnValue:
    page = render_template(
        "automations/form.html", form=form, automation=automation, template_fields=FIELDS,
        relay=relay_of(g.membership.account_id),
    )  # fmt: skip
    return page, 400 if form.errors else 200
