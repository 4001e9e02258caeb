"""What the page of one campaign says, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from portal.campaigns.audience import Audience, Measured, measure
from portal.campaigns.queries import DELIVERY_STATES, STATES, Way, failures_of, way_by, way_of
from portal.connections.queries import live_connection
from portal.models import Account, Campaign
from portal.rules.bulk import Alignment, Progress, sentence_of
from portal.sending.deliveries import progress_of
from portal.sending.delivery_letters import Letter, open_letter
from portal.sending.delivery_posts import PAUSED_BECAUSE
from portal.vocabulary import status_of


@dataclass(frozen=True)
class CampaignPage:
    """One campaign. `measured` is judged live for a draft; afterwards the deliveries say who got it."""

    letter: Letter
    audience: Audience
    way: Way
    progress: Progress
    status: str
    recipients: str  # in a sentence
    measured: Measured | None
    failures: list[tuple[str, int]]
    paused_because: str

    @property
    def is_moving(self) -> bool:
        """Whether the page changes by itself."""
        return self.status == "running"


def open_campaign(campaign: Campaign, account: Account) -> CampaignPage:
    """Everything the page shows besides the list of recipients."""
    audience = Audience.of(campaign.audience)
    progress = progress_of([campaign.id])[campaign.id]
    measured = measure(account.id, audience) if campaign.state == "draft" else None
    left_out = campaign.audience.get("left_out", {})
    return CampaignPage(
        letter=open_letter(campaign),
        audience=audience,
        way=way_of(campaign, account),
        progress=progress,
        status=STATES.get(campaign.state, campaign.state),
        recipients=measured.sentence if measured else sentence_of(progress.total, left_out),
        measured=measured,
        failures=failures_of(campaign.id) if progress.failed else [],
        paused_because=PAUSED_BECAUSE.get(campaign.paused_because, ""),
    )


def delivery_words() -> dict[str, str]:
    """The word of the status vocabulary for each state of a delivery."""
    states = ("waiting", "sending", "sent", "failed", "unknown", "skipped")
    return {state: status_of(DELIVERY_STATES.get(state, state)).word for state in states}


@dataclass(frozen=True)
class SenderChoices:
    """The two senders of the form (O-07). `own` is None where the person has no connected mailbox."""

    practice: Way
    own: Way | None
    mailbox: str
    warning: str


def sender_choices(account: Account, user_id: UUID) -> SenderChoices:
    """Who may stand in From, and what to know before choosing oneself."""
    connection = live_connection(account.id, user_id)
    practice = way_by(account, Campaign(sender="account"), None)
    if connection is None:
        return SenderChoices(practice, None, "", "")
    own = way_by(account, Campaign(sender="own"), connection)
    return SenderChoices(practice, own, connection.mailbox, warning_of(own))


def warning_of(way: Way) -> str:
    """What is to be feared of a From whose domain is not the mail server's, in words; "" where they align."""
    if way.sender is None or not way.sender.alignment.warns:
        return ""
    return WARNINGS[way.sender.alignment].format(domain=way.sender.domain)


WARNINGS = {
    Alignment.FOREIGN: (
        "The practice’s mail server does not send for {domain}. Mailboxes may mark such mail as forged or put it into spam, "
        "unless {domain} allows this server (SPF or DKIM)."
    ),
    Alignment.CONSUMER: (
        "Mail from {domain} that does not leave through {domain} itself counts as forged: many mailboxes refuse it or put "
        "it into spam, and nothing you set up changes that. Choose the practice’s address."
    ),
}
