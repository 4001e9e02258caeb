"""The status vocabulary: for every state one word, one icon and one tone, said the same way on every page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """How a state is shown. `tone` is ok, warn, bad, info, mute or ink."""

    word: str
    icon: str
    tone: str


VOCABULARY: dict[str, Status] = {
    "on": Status("On", "circle-check", "ok"),
    "in_sync": Status("In sync", "circle-check", "ok"),
    "connected": Status("Connected", "circle-check", "ok"),
    "needs_attention": Status("Needs attention", "alert-triangle", "warn"),
    "not_connected": Status("Not connected", "plug-off", "mute"),
    "routed": Status("Answers come back here", "circle-check", "ok"),
    "paused": Status("Paused", "player-pause", "mute"),
    "ended": Status("Ended", "circle-minus", "mute"),
    "safest": Status("Safest", "shield-check", "ok"),
    "low_risk": Status("Low risk", "shield", "mute"),
    "high_risk": Status("High risk", "alert-triangle", "bad"),
    "critical": Status("Critical", "bars-4", "bad"),
    "high": Status("High", "bars-3", "bad"),
    "medium": Status("Medium", "bars-2", "warn"),
    "low": Status("Low", "bars-1", "mute"),
    "strong": Status("Strong", "bars-4", "ink"),
    "evidence_medium": Status("Medium", "bars-2", "ink"),
    "none": Status("None", "bars-0", "ink"),
    "clinical": Status("Clinical", "stethoscope", "info"),
    "general": Status("General", "message", "mute"),
    "internal": Status("Internal", "building", "mute"),
    "hr_finance": Status("HR and finance", "receipt", "mute"),
    "logged": Status("Logged", "circle-check", "ok"),
    "passed": Status("Passed", "check", "ok"),
    "held": Status("Held for review", "mail-pause", "warn"),
    "left_out": Status("Left out", "circle-minus", "mute"),
    "file_left_out": Status("Left out", "file-off", "warn"),
    "unreadable": Status("Could not be read", "file-alert", "warn"),
    "look_at_this": Status("Look at this", "alert-triangle", "warn"),
    "this_decided": Status("This decided", "x", "bad"),
    "open": Status("Open", "circle", "mute"),
    "in_review": Status("In review", "progress", "info"),
    "mitigated": Status("Mitigated", "circle-check", "ok"),
    "accepted": Status("Accepted with reason", "file-check", "mute"),
    "false_positive": Status("False positive", "ban", "mute"),
    "no_owner": Status("No owner", "user-question", "warn"),
    "due_today": Status("Today", "clock", "warn"),
    "overdue": Status("Overdue", "clock", "bad"),
    "verified": Status("Verified", "circle-check", "ok"),
    "draft": Status("Draft", "edit", "mute"),
    "waiting": Status("Waiting", "clock", "mute"),
    "sending": Status("Sending", "progress", "info"),
    "sent": Status("Sent", "check", "ok"),
    "not_sent": Status("Not sent", "alert-triangle", "bad"),
    "unsure": Status("Perhaps sent", "help-circle", "warn"),
    "queued": Status("Waits for the cap", "clock", "warn"),
    "scheduled": Status("Scheduled", "clock", "info"),
    "skipped": Status("Skipped", "circle-minus", "mute"),
    "done": Status("Done", "circle-check", "ok"),
    "running": Status("Running", "progress", "info"),
    "stopped": Status("Stopped", "circle-minus", "mute"),
    "off": Status("Off", "circle-minus", "mute"),
}


def status_of(key: str) -> Status:
    """The status with this key. Raises KeyError: a word outside the vocabulary is a mistake of ours."""
    return VOCABULARY[key]
