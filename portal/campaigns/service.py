"""Write, start, pause, resume, stop and copy campaigns. Each step is safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID, uuid5

from sqlalchemy import or_, update

from portal.access.lookup import find
from portal.audit import events
from portal.audit.service import record
from portal.campaigns import preparing
from portal.campaigns.audience import Audience, measure
from portal.connections.queries import live_connection
from portal.database import db
from portal.errors import Conflict, DomainError
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Campaign, Connection, Delivery, User
from portal.notices.service import withdraw
from portal.sending.deliveries import accept_uncertain, hand_over, requeue_uncertain
from portal.sending.delivery_letters import Letter, open_letter, seal_letter
from portal.sending.relays import relay_of

STOPPED = "The campaign was stopped before it left."


class CampaignRefused(DomainError):
    """The campaign may not do this now. Nothing was changed or sent."""

    status: ClassVar[int] = 409
    title: ClassVar[str] = "Nothing was sent"


@dataclass(frozen=True)
class Details:
    """What a person wrote into the form."""

    name: str
    audience: Audience
    is_own: bool  # their own connected address stands in From (O-07)
    letter: Letter


def create(account_id: UUID, user: User, details: Details, token: str) -> Campaign:
    """A new draft; a second press of the same form gives the same one. Raises CampaignRefused."""
    row_id = uuid5(account_id, f"campaign:{user.id}:{token}") if token else new_id()
    if token and (earlier := db.session.get(Campaign, row_id)) is not None:
        return earlier
    campaign = Campaign(id=row_id, account_id=account_id, user_id=user.id, name=details.name, state="draft")
    _write(campaign, user, details)
    db.session.add(campaign)
    db.session.flush()
    record(events.CAMPAIGN_SAVED, campaign)
    return campaign


def change(campaign_id: UUID, user: User, details: Details) -> Campaign:
    """Change a draft. Raises Conflict for one that has been started meanwhile, and CampaignRefused."""
    campaign = _locked(campaign_id)
    if campaign.state != "draft":
        raise Conflict(
            "This campaign has been started, so its text stays as it is. Nothing was changed. Copy it to write another.",
            cause="campaign_started",
        )
    _write(campaign, user, details)
    record(events.CAMPAIGN_SAVED, campaign)
    return campaign


def _write(campaign: Campaign, user: User, details: Details) -> None:
    connection = live_connection(campaign.account_id, user.id) if details.is_own else None
    if details.is_own and connection is None:
        raise CampaignRefused(
            "You have no connected mailbox, so your own address cannot stand in From. Choose the practice’s address.",
            cause="not_connected",
        )
    campaign.name, campaign.audience = details.name, details.audience.as_json()
    campaign.sender, campaign.connection_id = ("own", connection.id) if connection else ("account", None)
    seal_letter(campaign, details.letter)


def start(campaign_id: UUID, user: User) -> bool:
    """Start a draft; false when it has been started already. Raises CampaignRefused in words."""
    campaign = _locked(campaign_id)
    if campaign.state != "draft":
        return False
    refuse_unsendable(campaign, user)
    people = measure(campaign.account_id, Audience.of(campaign.audience)).people
    if not people:
        raise CampaignRefused("Nobody would get it. Choose other recipients, then start it.", cause="nobody")
    campaign.state, campaign.started_at, campaign.user_id = "preparing", now(), user.id
    record(events.CAMPAIGN_STARTED, campaign, recipients=people, sender=campaign.sender)
    preparing.hand_to_prepare(campaign.id)
    return True


def refuse_unsendable(campaign: Campaign, user: User) -> None:
    """Raises CampaignRefused where the practice has no mail server, or From is not this person's to use."""
    if relay_of(campaign.account_id) is None:
        raise CampaignRefused(
            "The practice has no mail server that works, and campaigns leave through it. Nothing was sent. An admin sets it "
            "up under Settings, Mail server.",
            cause="no_relay",
        )
    if campaign.sender == "own":
        _refuse_foreign_sender(campaign, user)


def _refuse_foreign_sender(campaign: Campaign, user: User) -> None:
    connection = db.session.get(Connection, campaign.connection_id) if campaign.connection_id else None
    if connection is None or not connection.is_live:
        raise CampaignRefused(
            "The mailbox whose address stands in From is no longer connected. Nothing was sent. Choose another sender.",
            cause="sender_gone",
        )
    if connection.user_id != user.id:
        raise CampaignRefused(
            f"The address of {connection.user.name} stands in From, so only they can send it. Nothing was sent.",
            cause="not_own_sender",
        )


def pause(campaign_id: UUID) -> bool:
    """Let nothing more of it leave for now; false when it does not run."""
    campaign = _locked(campaign_id)
    if campaign.state != "running":
        return False
    campaign.state, campaign.paused_because = "paused", "person"
    record(events.CAMPAIGN_PAUSED, campaign)
    return True


def resume(campaign_id: UUID, user: User) -> bool:
    """Let it go on, in this person's name; false when it is not paused. Raises CampaignRefused."""
    campaign = _locked(campaign_id)
    if campaign.state != "paused":
        return False
    refuse_unsendable(campaign, user)
    campaign.state, campaign.paused_because, campaign.user_id = "running", "", user.id
    withdraw("campaign_paused", campaign.id)
    record(events.CAMPAIGN_RESUMED, campaign)
    hand_over(campaign.account_id)
    return True


def stop(campaign_id: UUID) -> int:
    """End it for good: what waits does not leave. How many; what the mail server is taking at this moment still arrives."""
    campaign = _locked(campaign_id)
    if campaign.state not in ("preparing", "running", "paused"):
        return 0
    campaign.state, campaign.finished_at = "stopped", now()
    unsent = or_(Delivery.state == "waiting", (Delivery.state == "sending") & Delivery.handed_at.is_(None))
    skip = update(Delivery).where(Delivery.campaign_id == campaign.id, unsent)
    values = {"state": "skipped", "cause": "stopped", "error": STOPPED, "claimed_by": None}
    left = int(db.session.connection().execute(skip.values(**values)).rowcount)
    withdraw("campaign_paused", campaign.id)
    record(events.CAMPAIGN_STOPPED, campaign, left=left)
    return left


def copy(campaign: Campaign, user: User) -> Campaign:
    """A draft with the same text and recipients; From is the person's own address only where it was theirs."""
    connection = live_connection(campaign.account_id, user.id)
    is_own = campaign.sender == "own" and connection is not None and connection.id == campaign.connection_id
    name = campaign.name if campaign.name.startswith("Copy of ") else f"Copy of {campaign.name}"
    details = Details(name[:200], Audience.of(campaign.audience), is_own, open_letter(campaign))
    return create(campaign.account_id, user, details, token="")


def settle_uncertain(campaign_id: UUID, said: str, user: User) -> int:
    """Do what a person says of mails that have perhaps been sent: "again" or "sent". How many; raises CampaignRefused."""
    campaign = _locked(campaign_id)
    if said == "again":
        count = _send_again(campaign, user)
    else:
        count = accept_uncertain(campaign.id)
    if count:
        record(events.DELIVERY_DECLARED, campaign, said=said, count=count)
    return count


def _send_again(campaign: Campaign, user: User) -> int:
    if campaign.state == "stopped":
        raise CampaignRefused("This campaign was stopped for good. Copy it to write to these people again.", cause="stopped")
    refuse_unsendable(campaign, user)
    count = requeue_uncertain(campaign.id)
    if count and campaign.state == "done":
        campaign.state, campaign.finished_at, campaign.user_id = "running", None, user.id
    hand_over(campaign.account_id)
    return count


def _locked(campaign_id: UUID) -> Campaign:
    campaign = find(Campaign, campaign_id, lock=True)
    db.session.refresh(campaign)
    return campaign
