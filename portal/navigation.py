"""The menu as data: group, label, icon, endpoint, permission. What one may not open is absent."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request, url_for

from portal.access.decorators import may
from portal.access.permissions import Permission


@dataclass(frozen=True)
class Item:
    """One line of the menu. It is current on its own page, on every page of `blueprints`, and on the pages of `also`."""

    group: str
    label: str
    icon: str
    endpoint: str
    permission: Permission
    blueprints: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the page exists and the signed-in person may open it."""
        return self.endpoint in current_app.view_functions and may(self.permission)

    @property
    def is_current(self) -> bool:
        """Whether the page being shown belongs to this line."""
        return request.endpoint in (self.endpoint, *self.also) or request.blueprint in self.blueprints


MENU = (
    Item("Work", "Conversations", "messages", "conversations.list_conversations", Permission.READ_CONVERSATIONS,
         blueprints=("conversations", "sending", "outbox", "drafts")),
    Item("Work", "Contacts", "address-book", "contacts.list_contacts", Permission.READ_CONTACTS,
         blueprints=("contacts", "imports")),
    Item("Work", "Campaigns", "speakerphone", "campaigns.list_campaigns", Permission.READ_CAMPAIGNS,
         blueprints=("campaigns", "campaign_writing", "campaign_running")),
    Item("Work", "Automations", "bolt", "automations.list_automations", Permission.READ_AUTOMATIONS,
         blueprints=("automations",)),
    Item("Compliance", "Acknowledgements", "file-check", "connections.list_acknowledgements",
         Permission.READ_ACKNOWLEDGEMENTS, also=("connections.show_acknowledgement_record",)),
    Item("Compliance", "Connections", "plug-connected", "connections.list_connections", Permission.READ_CONNECTIONS,
         also=("connections.pause_connection",)),
    Item("Compliance", "Account rules", "adjustments", "admin.show_policy", Permission.READ_POLICY,
         blueprints=("admin", "relay")),
)  # fmt: skip
SETTINGS = Item(
    "", "Settings", "settings", "profile.show_profile", Permission.OWN_PROFILE,
    blueprints=("profile", "sync", "bcc", "bcc_addresses"),
    also=(
        "connections.show_acknowledgement", "connections.sign_acknowledgement", "connections.finish_connection",
        "connections.begin_connection", "connections.confirm_update",
        "connections.confirm_disconnect", "connections.disconnect_mailbox",
    ),
)  # fmt: skip


def groups() -> list[dict[str, object]]:
    """The groups of the menu with the items that the signed-in person may open."""
    found: dict[str, list[dict[str, object]]] = {}
    for item in MENU:
        if item.is_open:
            found.setdefault(item.group, []).append(_line(item))
    return [{"label": label, "items": items} for label, items in found.items()]


def settings_link() -> dict[str, object] | None:
    """The line below the hairline; None for a person who works nowhere."""
    return _line(SETTINGS) if SETTINGS.is_open else None


def first_page() -> str | None:
    """The address of the first page that the signed-in person may open, in the menu's order; None for none."""
    return next((url_for(item.endpoint) for item in (*MENU, SETTINGS) if item.is_open), None)


def _line(item: Item) -> dict[str, object]:
    href = url_for(item.endpoint)
    return {"label": item.label, "icon": item.icon, "href": href, "current": item.is_current, "count": None}
