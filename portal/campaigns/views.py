"""Campaigns: the list, one campaign with its progress and recipients, the recipients as a file."""

from __future__ import annotations

from io import BytesIO
from uuid import UUID

from flask import Blueprint, g, render_template, request, send_file
from flask.typing import ResponseReturnValue

from portal.access.decorators import requires
from portal.access.lookup import find
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.campaigns import pages, queries
from portal.models import Campaign

blueprint = Blueprint("campaigns", __name__)


@blueprint.get("/campaigns")
@requires(Permission.READ_CAMPAIGNS)
def list_campaigns() -> ResponseReturnValue:
    """The campaigns of the location, newest first or by name, searched and by state."""
    search = request.args.get("q", "")[: queries.MAX_SEARCH]
    show, sort = request.args.get("show", "all"), request.args.get("sort", "newest")
    show, sort = show if show in queries.FILTERS else "all", sort if sort in queries.SORTS else "newest"
    after = request.args.get("after", type=UUID)
    page = queries.campaign_page(g.membership.account_id, search=search, show=show, sort=sort, after=after)
    record(events.CAMPAIGNS_LISTED, shown=len(page.rows))
    return render_template(
        "campaigns/list.html", page=page, search=search, show=show, sort=sort, after=after,
        filters=queries.FILTERS, sorts=queries.SORTS,
    )  # fmt: skip


@blueprint.get("/campaigns/<uuid:campaign_id>")
@requires(Permission.READ_CAMPAIGNS)
def show_campaign(campaign_id: UUID) -> ResponseReturnValue:
    """A draft as it stands, or how far a campaign is and what became of each mail."""
    campaign = find(Campaign, campaign_id)
    record(events.CAMPAIGN_READ, campaign)
    search = request.args.get("q", "")[: queries.MAX_SEARCH]
    show = request.args.get("show", "all")
    show, after = show if show in queries.PEOPLE_FILTERS else "all", request.args.get("after", type=UUID)
    page = pages.open_campaign(campaign, g.membership.account)
    people = queries.recipient_page(campaign, page.progress, search=search, show=show, after=after)
    template = "campaigns/draft.html" if campaign.state == "draft" else "campaigns/campaign.html"
    return render_template(
        template, page=page, campaign=campaign, people=people, search=search, show=show, after=after,
        filters=queries.PEOPLE_FILTERS,
    )  # fmt: skip


@blueprint.get("/campaigns/<uuid:campaign_id>/recipients.csv")
@requires(Permission.READ_CAMPAIGNS)
def download_recipients(campaign_id: UUID) -> ResponseReturnValue:
    """The recipients and what became of their mail, as a file."""
    campaign = find(Campaign, campaign_id)
    data, rows = queries.recipients_file(campaign, pages.delivery_words())
    record(events.RECIPIENTS_EXPORTED, campaign, rows=rows)
    return send_file(BytesIO(data), mimetype="text/csv", as_attachment=True, download_name="recipients.csv")
