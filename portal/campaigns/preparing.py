"""Make the deliveries of a started campaign, in chunks. Repeated after a crash it adds only what is missing."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from portal import queues
from portal.campaigns.audience import Audience, choose
from portal.database import db, transaction
from portal.models import Campaign, Delivery
from portal.sending.deliveries import Recipient, add_deliveries, hand_over

CHUNK = 1_000  # people of one transaction: nobody waits for the lock for long


def prepare(campaign_id: UUID) -> str:
    """Write who gets a campaign, then let it run; the state it is left in, "" when it is no more."""
    with transaction():
        campaign = db.session.get(Campaign, campaign_id)
        if campaign is None or campaign.state != "preparing":
            return campaign.state if campaign else ""
        people, left_out = choose(campaign.account_id, Audience.of(campaign.audience))
    for start in range(0, len(people), CHUNK):
        with transaction():
            campaign = _locked(campaign_id)
            if campaign.state != "preparing":
                return campaign.state
            chunk = [Recipient(*chosen[:3]) for chosen in people[start : start + CHUNK]]
            add_deliveries(campaign.account_id, chunk, campaign_id=campaign_id)
    with transaction():
        return _let_run(campaign_id, left_out)


def _let_run(campaign_id: UUID, left_out: dict[str, int]) -> str:
    campaign = _locked(campaign_id)
    if campaign.state == "preparing":
        campaign.state = "running"
        campaign.audience = campaign.audience | {"left_out": left_out}
        campaign.total = db.session.scalar(select(func.count()).where(Delivery.campaign_id == campaign_id)) or 0
        hand_over(campaign.account_id)
    return campaign.state


def _locked(campaign_id: UUID) -> Campaign:
    query = select(Campaign).where(Campaign.id == campaign_id).with_for_update(of=Campaign)
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def hand_to_prepare(campaign_id: UUID) -> None:
    """Enqueue the preparation after the commit."""
    queues.enqueue("bulk.prepare", campaign_id, on=queues.BULK, once=f"prepare-{campaign_id}")


def sweep() -> int:
    """Hand over again what was started and not prepared (Redis away, worker gone); how many."""
    with transaction():
        ids = list(db.session.scalars(select(Campaign.id).where(Campaign.state == "preparing")))
        for campaign_id in ids:
            hand_to_prepare(campaign_id)
    return len(ids)
