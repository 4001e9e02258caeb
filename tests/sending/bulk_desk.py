"""A practice with a mail server, and a campaign of its own to many contacts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from portal.database import db
from portal.models import Account, Campaign, Delivery, MailRelay, User
from portal.sending import deliveries
from tests import factories
from tests.services.programs import Sandbox


@dataclass
class Practice:
    """Who sends to whom, and what the mail server got."""

    sandbox: Sandbox
    account: Account
    user: User
    relay: MailRelay

    def campaign(self, people: int = 3, **values: Any) -> Campaign:
        """A running campaign to so many contacts of its own."""
        state = values.pop("state", "running")
        row = factories.make_campaign(self.account, self.user, state=state, total=people, **values)
        self.add_people(row, people)
        return row

    def add_people(self, campaign: Campaign, people: int) -> None:
        """So many new contacts get it too."""
        for number in range(people):
            contact = factories.make_contact(self.account, name=f"Priya{number} Raman")
            factories.make_delivery(campaign, contact)
        db.session.commit()

    def run(self, seconds: float = 8) -> int:
        """Let the engine work once."""
        account_id = self.account.id
        db.session.commit()
        return deliveries.run(account_id, seconds)

    def rows(self) -> list[Delivery]:
        """All deliveries, in the order in which they are sent."""
        db.session.expire_all()
        return list(db.session.scalars(select(Delivery).order_by(Delivery.id)))

    def states(self) -> Counter[str]:
        """How many deliveries are in which state."""
        return Counter(row.state for row in self.rows())

    def state(self, campaign: Campaign) -> str:
        """Of a campaign, read anew."""
        db.session.expire_all()
        return campaign.state

    def recipients(self) -> list[str]:
        """Who got a mail, in order; twice who got two."""
        return [mail["rcpts"][0] for mail in self.sandbox.sink(with_text=False)]
