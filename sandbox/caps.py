"""How much a mailbox may send in a rolling day."""

from __future__ import annotations

from sandbox.mailbox import Mailbox
from sandbox.state import World

DAY = 86_400


def spend(world: World, mailbox: Mailbox, recipients: int, usual: int, per_mail: bool = False) -> float | None:
    """Count a send. None when it is within the cap (the mailbox's own `send_cap`, else `usual`), else when the oldest
    send was, so that a day later there is room. The cap counts recipients, or mails when `per_mail`.
    """
    now = world.clock.now()
    with world.lock:
        mailbox.sent_log = [(at, n) for at, n in mailbox.sent_log if at > now - DAY]
        used = len(mailbox.sent_log) if per_mail else sum(n for _, n in mailbox.sent_log)
        if used + (1 if per_mail else recipients) <= int((mailbox.send_cap or {}).get("limit", usual)):
            mailbox.sent_log.append((now, recipients))
            return None
        return mailbox.sent_log[0][0] if mailbox.sent_log else now
