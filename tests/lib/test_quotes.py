"""Where a mail's own text ends and the quoted mail begins."""

from __future__ import annotations

import time

import pytest

from portal.lib.quotes import split_quoted

GMAIL = "On Mon, Nov 9, 2026 at 2:42 PM Pat Rivers <pat@gmail.com> wrote:"


@pytest.mark.parametrize(
    ("text", "own", "quoted"),
    [
        ("Hello", "Hello", ""),
        ("", "", ""),
        (f"Thanks\n\n{GMAIL}\n> Hi\n> there", "Thanks", f"{GMAIL}\n> Hi\n> there"),
        ("Thanks\n\nOn Mon, Nov 9, 2026 at 2:42 PM Pat Rivers\n<pat@gmail.com> wrote:\n\n> Hi", "Thanks", None),
        (
            "Danke\n\nAm 09.11.26 um 14:42 schrieb Pat:\n> Hallo",
            "Danke",
            "Am 09.11.26 um 14:42 schrieb Pat:\n> Hallo",
        ),
        ("Merci\n\nLe lun. 9 nov. 2026 à 14:42, Pat a écrit :\n> Salut", "Merci", None),
        ("Ok\n\n-----Original Message-----\nFrom: Pat\nhi", "Ok", "-----Original Message-----\nFrom: Pat\nhi"),
        (
            "Ok\n\nFrom: Pat\nSent: Monday\nTo: Amy\nSubject: x\n\nhi",
            "Ok",
            "From: Pat\nSent: Monday\nTo: Amy\nSubject: x\n\nhi",
        ),
        ("Ok\n> a\n> b", "Ok", "> a\n> b"),
        ("> only\n> quotes", "> only\n> quotes", ""),
        (f"{GMAIL}\n> Hi", f"{GMAIL}\n> Hi", ""),
        (
            "> you asked\nmy answer\n> and then\nmy second answer",
            "> you asked\nmy answer\n> and then\nmy second answer",
            "",
        ),
        (f"{GMAIL}\n> you asked\nmy answer between", f"{GMAIL}\n> you asked\nmy answer between", ""),
        ("On Monday she wrote:\nnothing quoted here", "On Monday she wrote:\nnothing quoted here", ""),
        ("From: the heart\nI write", "From: the heart\nI write", ""),
        (
            "see below\n\n---------- Forwarded message ---------\nFrom: A\nDate: x\nSubject: y\nTo: z\n\ntext",
            None,
            "",
        ),
    ],
)
def test_own_and_quoted_text(text: str, own: str | None, quoted: str | None) -> None:
    found = split_quoted(text)
    if own is not None:
        assert found[0] == own
    if quoted is not None:
        assert found[1] == quoted
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "line",
    [
        "On x wrote:",
        "On " + "wrote " * 50,
        "On wrote",
        "> x",
        "-----",
        "From: a",
        "",
        " ",
        "Am " + "schrieb " * 40 + ":",
    ],
)
@pytest.mark.parametrize("end", ["x", "> x"])
def test_splitting_is_linear(line: str, end: str) -> None:
    text = (line + "\n") * (400_000 // (len(line) + 1)) + end
    started = time.process_time()
    split_quoted(text)
    assert time.process_time() - started < 15
