"""Notices of new mail: one subscription for each of the two folders, renewed while it lives, made anew when it is gone.

Source: Graph's pages on change notifications: mail without its data lives less than seven days, and the address for
lifecycle notices can be given at the beginning only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from portal.lib.clock import now
from portal.providers.errors import Gone, ProviderError, Temporary
from portal.providers.microsoft.client import GraphClient
from portal.providers.types import Held, Watch

RESOURCES = ("me/mailFolders('inbox')/messages", "me/mailFolders('sentitems')/messages")
NOTICES, LIFECYCLE = "/webhooks/microsoft/graph", "/webhooks/microsoft/lifecycle"
LIFE = timedelta(days=6, hours=12)


async def watch_folders(client: GraphClient, base_url: str, secret: str, held: Sequence[Held]) -> Watch:
    """Renew what is held and make what lacks. When that fails half-way, what was made is ended again."""
    known = {subscription.resource: subscription for subscription in held}
    made: list[Held] = []
    alive: list[Held] = []
    try:
        for resource in RESOURCES:
            renewed = await _renew(client, known[resource]) if resource in known else None
            if renewed is None:
                renewed = await _create(client, base_url, secret, resource)
                made.append(renewed)
            alive.append(renewed)
    except ProviderError:
        with suppress(ProviderError):
            await end_watch(client, made)
        raise
    return Watch(min(subscription.expires_at for subscription in alive), tuple(alive))


async def end_watch(client: GraphClient, held: Sequence[Held]) -> None:
    """End subscriptions; those that are gone already are fine. Raises the first trouble after having tried all."""
    trouble: ProviderError | None = None
    for subscription in held:
        try:
            with suppress(Gone):
                await client.write("DELETE", _path(subscription))
        except ProviderError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble


async def _renew(client: GraphClient, held: Held) -> Held | None:
    """The subscription with its new end; None when Graph no longer has it."""
    try:
        answer = await client.write("PATCH", _path(held), {"expirationDateTime": _stamp(now() + LIFE)})
    except Gone:
        return None
    return Held(held.remote_id, held.resource, _end_of(answer))


async def _create(client: GraphClient, base_url: str, secret: str, resource: str) -> Held:
    """A new subscription. Graph asks our address for a sign of life before it answers."""
    answer = await client.write("POST", "/subscriptions", {
        "changeType": "created", "resource": resource, "clientState": secret,
        "notificationUrl": base_url + NOTICES, "lifecycleNotificationUrl": base_url + LIFECYCLE,
        "expirationDateTime": _stamp(now() + LIFE),
    })  # fmt: skip
    if not answer.get("id"):
        raise Temporary("a subscription without an id")
    return Held(str(answer["id"]), resource, _end_of(answer))


def _end_of(answer: dict[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(str(answer.get("expirationDateTime") or ""))
    except ValueError:
        return now() + LIFE
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(held: Held) -> str:
    return f"/subscriptions/{quote(held.remote_id, safe='')}"
