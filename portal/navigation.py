"""The menu as data: group, label, icon, endpoint, permission. What one may not open is absent."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request, url_for

from portal.access.decorators import may
from portal.access.permissions import Permission


@dataclass(frozen=True)
class Item:
    """One line of the menu. `section` is the blueprint that marks it current."""

    group: str
    label: str
    icon: str
    endpoint: str
    permission: Permission


MENU = (
    Item("Work", "Conversations", "messages", "conversations.list_conversations", Permission.READ_CONVERSATIONS),
    Item("Work", "Contacts", "address-book", "contacts.list_contacts", Permission.READ_CONTACTS),
    Item("Compliance", "Acknowledgements", "file-check", "connections.list_acknowledgements",
         Permission.READ_ACKNOWLEDGEMENTS),
    Item("Compliance", "Connections", "plug-connected", "connections.list_connections", Permission.READ_CONNECTIONS),
)  # fmt: skip


def groups() -> list[dict[str, object]]:
    """The groups of the menu with the items that the signed-in person may open."""
    found: dict[str, list[dict[str, object]]] = {}
    for item in MENU:
        if item.endpoint in current_app.view_functions and may(item.permission):
            current = request.endpoint == item.endpoint or request.blueprint == item.endpoint.split(".")[0]
            found.setdefault(item.group, []).append(
                {"label": item.label, "icon": item.icon, "href": url_for(item.endpoint), "current": current, "count": None}
            )
    return [{"label": label, "items": items} for label, items in found.items()]
