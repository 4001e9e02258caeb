"""The risk acknowledgement: what a signature needs, and what it is still worth (H-02, H-06, H-07)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

RISKS = ("a", "b", "c", "d", "e", "f")


class Standing(StrEnum):
    """What a person's newest signature is worth now."""

    CURRENT = "current"
    OUTDATED_IN_GRACE = "outdated_in_grace"
    OUTDATED_EXPIRED = "outdated_expired"
    MISSING = "missing"

    @property
    def allows_connect(self) -> bool:
        """Only the newest text opens the way to a provider (H-07)."""
        return self is Standing.CURRENT

    @property
    def allows_sync(self) -> bool:
        """A connected mailbox goes on for the grace period (H-06)."""
        return self in (Standing.CURRENT, Standing.OUTDATED_IN_GRACE)


def judge_standing(signed: int | None, published: Mapping[int, datetime], grace_days: int, now: datetime) -> Standing:
    """The standing of a signature under version `signed` (None: never signed).

    `published` tells when each version was first shown. Grace begins with the first version that is newer than the
    signed one, so that a third text does not lengthen what the second began.
    """
    if signed is None:
        return Standing.MISSING
    ends = grace_end(signed, published, grace_days)
    if ends is None:
        return Standing.CURRENT
    return Standing.OUTDATED_IN_GRACE if now < ends else Standing.OUTDATED_EXPIRED


def grace_end(signed: int, published: Mapping[int, datetime], grace_days: int) -> datetime | None:
    """When sync pauses for a signature that a newer text has overtaken; None while it is the newest."""
    newer = [moment for version, moment in published.items() if version > signed]
    return min(newer) + timedelta(days=grace_days) if newer else None


@dataclass(frozen=True)
class Missing:
    """What a signature still lacks: letters of risks not ticked, and whether the name is not the person's own."""

    risks: tuple[str, ...]
    name: bool

    def __bool__(self) -> bool:
        return bool(self.risks) or self.name

    def sentence(self, full_name: str) -> str:
        """What to do, as one sentence: "tick risks E and F, then type Owen Castellano"; "" when nothing is missing."""
        steps = []
        if self.risks:
            letters = [risk.upper() for risk in self.risks]
            listed = " and ".join([", ".join(letters[:-1]), letters[-1]] if len(letters) > 1 else letters)
            steps.append(f"tick risk{'s' if len(letters) > 1 else ''} {listed}")
        if self.name:
            steps.append(f"type {full_name}")
        return ", then ".join(steps)


def find_missing(ticked: Iterable[str], typed_name: str, full_name: str) -> Missing:
    """What is missing for a valid signature: every risk ticked on its own, and the signer's full name typed."""
    got = set(ticked)
    return Missing(
        tuple(risk for risk in RISKS if risk not in got), _plain(typed_name) != _plain(full_name) or not full_name.strip()
    )


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
