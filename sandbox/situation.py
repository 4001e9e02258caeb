"""What a preset is: a whole situation with a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.mailbox import Mailbox

if TYPE_CHECKING:
    from sandbox.state import World


@dataclass(frozen=True)
class Preset:
    """One situation. `apply` acts once on a mailbox; `rules` stay in force until they are switched off."""

    name: str
    title: str
    text: str
    apply: Callable[[World, Mailbox], None] | None = None
    rules: Callable[[World], list[dict[str, Any]]] | None = None
    needs_mailbox: bool = False
    provider: str = "google"  # whose mailboxes it is for; empty: everybody's


def expire_history(world: World, mailbox: Mailbox, floor: int | None = None) -> None:
    """Forget the history of a mailbox: every cursor or deltaLink handed out so far is refused from now on."""
    with world.lock:
        if floor is None:
            mailbox.history_id += 1
            floor = mailbox.history_id
        mailbox.history_floor = floor
        world.changed(mailbox, None, [])


def same_rules(*rules: dict[str, Any]) -> Callable[[World], list[dict[str, Any]]]:
    """Rules that are always the same."""
    return lambda _world: [dict(rule) for rule in rules]
