"""What a contact may hold, field by field, and what the columns of a file mean."""

from __future__ import annotations

import pytest

from portal.contacts.columns import (
    details_of,
    guess_columns,
    has_heading,
    is_id_column,
    problem_of,
    repeated_headings,
    split_name,
)
from portal.contacts.details import ContactDetails, address_problem, problems


@pytest.mark.bad_input(38)
@pytest.mark.parametrize(
    "text",
    ["bob@mail.example", "Bob+botox@Mail.example", "bob.o'hara@mail.example", "bob@bücher.example", "jösé@mail.example"],
)
def test_addresses_that_can_be_kept(text: str) -> None:
    assert address_problem(text) == ""


@pytest.mark.bad_input(38)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a@b", "period"),
        ("bob@mail.example.", "period"),
        ('"bob smith"@mail.example', "Quoting"),
        ("bob", "@"),
        ("bob@mail..example", "period"),
        ("a" * 250 + "@mail.example", "254"),
        ("bob@mail.example, eve@mail.example", ""),
        ("bob@mail.example\r\nBcc: eve@mail.example", ""),
        ("bob@ｍail.example", "unusual letters. Is it bob@mail.example"),
        ("bob@mail.example\0", ""),
    ],
)
def test_addresses_that_cannot_say_why(text: str, words: str) -> None:
    problem = address_problem(text)
    assert problem
    assert words in problem


@pytest.mark.bad_input(37)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", "Bob\r\nBcc: x"),
        ("first_name", "<script>alert(1)</script>"),
        ("last_name", "Smith\u202etxt"),
        ("last_name", "x" * 101),
        ("phone", "call me"),
        ("phone", "1" * 41),
        ("notes", "x" * 5_001),
        ("notes", "bell\x07"),
        ("email", "no address"),
    ],
)
def test_a_bad_field_is_named(field: str, value: str) -> None:
    values = {"first_name": "Bob"} | {field: value}
    assert list(problems(ContactDetails.clean(**values))) == [field]


def test_nobody_at_all_is_refused() -> None:
    assert list(problems(ContactDetails.clean(phone="+1 312 555 0100", first_name="  "))) == ["first_name"]


def test_alternates_lose_repeats_and_the_primary_address() -> None:
    details = ContactDetails.clean(
        email=" Bob@Mail.example ", alternates=["bob@mail.example", "b@x.example", "B@X.example", ""]
    )
    assert (details.email, details.alternates) == ("Bob@Mail.example", ("b@x.example",))
    assert "“nope”" in problems(ContactDetails.clean(first_name="B", alternates=["nope"]))["alternates"]
    many = [f"b{number}@x.example" for number in range(11)]
    assert "ten" in problems(ContactDetails.clean(first_name="B", alternates=many))["alternates"].replace("10", "ten")


@pytest.mark.bad_input(62)
@pytest.mark.parametrize(
    ("first", "heading", "columns"),
    [
        (["First Name", "Surname", "E-mail", "Mobile phone"], True, ["first_name", "last_name", "email", "phone"]),
        (["Patient", "Email", "Email 2", "Comment"], True, ["name", "email", "alternate", "notes"]),
        (["Email", "EMAIL", "Colour"], True, ["email", "", ""]),
        (["id", "account_id", "Name", "Email"], True, ["", "", "name", "email"]),
        (["Jonah Whitfield", "jonah@mail.example"], False, ["", "email"]),
        (["Jonah", "Whitfield"], False, ["", ""]),
    ],
)
def test_columns_are_guessed(first: list[str], heading: bool, columns: list[str]) -> None:
    assert has_heading(first) is heading
    assert guess_columns(first, heading) == columns


@pytest.mark.bad_input(62)
@pytest.mark.bad_input(68)
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["", "", ""], "at least"),
        (["email", "email", ""], "Two columns"),
        (["", "name", "first_name"], "cannot both"),
        (["notes", "email", ""], "gives ids itself"),
        (["", "email"], "for each column"),
        (["", "email", "account_id"], "for each column"),
        (["", "email", "alternate"], ""),
    ],
)
def test_a_choice_that_cannot_be_says_why(columns: list[str], words: str) -> None:
    problem = problem_of(columns, ["ID", "Email", "Other"], True)
    assert (words in problem) if words else problem == ""


def test_headings_that_stand_twice_are_named() -> None:
    assert repeated_headings(["Email", "Name", "email ", "", ""]) == ["Email"]
    assert is_id_column("Account ID")
    assert not is_id_column("Idea")


@pytest.mark.parametrize(
    ("text", "names"),
    [("Jonah Whitfield", ("Jonah", "Whitfield")), ("Whitfield, Jonah", ("Jonah", "Whitfield")), ("Cher", ("Cher", "")),
     ("Ana de la Cruz", ("Ana", "de la Cruz")), ("", ("", ""))],
)  # fmt: skip
def test_full_names_are_split(text: str, names: tuple[str, str]) -> None:
    assert split_name(text) == names


def test_a_row_becomes_a_contact_whatever_its_length() -> None:
    columns = ["name", "email", "alternate", "phone"]
    details = details_of(["Whitfield, Jonah", "j@mail.example", "a@x.example; b@x.example"], columns)
    assert details == ContactDetails("Jonah", "Whitfield", "j@mail.example", ("a@x.example", "b@x.example"))
