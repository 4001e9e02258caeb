"""Write a campaign: the form with its live count, the preview per recipient, a test mail to oneself."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, flash, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.campaigns import audience, pages, previews, service
from portal.campaigns.forms import CampaignForm
from portal.extensions import limiter
from portal.models import Campaign
from portal.rules.templates import FIELDS

blueprint = Blueprint("campaign_writing", __name__)
TESTS = "30 per hour"


def _person() -> str:
    return f"person:{g.user_session.user_id}"


@blueprint.get("/campaigns/new")
@requires(Permission.WRITE_CAMPAIGNS)
def new_campaign() -> ResponseReturnValue:
    """The empty form; `?q=` and `?show=` choose the recipients for a link from the list of contacts."""
    return _form_page(CampaignForm({"q": request.args.get("q", ""), "show": request.args.get("show", "all")}), None)


@blueprint.post("/campaigns/new")
@requires(Permission.WRITE_CAMPAIGNS)
def create_campaign() -> ResponseReturnValue:
    """Keep a new draft."""
    form = CampaignForm()
    if form.wants_count or not form.validate():
        return _form_page(form, None)
    try:
        campaign = service.create(g.membership.account_id, g.user_session.user, form.details, form.token.data or "")
    except service.CampaignRefused as refused:
        return _form_page(form, None, refused)
    flash("The draft was saved. Nothing has been sent.", "ok")
    return redirect(url_for("campaigns.show_campaign", campaign_id=campaign.id), 303)


@blueprint.get("/campaigns/<uuid:campaign_id>/edit")
@requires(Permission.WRITE_CAMPAIGNS)
def edit_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """The form of a draft; what was started is only shown."""
    campaign = find(Campaign, campaign_id)
    if campaign.state != "draft":
        return redirect(url_for("campaigns.show_campaign", campaign_id=campaign_id))
    return _form_page(CampaignForm.of(campaign), campaign)


@blueprint.post("/campaigns/<uuid:campaign_id>/edit")
@requires(Permission.WRITE_CAMPAIGNS)
def update_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """Save changes of a draft."""
    campaign, form = find(Campaign, campaign_id), CampaignForm()
    if form.wants_count or not form.validate():
        return _form_page(form, campaign)
    try:
        service.change(campaign_id, g.user_session.user, form.details)
    except service.CampaignRefused as refused:
        return _form_page(form, campaign, refused)
    flash("The draft was saved. Nothing has been sent.", "ok")
    return redirect(url_for("campaigns.show_campaign", campaign_id=campaign_id), 303)


@blueprint.post("/campaigns/count")
@requires(Permission.WRITE_CAMPAIGNS)
def count_recipients() -> ResponseReturnValue:
    """Who would get what stands in the form, as a part of its page."""
    measured = audience.measure(g.membership.account_id, CampaignForm().audience)
    return render_template("campaigns/count.html", measured=measured)


@blueprint.get("/campaigns/<uuid:campaign_id>/preview")
@requires(Permission.READ_CAMPAIGNS)
def preview_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """The mail as the person at a place gets it, step by step through the recipients."""
    campaign = find(Campaign, campaign_id)
    return render_template("campaigns/preview.html", campaign=campaign, preview=previews.preview(campaign, _place()))


@blueprint.get("/campaigns/<uuid:campaign_id>/preview/html")
@requires(Permission.READ_CAMPAIGNS)
def preview_campaign_html(campaign_id: UUID) -> ResponseReturnValue:
    """The formatted text of a preview as a document of its own, for the sandboxed frame."""
    clean = previews.preview_html(find(Campaign, campaign_id), _place())
    theme = g.user_session.user.theme
    response: Response = make_response(render_template("conversations/mail.html", html=clean, theme=theme))
    response.headers["Content-Security-Policy"] = (
        f"sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'nonce-{g.csp_nonce}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@blueprint.post("/campaigns/<uuid:campaign_id>/test")
@limiter.limit(TESTS, key_func=_person)
@requires(Permission.WRITE_CAMPAIGNS)
def send_test(campaign_id: UUID) -> ResponseReturnValue:
    """Send it once to the person themself."""
    to = previews.send_test(find(Campaign, campaign_id), g.user_session.user)
    flash(f"A test mail to {to} has left. It is filled in for a made-up person.", "ok")
    return redirect(url_for("campaigns.show_campaign", campaign_id=campaign_id), 303)


def _place() -> int:
    """Which recipient is looked at, from 1 on."""
    return max(1, request.args.get("at", 1, type=int))


def _form_page(
    form: CampaignForm, campaign: Campaign | None, refused: service.CampaignRefused | None = None
) -> ResponseReturnValue:
    account = g.membership.account
    page = render_template(
        "campaigns/form.html", form=form, campaign=campaign, fields=FIELDS, refused=refused,
        senders=pages.sender_choices(account, g.user_session.user_id), measured=audience.measure(account.id, form.audience),
    )  # fmt: skip
    return page, refused.status if refused else 400 if form.errors else 200
