"""Read the body of a Graph notification: one or several elements, each about one subscription.

learn.microsoft.com/graph/change-notifications-delivery-webhooks and …-lifecycle-events
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from portal.connections.watching import grants_of, is_secret_of

MOST = 1_000  # elements of one POST; Graph sends far fewer
LONGEST = 200  # characters of an id


@dataclass(frozen=True)
class Element:
    """What one element says. Nothing of it is believed before `genuine` has looked at it; then it is still a hint."""

    subscription_id: str
    secret: str = field(repr=False)
    change: str  # what makes one notice the same as another: kind of change, mail, and which state of the mail
    event: str  # reauthorizationRequired, subscriptionRemoved, missed; "" for a change

    @property
    def notice_id(self) -> str:
        """The same for a notice that comes again. A draft and its sent copy, one mail to Graph, differ by their state."""
        return f"graph:{self.subscription_id}:{self.change}" if self.change else ""


def read_elements(body: bytes) -> tuple[Element, ...] | None:
    """The elements that can be read; None for a body that is no notification."""
    try:
        value = orjson.loads(body)["value"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    if not isinstance(value, list) or not 0 < len(value) <= MOST:
        return None
    return tuple(element for row in value if (element := _read(row)) is not None)


def _read(row: Any) -> Element | None:
    if not isinstance(row, dict):
        return None
    texts = [row.get(name, "") for name in ("subscriptionId", "clientState", "changeType", "lifecycleEvent")]
    if not all(isinstance(text, str) for text in texts):
        return None
    subscription_id, secret, kind, event = texts
    if not 0 < len(subscription_id) <= LONGEST or not subscription_id.isprintable():  # PostgreSQL takes no zero byte
        return None
    data = row.get("resourceData")
    mail = _text(data, "id")
    return Element(subscription_id, secret, f"{kind}:{mail}:{_text(data, '@odata.etag')}" if mail else "", event)


def _text(data: Any, name: str) -> str:
    value = data.get(name) if isinstance(data, dict) else ""
    return value if isinstance(value, str) else ""


def genuine(elements: Sequence[Element]) -> Iterator[tuple[UUID, Element]]:
    """Those of a subscription that we keep and that bear its secret, each with the grant that it concerns (WHK-1).

    A wrong one takes nothing from the others.
    """
    owners = grants_of(element.subscription_id for element in elements)
    for element in elements:
        grant_id = owners.get(element.subscription_id)
        if grant_id is not None and is_secret_of(grant_id, element.secret):
            yield grant_id, element
