"""Roles and what they may do (A-01), as data. Everything not listed is denied."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """An action. One that ends in `.read` hides its pages (404) from those who lack it; the others refuse (403)."""

    OWN_PROFILE = "profile.own"
    CONNECT_OWN = "connection.own"
    READ_CONTACTS = "contacts.read"
    WRITE_CONTACTS = "contacts.write"
    READ_CONVERSATIONS = "conversations.read"
    WRITE_MAIL = "conversations.write"
    READ_ACKNOWLEDGEMENTS = "acknowledgements.read"
    READ_CONNECTIONS = "connections.read"
    PAUSE_CONNECTIONS = "connections.pause"
    READ_CAMPAIGNS = "campaigns.read"
    WRITE_CAMPAIGNS = "campaigns.write"
    READ_AUTOMATIONS = "automations.read"
    WRITE_AUTOMATIONS = "automations.write"
    READ_POLICY = "policy.read"
    WRITE_POLICY = "policy.write"

    @property
    def hides(self) -> bool:
        return self.value.endswith(".read")


P = Permission
_EVERYBODY = {P.OWN_PROFILE}
_OUTREACH = {P.READ_CAMPAIGNS, P.WRITE_CAMPAIGNS, P.READ_AUTOMATIONS}
_CARE = _EVERYBODY | _OUTREACH | {
    P.CONNECT_OWN, P.READ_CONTACTS, P.WRITE_CONTACTS, P.READ_CONVERSATIONS, P.WRITE_MAIL,
}  # fmt: skip

ROLE_LABELS = {
    "owner": "Owner, admin",
    "compliance": "Compliance officer",
    "provider": "Provider",
    "front_desk": "Front desk",
    "marketing": "Marketing",
    "vendor": "Vendor",
    "auditor": "Auditor",
}

ROLE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "owner": frozenset(Permission),
    "compliance": frozenset(
        _EVERYBODY
        | {P.READ_CONTACTS, P.READ_ACKNOWLEDGEMENTS, P.READ_CONNECTIONS, P.READ_POLICY}
        | {P.READ_CAMPAIGNS, P.READ_AUTOMATIONS}
    ),
    "provider": frozenset(_CARE),
    "front_desk": frozenset(_CARE),
    "marketing": frozenset(_EVERYBODY | _OUTREACH | {P.READ_CONTACTS, P.WRITE_AUTOMATIONS}),
    "vendor": frozenset(_EVERYBODY),
    "auditor": frozenset(_EVERYBODY | {P.READ_ACKNOWLEDGEMENTS, P.READ_CONNECTIONS}),
}


def role_may(role: str, permission: Permission) -> bool:
    """Whether a role has a permission; an unknown role has none."""
    return permission in ROLE_PERMISSIONS.get(role, frozenset())
