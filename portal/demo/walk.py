"""Walk through pages as a person with a browser would, without one: read a form, fill it in, press its button."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx2


@dataclass
class Form:
    """A form of a page: where it goes, and what it sends as it stands."""

    action: str = ""
    method: str = "get"
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)  # checkboxes, ticked or not
    texts: list[str] = field(default_factory=list)  # names of the fields that a person types into
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def filled(self, typed: Mapping[str, str], *, without: tuple[str, ...] = (), press: str = "") -> dict[str, list[str]]:
        """What is sent when every box is ticked but those whose value is in `without`, and `press` is pressed."""
        sent: dict[str, list[str]] = {}
        ticked = [(name, value) for name, value in self.boxes if value not in without]
        pressed = [(name, value) for name, value in self.buttons if value == press]
        for name, value in [*self.fields, *ticked, *pressed]:
            sent.setdefault(name, []).append(value)
        return sent | {name: [value] for name, value in typed.items()}


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = True
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif self._inside and given.get("name"):
            self._note(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False

    def _note(self, tag: str, given: dict[str, str]) -> None:
        form, kind = self.forms[-1], given.get("type", "submit" if tag == "button" else "text")
        pair = (given["name"], given.get("value", ""))
        if kind == "hidden":
            form.fields.append(pair)
        elif kind == "checkbox":
            form.boxes.append((pair[0], pair[1] or "on"))
        elif tag == "button" or kind == "submit":
            form.buttons.append(pair)
        elif kind in ("text", "email", "password"):
            form.texts.append(pair[0])


def find_form(html: str, action: str, *, page: str = "") -> Form:
    """The form whose address ends in `action`; one without an address leads to `page`. Raises LookupError."""
    reader = _Forms()
    reader.feed(html)
    for form in reader.forms:
        form.action = form.action or page
    found = next((form for form in reader.forms if form.action.partition("?")[0].endswith(action)), None)
    if found is None:
        raise LookupError(f"the page has no form that leads to {action}")
    return found


def consent(address: str, mailbox: str, password: str, *, untick: tuple[str, ...] = (), decision: str = "allow") -> str:
    """Go through the provider's sign-in and consent pages at `address`; returns the address they lead back to.

    `untick` are the permissions not given. Raises LookupError where a page is not the expected one.
    """
    with httpx2.Client(timeout=30, trust_env=False, follow_redirects=False) as browser:
        answer = browser.get(address)
        for _step in range(4):
            if answer.is_redirect:
                return urljoin(str(answer.url), answer.headers["location"])
            step = "/signin" if "/signin" in answer.text else "/consent"
            form = find_form(answer.text, step)
            typed = {"email": mailbox, "password": password} if step == "/signin" else {}
            sent = form.filled(typed, without=untick, press=decision)
            answer = browser.post(urljoin(str(answer.url), form.action), data=sent)
    raise LookupError("the consent pages lead nowhere")
