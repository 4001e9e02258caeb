"""Push subscriptions of a grant: the secret that its notices bear, and which of them stand at the provider."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

from flask import current_app
from sqlalchemy import delete, select

from portal.database import db
from portal.lib.ids import new_id
from portal.models import Subscription
from portal.providers.types import Held, Watch


def secret_of(grant_id: UUID) -> str:
    """What a genuine notice about this grant bears (Graph's clientState, at most 128 characters).

    Made from the portal's own key each time it is needed, so that it is stored nowhere.
    """
    key: str = current_app.extensions["settings"].secret_key
    return hmac.new(key.encode(), b"subscription:" + grant_id.bytes, sha256).hexdigest()


def is_secret_of(grant_id: UUID, said: str) -> bool:
    """Whether `said` is that secret; takes as long for a wrong one as for the right one (WHK-1)."""
    return hmac.compare_digest(secret_of(grant_id).encode(), said.encode())


def held_of(grant_id: UUID) -> tuple[Held, ...]:
    """The subscriptions that the provider keeps for a grant, as far as we know."""
    query = select(Subscription).where(Subscription.grant_id == grant_id).order_by(Subscription.resource, Subscription.id)
    return tuple(Held(row.remote_id, row.resource, row.expires_at) for row in db.session.scalars(query))


def store_held(grant_id: UUID, watch: Watch | None) -> None:
    """Keep exactly the subscriptions that a watch rests on; with None, none. In the caller's transaction."""
    wanted = {held.remote_id: held for held in (watch.held if watch else ())}
    query = select(Subscription).where(Subscription.grant_id == grant_id)
    for row in db.session.scalars(query):
        held = wanted.pop(row.remote_id, None)
        if held is None:
            db.session.delete(row)
        else:
            row.resource, row.expires_at = held.resource, held.expires_at
    for held in wanted.values():
        db.session.add(
            Subscription(
                id=new_id(), grant_id=grant_id, remote_id=held.remote_id, resource=held.resource, expires_at=held.expires_at
            )
        )


def grants_of(remote_ids: Iterable[str]) -> dict[str, UUID]:
    """Whose subscriptions these are, by the provider's id; one that we do not keep is left out. Compared case by case."""
    query = select(Subscription.remote_id, Subscription.grant_id).where(Subscription.remote_id.in_(set(remote_ids)))
    return {row.remote_id: row.grant_id for row in db.session.execute(query)}


def drop_held(remote_id: str) -> None:
    """Forget a subscription that the provider has ended. In the caller's transaction."""
    db.session.execute(delete(Subscription).where(Subscription.remote_id == remote_id))
