"""One try of a mail server, and what its outcome is called: in a word for the trail, in sentences for the page."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from portal.lib.clock import now
from portal.lib.ids import new_id, new_token
from portal.models import Account, MailRelay
from portal.providers.errors import OperatorFault, ProviderError, Refused, Unanswered
from portal.providers.smtp.relay import (
    HostRefused,
    RelayServer,
    RelaySession,
    SenderRefused,
    SignInRefused,
    TlsRefused,
)
from portal.rules.addresses import Address, match_key
from portal.rules.routing import Route, routed_address
from portal.sending.mime import OutgoingMail, build_mime

PASSED = "passed"
KINDS: tuple[tuple[type[ProviderError], str, str], ...] = (
    (SignInRefused, "sign_in", "The server refused the sign-in. Check user name and password; some mail services want a"
     " password of their own for programs."),
    (TlsRefused, "tls", "There is no encryption with this server that can be trusted: it offers none, an old kind, or a"
     " certificate that is not for this host name. No password was sent. Check the host name and the kind of encryption."),
    (HostRefused, "host", "This name leads to a place that the portal does not talk to: a private network, or the Internet"
     " without encryption. Use the server’s public name, with encryption."),
    (OperatorFault, "turned_away", "The server answers and turns the portal away before any mail. Ask whoever runs it to let"
     " the portal in."),
    (SenderRefused, "sender", "The sign-in worked, but the server takes no mail with the portal’s return address, to which"
     " delivery reports come back. Ask whoever runs it to allow {sender_domain}."),
    (Refused, "mail", "The sign-in worked, but the server refused the test mail. It may not send for the domain of the From"
     " address, or not to you."),
    (Unanswered, "uncertain", "The server took the test mail and gave no answer in time. Look into your mailbox, then test"
     " again."),
    (ProviderError, "unreachable", "Nobody answered as a mail server should at this host and port. Check both, and the kind"
     " of encryption; or the server is away for the moment."),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How a try went; no `words` when it passed."""

    kind: str
    words: str = ""


@dataclass(frozen=True)
class Letter:
    """A sender to ask for, and the test mail with its one recipient, if one is wanted."""

    sender: str
    recipient: str = ""
    raw: bytes = b""


def letter(account: Account, relay: MailRelay, recipient: str) -> Letter:
    """What the try offers: the return address is of the kind that every mail bears (G-22)."""
    sender = routed_address(Route.BOUNCE, new_token(), current_app.extensions["settings"].reply_domain)
    if not recipient:
        return Letter(sender)
    place = f"{account.name}, {account.location}"
    mail = OutgoingMail(
        sender=Address(relay.from_email, match_key(relay.from_email), relay.from_name),
        to=(Address(recipient, match_key(recipient)),),
        subject=f"Test mail of {place}",
        text=f"The mail server of {place} works: this mail came through it.\n\nYou asked for it in the portal’s settings.",
        crm_ref=new_id(),
        written_at=now(),
        marks=(("Auto-Submitted", "auto-generated"),),
    )
    return Letter(sender, recipient, build_mime(mail))


def run(server: RelayServer, wanted: Letter) -> Result:
    """Try it for real. Nothing of what the server wrote is kept but its reply codes."""
    try:
        with RelaySession(server) as session:
            if wanted.raw:
                session.send(wanted.raw, wanted.sender, [wanted.recipient])
            else:
                session.probe(wanted.sender)
    except ProviderError as error:
        kind, words = next((kind, words) for known, kind, words in KINDS if isinstance(error, known))
        code = f" The server’s code was {error.args[0]}." if isinstance(error, Refused) else ""
        return Result(kind, words.format(sender_domain=wanted.sender.rpartition("@")[2]) + code)
    return Result(PASSED)
