"""A campaign as one person will get it, and a test mail to oneself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from portal.audit import events
from portal.audit.service import record
from portal.campaigns.audience import Audience, choose_one, measure
from portal.campaigns.queries import way_of
from portal.campaigns.service import CampaignRefused, refuse_unsendable
from portal.database import db, transaction
from portal.errors import NotFound
from portal.lib.clock import now
from portal.lib.html import clean_outgoing
from portal.lib.ids import new_id, new_token
from portal.models import Account, Campaign, User
from portal.providers.errors import ProviderError, Unanswered
from portal.providers.smtp.relay import RelaySession
from portal.rules.addresses import Address, match_key
from portal.rules.templates import FIELDS
from portal.sending.delivery_letters import Person, Post, open_letter, post_of, write_mail
from portal.sending.mime import OutgoingMail, build_mime
from portal.sending.relays import relay_of, server_of, words_of

THEIR_LINK = "own-link-of-each-person"  # where the token of the unsubscribe link will stand
TEST_SECONDS = 10.0


@dataclass(frozen=True)
class Preview:
    """The mail of one recipient. `place` counts from 1; `people` 0 means that a made-up person stands in."""

    mail: OutgoingMail
    place: int
    people: int
    has_sender: bool

    @property
    def unsubscribe_url(self) -> str:
        return dict(self.mail.marks).get("List-Unsubscribe", "").strip("<>")


def preview(campaign: Campaign, place: int) -> Preview:
    """The campaign as the person at this place gets it; of a made-up one where nobody gets it. Raises NotFound."""
    audience = Audience.of(campaign.audience)
    people = measure(campaign.account_id, audience).people
    chosen = choose_one(campaign.account_id, audience, place) if people else None
    if people and chosen is None:
        raise NotFound()
    person = _sample("") if chosen is None else Person(
        chosen.id, chosen.email, chosen.email_key, THEIR_LINK, chosen.first_name, chosen.last_name
    )  # fmt: skip
    post, has_sender = _post(campaign)
    return Preview(write_mail(post, person, now()), place, people, has_sender)


def preview_html(campaign: Campaign, place: int) -> str:
    """The formatted text of a preview, harmless; "" for plain text only. Raises NotFound."""
    return clean_outgoing(preview(campaign, place).mail.html)


def _post(campaign: Campaign) -> tuple[Post, bool]:
    account = db.session.get_one(Account, campaign.account_id)
    sender = way_of(campaign, account).sender
    address = sender.address if sender else Address("", "", account.name)
    return post_of(open_letter(campaign), address, account), sender is not None


def _sample(email: str) -> Person:
    samples = {field.name: field.sample for field in FIELDS}
    email = email or "priya@mail.example"
    return Person(new_id(), email, match_key(email), THEIR_LINK, samples["first_name"], samples["last_name"])


def send_test(campaign: Campaign, user: User) -> str:
    """Send the campaign once to the person themself, filled in for a made-up contact; to which address.

    Ends the caller's transaction first: none is open while the mail server is talked to. Raises CampaignRefused.
    """
    refuse_unsendable(campaign, user)
    relay = relay_of(campaign.account_id)
    if relay is None:
        raise CampaignRefused("The practice has no mail server that works. Nothing was sent.", cause="no_relay")
    server, to, campaign_id = server_of(relay), user.email, campaign.id
    raw, sender = _test_mail(campaign, to)
    with transaction():
        pass
    try:
        with RelaySession(server, timeout=TEST_SECONDS) as session:
            session.send(raw, sender, [to])
    except ProviderError as error:
        _note_test(campaign_id, "uncertain" if isinstance(error, Unanswered) else "failed")
        lost = "It has perhaps been sent." if isinstance(error, Unanswered) else "No test mail was sent."
        raise CampaignRefused(f"{words_of(error)} {lost} Try it again later.", cause="test_failed") from None
    _note_test(campaign_id, "sent")
    return to


def _test_mail(campaign: Campaign, to: str) -> tuple[bytes, str]:
    post, _ = _post(campaign)
    mail = write_mail(post, _sample(to), now())
    raw = build_mime(replace(mail, subject=f"Test: {mail.subject}"))
    return raw, post.return_path(new_token())


def _note_test(campaign_id: UUID, result: str) -> None:
    with transaction():
        record(events.CAMPAIGN_TESTED, db.session.get_one(Campaign, campaign_id), result=result)
