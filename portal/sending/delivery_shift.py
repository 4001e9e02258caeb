"""One run of the engine: who it sends for, its line to the mail server, and what became of each mail."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, select

from portal.database import db, transaction
from portal.faultpoint import crash_point
from portal.lib.clock import now
from portal.lib.ids import new_id
from portal.models import Automation, Campaign
from portal.providers.errors import OperatorFault, ProviderError, Refused, Temporary, Unanswered
from portal.providers.smtp.relay import RelayServer, RelaySession, SenderRefused
from portal.rules.bounces import sentence_of
from portal.rules.bulk import needs_looking_at, next_try_at
from portal.sending.bulk_mime import write_mime
from portal.sending.delivery_claims import UNSURE, Claim, claim_next, hand, open_ledger, release, settle, settle_sent
from portal.sending.delivery_letters import Post, write_mail
from portal.sending.relays import words_of

BATCH = 100  # mails claimed at once
FRESH = 5.0  # seconds; claims that got older are looked at anew
LOOK = 1.0  # seconds between two looks for workflow mail, which goes first
STUMBLES = 2  # breaks in a row, without a mail in between that left: the mail server is away
WAIT_AWAY, WAIT_SET_UP = timedelta(minutes=1), timedelta(minutes=10)  # away for a moment; somebody must mend it
PUT_OFF = "The mail server put it off. It has not left; it is tried again by itself."
GIVEN_UP = "The mail server put it off again and again. It was not sent."
UNWRITABLE = "It could not be written as a mail. It was not sent."


class RelayAway(Exception):
    """The mail server cannot be used for now; everything waits."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.words = words_of(error)
        self.retry_at = now() + (WAIT_AWAY if isinstance(error, Temporary) else WAIT_SET_UP)


class TakenAway(Exception):
    """The mail may not leave any more: its campaign was paused, or another run has it."""


@dataclass
class Shift:
    """A run for one account. `posts` is everything it may send now, by campaign or automation."""

    account_id: UUID
    server: RelayServer
    posts: dict[UUID, Post]
    deadline: float  # of time.monotonic
    run_id: UUID = field(default_factory=new_id)
    counts: Counter[str] = field(default_factory=Counter)
    _ledger: Connection = field(default_factory=open_ledger)
    _session: RelaySession | None = None
    _taken: Claim | None = None  # left, and not yet committed as sent
    _stumbles: int = 0
    _looked_at: float = 0.0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline

    def work(self) -> None:
        """Send until nothing is due or the time is over. Raises RelayAway."""
        while not self.is_over and (claims := self._claim()):
            crash_point("mail-claimed")
            begun = time.monotonic()
            for claim in claims:
                if self.is_over or time.monotonic() - begun > FRESH or not self._send(claim):
                    break

    def close(self) -> None:
        """Commit what is still open, give back what was not tried, leave the mail server."""
        self._ledger.close()
        with transaction():
            self._settle_taken()
            release(self.account_id, self.run_id)
        crash_point("mail-settled")
        self._hang_up()

    def _claim(self) -> list[Claim]:
        with transaction():
            self._settle_taken()
            release(self.account_id, self.run_id)
            return claim_next(self.run_id, self._parents(), BATCH, self.counts)

    def _parents(self) -> Sequence[Campaign | Automation]:
        """What runs now, in its order: automations, looked at once a second, then campaigns by their start."""
        campaigns = select(Campaign).where(Campaign.account_id == self.account_id, Campaign.state == "running")
        campaigns = campaigns.order_by(Campaign.started_at, Campaign.id).execution_options(populate_existing=True)
        found: list[Campaign | Automation] = []
        if time.monotonic() - self._looked_at > LOOK:
            self._looked_at = time.monotonic()
            switched_on = select(Automation).where(Automation.account_id == self.account_id, Automation.is_on.is_(True))
            found += db.session.scalars(switched_on.order_by(Automation.id))
        found += db.session.scalars(campaigns)
        return [row for row in found if row.id in self.posts]

    def _send(self, claim: Claim) -> bool:
        """Try one mail; false when the claims must be looked at anew."""
        post = self.posts[claim.parent_id]
        try:
            raw = write_mime(write_mail(post, claim.person, now()))
        except ValueError:
            self._settle(claim, "failed", cause="unwritable", error=UNWRITABLE)
            return True
        sender = post.return_path(claim.person.token)
        session = self._line()
        try:
            session.send(raw, sender, [claim.person.email], before_end=lambda: self._hand(claim))
        except TakenAway:
            self._hang_up()  # the mail server waits for the end of a mail that does not come
            return False
        except ProviderError as error:
            self._settle_trouble(claim, error, is_line_lost=not session.is_usable)
            return True
        crash_point("mail-taken")
        self._taken, self._stumbles = claim, 0
        self.counts["sent"] += 1
        return True

    def _line(self) -> RelaySession:
        """The open session. Raises RelayAway."""
        if self._session is not None and self._session.is_usable:
            return self._session
        self._hang_up()
        session = RelaySession(self.server)
        try:
            self._session = session.__enter__()
        except ProviderError as error:
            raise RelayAway(error) from None
        return self._session

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(None, None, None)

    def _hand(self, claim: Claim) -> None:
        """Commit that this mail may leave from now on, and that the one before has left. Raises TakenAway."""
        is_ours = hand(self._ledger, self.run_id, claim, self._taken)
        before, self._taken = self._taken, None
        if before is not None:
            crash_point("mail-settled")
        if not is_ours:
            raise TakenAway
        crash_point("mail-handed")

    def _settle_taken(self) -> None:
        if self._taken is not None:
            settle_sent(self.run_id, self._taken)
            self._taken = None

    def _settle_trouble(self, claim: Claim, error: ProviderError, *, is_line_lost: bool) -> None:
        """One trouble, one outcome: only what certainly did not leave is tried again by itself."""
        if isinstance(error, Unanswered):
            self._settle(claim, "unknown", cause="unanswered", error=UNSURE)
        elif isinstance(error, (OperatorFault, SenderRefused)):  # no recipient's fault: all mails would fail alike
            self._put_off(claim, attempts=claim.attempts)
            raise RelayAway(error)
        elif isinstance(error, Refused):
            self._settle(claim, "failed", cause="refused", error=f"The mail server refused it. {_sentence(error)}"[:300])
        else:
            self._put_off(claim, attempts=claim.attempts + 1)
        if is_line_lost and isinstance(error, Temporary):
            self._stumbles += 1
            if self._stumbles >= STUMBLES:
                raise RelayAway(error)

    def _put_off(self, claim: Claim, attempts: int) -> None:
        if needs_looking_at(attempts):
            self._settle(claim, "failed", cause="put_off", error=GIVEN_UP, attempts=attempts)
            return
        later = next_try_at(attempts, now())
        with transaction():
            self._settle_taken()
            settle(
                self.run_id, claim, state="waiting", error=PUT_OFF, cause="put_off", attempts=attempts,
                next_try_at=later, handed_at=None,
            )  # fmt: skip

    def _settle(self, claim: Claim, state: str, **values: object) -> None:
        self.counts[state] += 1
        with transaction():
            self._settle_taken()
            settle(self.run_id, claim, state=state, **values)


def _sentence(error: Refused) -> str:
    """The refusal's code in words; the mail server's own text is never kept."""
    return sentence_of((str(error).split() or [""])[-1])
