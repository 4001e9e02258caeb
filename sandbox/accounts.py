"""What people and administrators do to an account, at either provider."""

from __future__ import annotations

import secrets

from sandbox.mailbox import Mailbox
from sandbox.microsoft.tokens import object_id, tenant_id
from sandbox.state import World

SORTS = {  # what people call an account: (provider, kind)
    "Gmail": ("google", "consumer"), "Google Workspace": ("google", "workspace"),
    "Outlook.com": ("microsoft", "consumer"), "Microsoft 365": ("microsoft", "workspace"),
}  # fmt: skip


def sort_of(mailbox: Mailbox) -> str:
    """What people call this account."""
    return next(title for title, sort in SORTS.items() if sort == (mailbox.provider, mailbox.kind))


def subject_of(mailbox: Mailbox) -> str:
    """What names the account for an app: Google's `sub`, or Microsoft's `tid:oid`."""
    return f"{tenant_id(mailbox)}:{object_id(mailbox)}" if mailbox.provider == "microsoft" else mailbox.sub


def revoke(world: World, mailbox: Mailbox) -> int:
    """End all tokens of the app, as the person does in the account. How many ended."""
    if mailbox.provider == "microsoft":
        return world.ms_tokens.cut(mailbox.address, 50173)
    return world.tokens.kill(mailbox.address)


def change_password(world: World, mailbox: Mailbox, password: str = "", *, by_admin: bool = False) -> int:
    """Change the password (to the same one when none is given). How many tokens ended.

    At Google those with a Gmail scope end. At Microsoft those of a work account live on unless an administrator resets
    the password; those of a personal account end
    (https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens#token-revocation).
    """
    with world.lock:
        mailbox.password = password or mailbox.password
        world.store.save_mailbox(mailbox)
        if mailbox.provider != "microsoft":
            return world.tokens.kill(mailbox.address, gmail_only=True)
        is_ended = by_admin or mailbox.kind == "consumer"
        return world.ms_tokens.cut(mailbox.address, 50173) if is_ended else 0


def demand_code(world: World, mailbox: Mailbox, *, is_on: bool = True) -> None:
    """Let Microsoft's sign-in of this person ask for a (new) code after the password, or no longer."""
    with world.lock:
        mailbox.code = f"{secrets.randbelow(1_000_000):06d}" if is_on else ""  # as an authenticator app shows them
        world.store.save_mailbox(mailbox)
