"""What a person says of a mail that perhaps left through the practice's mail server, where nobody can be asked (NET-4)."""

from __future__ import annotations

from portal import queues
from portal.audit import events
from portal.audit.service import record
from portal.database import db
from portal.lib.clock import now
from portal.models import Message, OutboxMail
from portal.rules.sending import Path
from portal.sending.individual import refuse_other_way
from portal.sending.outcomes import settle_arrived

ARRIVED, SEND_AGAIN = "arrived", "send_again"


def declare(outbox: OutboxMail, said: str) -> bool:
    """Take the writer's word; false where nothing is uncertain, or the mailbox itself can be asked.

    The caller holds the row's lock. Raises SendRefused when it shall be sent again and the mail server is gone.
    """
    is_open = outbox.state == "unknown" and outbox.path == Path.PROVIDER.value
    if not is_open or said not in (ARRIVED, SEND_AGAIN):
        return False
    message = db.session.get_one(Message, outbox.message_id)
    if said == ARRIVED:
        settle_arrived(outbox)
    else:
        refuse_other_way(outbox, None)
        outbox.may_have_left = True
        outbox.state, outbox.handed_at, outbox.attempts, outbox.next_try_at = "prepared", None, 0, now()
        message.state = "sending"
        queues.enqueue("sending.send_mail", outbox.id, on=queues.SENDING, once=f"send-{outbox.id}")
    record(events.MAIL_DECLARED, message, said=said)
    return True
