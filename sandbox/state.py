"""The whole state of the stand-in, behind one lock."""

from __future__ import annotations

import random
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from sandbox.addresses import canonical
from sandbox.clock import Clock
from sandbox.faults import FaultRules, Quirks
from sandbox.inputs import BadInput
from sandbox.keys import SigningKey
from sandbox.mailbox import HistoryEntry, Mailbox, StoredMessage
from sandbox.microsoft.tokens import MsTokens
from sandbox.persistence import Store
from sandbox.quota import Quota
from sandbox.requestlog import RequestLog
from sandbox.routes import Router
from sandbox.settings import Settings
from sandbox.sink import Sink, SinkMail
from sandbox.smtp_faults import SmtpFaults
from sandbox.tokens import TokenStore

SCOPE_ERROR_FORMS = ("both", "errors", "details")  # the two bodies Google sends for a 403, or both at once


@dataclass
class Knobs:
    """Switches that are neither faults nor quotas."""

    latency_ms: int = 0
    part_latency_ms: int = 0  # a batch takes that much longer for each of its calls
    push_min_interval_ms: int = 1000  # Gmail drops notices above one a second per user
    scope_error_form: str = "both"  # one of SCOPE_ERROR_FORMS
    encoded_headers: bool = False  # show header values with their encoded words instead of decoded
    push_url: str = ""
    push_audience: str = ""
    push_email: str = ""
    smtp_user: str = ""  # the mail server's; with a name it offers sign-in and wants it
    smtp_password: str = ""


class World:
    """Mailboxes, tokens and everything that can go wrong. Change it only while holding `lock`."""

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.clock = Clock()
        self.store = store or Store(None)
        self.key = SigningKey.load(self.store)
        self.faults = FaultRules()
        self.quirks = Quirks()
        self.smtp_faults = SmtpFaults()
        self.quota = Quota(self.clock)
        self.log = RequestLog(self.clock)
        self.router = Router(settings.routes, self.log)
        self.tokens = TokenStore(self.clock, self.store)
        self.ms_tokens = MsTokens(self.clock, self.store)
        self.redirect_uris: set[str] = set(settings.redirect_uris)
        self.clear()
        self.read_back()

    def clear(self) -> None:
        """Forget everything but the signing key."""
        self.mailboxes: dict[str, Mailbox] = {}
        self.routes: dict[str, str] = {}  # canonical address -> mailbox address
        self.lists: dict[str, list[str]] = {}
        self.sink = Sink(on_gone=self.store.drop_sink)
        self.knobs = Knobs(
            push_url=self.settings.push_url,
            push_audience=self.settings.push_audience or self.settings.push_url,
            push_email=self.settings.push_email,
            smtp_user=self.settings.smtp_user,
            smtp_password=self.settings.smtp_password,
        )
        self.listeners: list[Any] = getattr(self, "listeners", [])
        self.clock.offset_seconds = 0.0

    def reset(self) -> None:
        """Begin anew, also on disk."""
        with self.lock:
            self.faults.clear()
            self.quirks.clear()
            self.smtp_faults.clear()
            self.quota.reset()
            self.router.clear()
            self.log.clear()
            self.tokens.clear()
            self.ms_tokens.clear()
            self.clear()
            self.store.wipe()

    # mailboxes -----------------------------------------------------------------------------------------------

    def create_mailbox(self, address: str, name: str = "", **values: Any) -> Mailbox:
        """A new mailbox, or the existing one with the given values changed. Raises BadInput."""
        address = address.strip().lower()
        with self.lock:
            mailbox = self.mailboxes.get(address)
            if mailbox is None:
                taken = self.routes.get(canonical(address))
                if taken:
                    raise BadInput(f"mail for {address} arrives at {taken} already", 409)
                mailbox = Mailbox(address, name or address.partition("@")[0])
                mailbox.sub = str(random.SystemRandom().randint(10**20, 10**21 - 1))
                mailbox.history_id = mailbox.history_floor = secrets.randbelow(900_000) + 100_000
                self.mailboxes[address] = mailbox
            elif name:
                mailbox.name = name
            for key, value in values.items():
                setattr(mailbox, key, value)
            self.route(mailbox)
            self.store.save_mailbox(mailbox)
        return mailbox

    def route(self, mailbox: Mailbox) -> None:
        """Let mail for the mailbox's addresses arrive in it."""
        for address in mailbox.own_addresses():
            self.routes[canonical(address)] = mailbox.address

    def mailbox_for(self, address: str) -> Mailbox | None:
        """The mailbox that receives mail for `address`: itself, an alias, a `+tag` or dotted form."""
        exact = self.mailboxes.get(address.strip().lower())
        return exact or self.mailboxes.get(self.routes.get(canonical(address), ""))

    def is_own_domain(self, address: str) -> bool:
        """Whether the stand-in is the mail host of the address's domain, so that unknown people bounce."""
        domain = address.rpartition("@")[2].lower()
        return any(known.rpartition("@")[2] == domain for known in self.mailboxes)

    def accounts(self, provider: str) -> list[Mailbox]:
        """The people with an account there, by address."""
        return sorted((box for box in self.mailboxes.values() if box.provider == provider), key=lambda box: box.address)

    def find_account(self, provider: str, hint: str) -> Mailbox | None:
        """The account there of an address or of a `sub`."""
        if not hint:
            return None
        found = self.mailbox_for(hint) if "@" in hint else None
        boxes = [found] if found else self.mailboxes.values()
        return next((box for box in boxes if box.provider == provider and (box is found or box.sub == hint)), None)

    def tokens_of(self, mailbox: Mailbox) -> TokenStore:
        """The tokens of the mailbox's provider."""
        return self.ms_tokens if mailbox.provider == "microsoft" else self.tokens

    # changes ----------------------------------------------------------------------------------------------------

    def changed(self, mailbox: Mailbox, message: StoredMessage | None, entries: list[HistoryEntry]) -> None:
        """Persist a change and tell the listeners (the push service) about it. Call with the lock held."""
        if message is not None:
            if message.id in mailbox.messages:
                self.store.save_message(mailbox, message)
            else:
                self.store.drop_message(mailbox, message.id)
        self.store.save_history(mailbox, entries)
        self.store.save_mailbox(mailbox)
        for listener in self.listeners:
            listener(mailbox, message, entries)

    def keep(self, mail: SinkMail) -> None:
        """Put a mail into the sink."""
        with self.lock:
            self.sink.add(mail)
            self.store.save_sink(mail)

    def empty_sink(self) -> None:
        """Forget the mails of the sink."""
        with self.lock:
            self.sink.clear()
            self.store.drop_kind("sink")

    def create_list(self, address: str, members: list[str]) -> None:
        """A mailing list that passes mail on to its members."""
        with self.lock:
            self.lists[address] = members
            self.store.put("value", "lists", self.lists)

    def read_back(self) -> None:
        """Fill the state from the store of an earlier run."""
        for mailbox in self.store.read_mailboxes():
            self.mailboxes[mailbox.address] = mailbox
            self.route(mailbox)
        for values in self.store.read_sink():
            self.sink.add(SinkMail(**values))
        self.lists = self.store.read_value("lists") or {}
        self.redirect_uris |= set(self.store.read_value("redirect_uris") or ())
        self.tokens.read_back()
        self.ms_tokens.read_back()
