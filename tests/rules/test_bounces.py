"""Statuses in words, and what a delivery report says."""

from __future__ import annotations

import pytest

from portal.rules.bounces import Report, ReportFacts, code_of, judge_report, reason_of, sentence_of


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("5.1.1", "The address does not exist."),
        ("550 5.1.1", "The address does not exist."),
        ("smtp; 550-5.2.2 over quota", "The mailbox is full."),
        ("4.4.1", "Their mail server does not answer."),
        ("5.7.26", "Their mail server could not confirm who sent it (SPF, DKIM)."),
        ("5.1.99", "The address was not accepted."),
        ("5.0.0", "The mail server gave no reason."),
        ("4.0.0", "The mail server asked to try again later."),
        ("550", "The address was not accepted."),
        ("499", "The mail server asked to try again later."),
        ("599", "The mail server gave no reason."),
        ("", "The mail server gave no reason."),
        ("see 192.5.1.1.7", "The mail server gave no reason."),
        ("<b>victim</b> " * 100_000, "The mail server gave no reason."),
    ],
)
@pytest.mark.rule("G-22")
def test_a_status_becomes_one_sentence(status: str, sentence: str) -> None:
    assert sentence_of(status) == sentence


def test_the_code_stands_beside_the_sentence() -> None:
    assert code_of("550 5.1.1 no such user") == "5.1.1"
    assert reason_of("550 5.1.1") == "The address does not exist. (5.1.1)"
    assert reason_of("nonsense") == "The mail server gave no reason."


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([("failed", "5.1.1", "smtp; 550 5.1.1 unknown")], ReportFacts(Report.FAILED, "5.1.1")),
        ([("Failed ", "5.0.0", "smtp; 552 5.2.2 full")], ReportFacts(Report.FAILED, "5.2.2")),
        ([("failed", "5.0.0", "")], ReportFacts(Report.FAILED, "5.0.0")),
        ([("failed", "", "smtp; 550 go away")], ReportFacts(Report.FAILED, "550")),
        ([("delayed", "4.4.1", "")], ReportFacts(Report.DELAYED, "4.4.1")),
        ([("delivered", "2.0.0", ""), ("failed", "5.1.1", "")], ReportFacts(Report.FAILED, "5.1.1")),
        ([("relayed", "2.0.0", "")], ReportFacts(Report.DELIVERED, "2.0.0")),
        ([("", "5.4.4", "")], ReportFacts(Report.FAILED, "5.4.4")),
        ([("", "4.4.7", "")], ReportFacts(Report.DELAYED, "4.4.7")),
        ([("bounced?!", "what", "")], None),
        ([], None),
    ],
)
@pytest.mark.rule("G-22")
def test_a_report_is_judged_by_action_then_status(
    fields: list[tuple[str, str, str]], found: ReportFacts | None
) -> None:
    assert judge_report(fields) == found
