"""What a mail server's status says, in one plain sentence; and what a delivery report tells about one mail.

Codes: RFC 3463 and its registry (enhanced status), RFC 5321 (three digits), RFC 3464 (delivery reports).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
BASIC = re.compile(r"(?<![\d.])([245])\d\d(?![\d.])")
MAX_STATUS = 500  # characters of a status or diagnostic that are read

SENTENCES = {
    "1.0": "The address was not accepted.",
    "1.1": "The address does not exist.",
    "1.2": "The part of the address after the @ does not exist.",
    "1.3": "The address is not written correctly.",
    "1.4": "The address fits more than one mailbox there.",
    "1.6": "The mailbox has moved, and nobody knows where.",
    "1.7": "The sender’s address is not written correctly.",
    "1.8": "The sender’s domain was not accepted.",
    "1.10": "The domain takes no mail at all.",
    "2.0": "The mailbox does not take mail at the moment.",
    "2.1": "The mailbox is switched off.",
    "2.2": "The mailbox is full.",
    "2.3": "The mail is larger than the mailbox takes.",
    "3.4": "The mail is larger than their mail server takes.",
    "4.1": "Their mail server does not answer.",
    "4.3": "Their mail server could not be found.",
    "4.4": "Their mail server could not be found.",
    "4.6": "It went in a circle between mail servers.",
    "4.7": "It could not be delivered in time.",
    "5.3": "It has more recipients than their mail server takes.",
    "7.0": "Their mail server refused it by its own rules.",
    "7.1": "Their mail server refused it by its own rules.",
    "7.8": "The sign-in at the mail server was refused.",
    "7.9": "The sign-in at the mail server was refused.",
    "7.23": "Their mail server could not confirm who sent it (SPF).",
    "7.25": "Their mail server could not confirm who sent it (reverse DNS).",
    "7.26": "Their mail server could not confirm who sent it (SPF, DKIM).",
}
SUBJECTS = {
    "1": "The address was not accepted.",
    "2": "The mailbox does not take mail at the moment.",
    "3": "Their mail server had a trouble of its own.",
    "4": "It could not be brought to their mail server.",
    "5": "The mail servers did not understand each other.",
    "6": "Their mail server does not take this kind of content.",
    "7": "Their mail server refused it by its own rules.",
}
BASIC_SENTENCES = {
    "421": "The mail server is not available at the moment.",
    "450": "The mailbox does not take mail at the moment.",
    "451": "The mail server had a trouble of its own.",
    "452": "The mail server has no room at the moment.",
    "530": "The mail server asks for a sign-in.",
    "535": "The sign-in at the mail server was refused.",
    "550": "The address was not accepted.",
    "551": "The mailbox is not at this mail server.",
    "552": "The mailbox is full, or the mail is too large.",
    "553": "The address is not written correctly.",
    "554": "The mail server refused it.",
}
NO_REASON = "The mail server gave no reason."
LATER = "The mail server asked to try again later."


class Report(StrEnum):
    """What a delivery report says became of a mail."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"  # also relayed, expanded: good news changes nothing


@dataclass(frozen=True)
class ReportFacts:
    """A delivery report on one mail: what became of it, and the codes that say why ("" where it gave none)."""

    report: Report
    status: str = ""


def sentence_of(status: str) -> str:
    """One plain sentence for a status such as "5.1.1", "550 5.1.1" or "550". Never the server's own words."""
    status = status[:MAX_STATUS]
    if match := ENHANCED.search(status):
        group, subject, detail = match.groups()
        found = SENTENCES.get(f"{subject}.{detail}") or SUBJECTS.get(subject)
        if found:
            return found
        return LATER if group == "4" else NO_REASON
    if match := BASIC.search(status):
        return BASIC_SENTENCES.get(match[0]) or (LATER if match[0][0] == "4" else NO_REASON)
    return NO_REASON


def code_of(status: str) -> str:
    """The code alone ("5.1.1", else "550"), to be shown beside the sentence; "" where there is none."""
    match = ENHANCED.search(status[:MAX_STATUS]) or BASIC.search(status[:MAX_STATUS])
    return match[0] if match else ""


def reason_of(status: str) -> str:
    """The sentence with the code, as it is shown at a mail that came back: "The address does not exist. (5.1.1)"."""
    code = code_of(status)
    return f"{sentence_of(status)} ({code})" if code else sentence_of(status)


def judge_report(fields: list[tuple[str, str, str]]) -> ReportFacts | None:
    """What a report says, from the (Action, Status, Diagnostic-Code) of each of its recipients; None when nothing.

    A failure of one recipient counts before a delay, a delay before good news (RFC 3464, sections 2.3.3 and 2.3.4). A
    report without a readable action goes by its status.
    """
    found = [ReportFacts(kind, _status(status, diagnostic)) for action, status, diagnostic in fields
             if (kind := _kind(action, status))]  # fmt: skip
    order = (Report.FAILED, Report.DELAYED, Report.DELIVERED)
    return min(found, key=lambda fact: order.index(fact.report)) if found else None


def _kind(action: str, status: str) -> Report | None:
    word = action.strip().lower()
    if word in ("failed", "delayed"):
        return Report(word)
    if word in ("delivered", "relayed", "expanded"):
        return Report.DELIVERED
    code = code_of(status)
    return {"5": Report.FAILED, "4": Report.DELAYED, "2": Report.DELIVERED}.get(code[:1])


def _status(status: str, diagnostic: str) -> str:
    """The more telling of the two: many servers write 5.0.0 and put the true code into the diagnostic."""
    code = code_of(status)
    if code and not code.endswith(".0.0"):
        return code
    return code_of(diagnostic.partition(";")[2] or diagnostic) or code
