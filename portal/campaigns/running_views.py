"""Start, pause, resume, stop and copy a campaign, and say what is to be done about uncertain mails."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.campaigns import pages, service
from portal.formatting import plural
from portal.models import Campaign

blueprint = Blueprint("campaign_running", __name__)
STOP = "STOP"


@blueprint.get("/campaigns/<uuid:campaign_id>/start")
@requires(Permission.WRITE_CAMPAIGNS)
def confirm_start(campaign_id: UUID) -> ResponseReturnValue:
    """To how many people, as whom, and that it cannot be taken back."""
    campaign = find(Campaign, campaign_id)
    if campaign.state != "draft":
        return _back(campaign_id)
    page = pages.open_campaign(campaign, g.membership.account)
    return render_template("campaigns/start.html", campaign=campaign, page=page, warning=pages.warning_of(page.way))


@blueprint.post("/campaigns/<uuid:campaign_id>/start")
@requires(Permission.WRITE_CAMPAIGNS)
def start_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """Start it; a second press changes nothing."""
    if service.start(campaign_id, g.user_session.user):
        flash("The campaign has been started. You may leave this page.", "ok")
    else:
        flash("This campaign had been started already. Nobody gets it twice.", "info")
    return _back(campaign_id)


@blueprint.post("/campaigns/<uuid:campaign_id>/pause")
@requires(Permission.WRITE_CAMPAIGNS)
def pause_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """Let nothing more leave for now."""
    if service.pause(campaign_id):
        flash("Paused. What has not left waits until somebody resumes it.", "ok")
    return _back(campaign_id)


@blueprint.post("/campaigns/<uuid:campaign_id>/resume")
@requires(Permission.WRITE_CAMPAIGNS)
def resume_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """Let it go on."""
    if service.resume(campaign_id, g.user_session.user):
        flash("It goes on where it paused. Nobody gets it twice.", "ok")
    return _back(campaign_id)


@blueprint.get("/campaigns/<uuid:campaign_id>/stop")
@requires(Permission.WRITE_CAMPAIGNS)
def confirm_stop(campaign_id: UUID) -> ResponseReturnValue:
    """What stopping changes, and the word to type."""
    return _stop_page(find(Campaign, campaign_id))


@blueprint.post("/campaigns/<uuid:campaign_id>/stop")
@requires(Permission.WRITE_CAMPAIGNS)
def stop_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """End it for good, once the word is typed."""
    campaign = find(Campaign, campaign_id)
    if request.form.get("word", "").strip().upper() != STOP:
        return _stop_page(campaign, f"Type {STOP}. Nothing was changed.")
    left = service.stop(campaign_id)
    flash(f"Stopped. {plural(left, 'mail')} did not leave.", "ok")
    return _back(campaign_id)


@blueprint.post("/campaigns/<uuid:campaign_id>/copy")
@requires(Permission.WRITE_CAMPAIGNS)
def copy_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """A draft with the same text and recipients."""
    made = service.copy(find(Campaign, campaign_id), g.user_session.user)
    flash("This is a copy. Change what you like; nothing has been sent.", "ok")
    return redirect(url_for("campaign_writing.edit_campaign", campaign_id=made.id), 303)


@blueprint.post("/campaigns/<uuid:campaign_id>/uncertain")
@requires(Permission.WRITE_CAMPAIGNS)
def settle_uncertain(campaign_id: UUID) -> ResponseReturnValue:
    """Send the mails again that have perhaps been sent, or count them as sent."""
    said = "again" if request.form.get("said") == "again" else "sent"
    count = service.settle_uncertain(campaign_id, said, g.user_session.user)
    done = "is sent again" if count == 1 else "are sent again"
    counts = "counts as sent" if count == 1 else "count as sent"
    flash(f"{plural(count, 'mail')} {done if said == 'again' else counts}.", "ok")
    return _back(campaign_id)


def _stop_page(campaign: Campaign, error: str = "") -> ResponseReturnValue:
    if campaign.state not in ("preparing", "running", "paused"):
        return _back(campaign.id)
    page = pages.open_campaign(campaign, g.membership.account)
    answer = render_template("campaigns/stop.html", campaign=campaign, page=page, word=STOP, error=error)
    return answer, 400 if error else 200


def _back(campaign_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("campaigns.show_campaign", campaign_id=campaign_id), 303)
