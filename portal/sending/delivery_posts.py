"""What an account may send now: its running campaigns and switched-on automations, opened once for a run."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from portal.access.memberships import may_still
from portal.access.permissions import Permission
from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.models import Account, Automation, Campaign, Connection, MailRelay
from portal.notices.service import notify
from portal.sending.delivery_letters import Post, bulk_sender, open_letter, post_of, practice_address

PAUSED_BECAUSE = {
    "membership": "The person who started it may not send campaigns here any more.",
    "sender": "The mailbox whose address stands in From is no longer connected.",
}


def posts_of(account_id: UUID, relay: MailRelay) -> dict[UUID, Post]:
    """Everything that may be sent now, by campaign or automation, in the caller's transaction.

    A campaign whose writer or sender is gone pauses itself here, and says why (TEN-4).
    """
    account = db.session.get_one(Account, account_id)
    practice = practice_address(relay, account)
    posts = {row.id: post_of(open_letter(row), practice, account) for row in _automations(account_id)}
    for campaign in _campaigns(account_id):
        if because := _hindrance(campaign):
            _pause(campaign, because)
            continue
        connection = db.session.get(Connection, campaign.connection_id) if campaign.connection_id else None
        posts[campaign.id] = post_of(open_letter(campaign), bulk_sender(campaign, connection, practice).address, account)
    return posts


def _automations(account_id: UUID) -> list[Automation]:
    query = select(Automation).where(Automation.account_id == account_id, Automation.is_on.is_(True))
    return list(db.session.scalars(query))


def _campaigns(account_id: UUID) -> list[Campaign]:
    return list(db.session.scalars(select(Campaign).where(Campaign.account_id == account_id, Campaign.state == "running")))


def _hindrance(campaign: Campaign) -> str:
    """Why a campaign may not go on, as a key of PAUSED_BECAUSE; "" when it may."""
    if not may_send_campaigns(campaign.account_id, campaign.user_id):
        return "membership"
    if campaign.sender != "own":
        return ""
    connection = db.session.get(Connection, campaign.connection_id) if campaign.connection_id else None
    return "" if connection is not None and connection.is_live else "sender"


def may_send_campaigns(account_id: UUID, user_id: UUID) -> bool:
    """Whether a person still works in the account, in a role that sends campaigns (RBA-5, TEN-4)."""
    return may_still(account_id, user_id, Permission.WRITE_CAMPAIGNS)


def _pause(campaign: Campaign, because: str) -> None:
    campaign.state, campaign.paused_because = "paused", because
    record(events.CAMPAIGN_PAUSED, campaign)
    notify(
        campaign.user_id, campaign.account_id, "campaign_paused",
        f"A campaign has paused. {PAUSED_BECAUSE[because]}", f"/campaigns/{campaign.id}", campaign.id,
    )  # fmt: skip
