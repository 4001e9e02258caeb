"""What Gmail keeps apart of a message's parts."""

from __future__ import annotations

from portal.providers.parts import Part, is_body, leaves


def distant_texts(message: Part) -> list[Part]:
    """The bodies of a message's own text that Gmail kept apart behind an attachment id."""
    payload = message.get("payload")
    if not isinstance(payload, dict):
        return []
    found = leaves(payload, set())
    bodies = [part.get("body") or {} for part, mime in found if is_body(part, mime)]
    return [body for body in bodies if "data" not in body and body.get("attachmentId")]
