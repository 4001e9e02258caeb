"""Things that go wrong on request: rules over calls (any answer, delay, drop) and quirks of single methods.

A rule is `{method, path, mailbox, times, skip, status, headers, body, delay_ms, drop, after_effect, truncate,
truncate_connection, drip, gzip}`; `path` is a glob. Without `status` and `body` the real answer is used (and may still be
cut, slowed or dropped). `after_effect` lets the call take effect first, so that only its answer is lost.
"""

from __future__ import annotations

import gzip
import itertools
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import orjson

from sandbox.google import errors as google
from sandbox.http import JSON_TYPE, ConnectionDropped, Response
from sandbox.inputs import BadInput, Types, check_fields
from sandbox.microsoft import errors as microsoft

_FIELDS: dict[str, Types] = {
    "method": str, "path": str, "mailbox": str, "times": int, "skip": int, "status": int, "headers": dict,
    "body": object, "delay_ms": int, "drop": bool, "after_effect": bool, "truncate": int,
    "truncate_connection": int, "drip": int, "gzip": bool, "name": str,
}  # fmt: skip
_LEAST = {"times": 1, "status": 200, "skip": 0, "delay_ms": 0, "truncate": 0, "truncate_connection": 0, "drip": 0}


@dataclass
class FaultRule:
    """One rule, see the module's docstring."""

    id: int = 0
    name: str = ""  # preset it was made from, for people
    method: str = "*"
    path: str = "*"
    mailbox: str = "*"
    times: int | None = None  # None: until deleted
    skip: int = 0  # calls that pass before the rule bites
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None  # a string is sent as it is, anything else as JSON; without one an error is worded as the provider does
    delay_ms: int = 0
    drop: bool = False
    after_effect: bool = False
    truncate: int | None = None  # keep so many bytes of the body, with a Content-Length that agrees
    truncate_connection: int | None = None  # announce the whole body, send so many bytes, close
    drip: int = 0  # bytes per second
    gzip: bool = False
    hits: int = 0

    def matches(self, method: str, path: str, mailbox: str) -> bool:
        """Whether the rule is about this call."""
        return (
            self.method.upper() in ("*", method)
            and fnmatchcase(path, self.path)
            and (self.mailbox == "*" or self.mailbox.lower() == mailbox)
        )

    @property
    def replaces(self) -> bool:
        """Whether the rule has an answer of its own."""
        return self.status is not None or self.body is not None

    @property
    def needs_effect(self) -> bool:
        """Whether the real call must run first."""
        return self.after_effect or not (self.replaces or self.drop)

    def answer(self, real: Response | None, path: str) -> Response:
        """The answer to send for a call of `path`. Raises ConnectionDropped when there shall be none."""
        if self.drop:
            raise ConnectionDropped
        response = real if real is not None and not self.replaces else self._own(real, path)
        if self.truncate is not None:
            response.body = response.body[: self.truncate]
        if self.gzip:
            response.body = gzip.compress(response.body)
            response.headers.append(("Content-Encoding", "gzip"))
        response.cut_at = self.truncate_connection
        response.drip_bytes_per_second = self.drip
        return response

    def _own(self, real: Response | None, path: str) -> Response:
        if isinstance(self.body, str):
            body, kind = self.body.encode("utf-8"), "text/html; charset=UTF-8"
        else:
            provider = microsoft if path.startswith(("/microsoft/", "/graph")) else google
            value = provider.standard_body(self.status or 200, path) if self.body is None else self.body
            body, kind = (b"" if value is None else orjson.dumps(value)), JSON_TYPE
        names = {name.lower() for name in self.headers}
        headers = list(self.headers.items())
        if "content-type" not in names:
            headers.insert(0, ("Content-Type", kind))
        return Response(self.status or 200, body, headers, real.mailbox if real else "")


class FaultRules:
    """The rules in force, oldest first; the first that matches bites."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.rules: list[FaultRule] = []

    def add(self, values: dict[str, Any]) -> FaultRule:
        """A rule from JSON. Raises BadInput for a field that is unknown or of the wrong kind."""
        given = check_fields(values, _FIELDS)
        for name, least in _LEAST.items():
            if given.get(name, least) < least:
                raise BadInput(f"{name} must be at least {least}")
        if given.get("status", 200) > 599:
            raise BadInput("status must be at most 599")
        if not all(isinstance(value, str) for value in given.get("headers", {}).values()):
            raise BadInput("headers must be an object of texts")
        rule = FaultRule(id=next(self._numbers), **given)
        with self._lock:
            self.rules = [*self.rules, rule]
        return rule

    def remove(self, rule_id: int | None = None, name: str = "") -> None:
        """Drop one rule, those of one name, or (with neither) all."""
        with self._lock:
            self.rules = [
                rule
                for rule in self.rules
                if (rule_id is not None or name) and rule.id != rule_id and (not name or rule.name != name)
            ]

    def clear(self) -> None:
        """Drop all."""
        self.remove()

    def bite(self, method: str, path: str, mailbox: str) -> FaultRule | None:
        """The rule for this call, counted; None nearly always."""
        if not self.rules:
            return None
        with self._lock:
            for rule in self.rules:
                if not rule.matches(method, path, mailbox):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.hits += 1
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules = [other for other in self.rules if other is not rule]
                return rule
        return None


def sleep_ms(milliseconds: int) -> None:
    """Wait; the answer of a slow provider."""
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)


class Quirks:
    """Oddities of single methods that no canned answer can show, by name, mailbox and number of times.

    Known names are those in `KNOWN`; the method that shows a quirk asks `take`.
    """

    KNOWN = frozenset({
        "history_page_size", "history_empty_page", "history_duplicate", "history_unordered", "history_page_loop",
        "history_ghost", "send_new_thread", "send_bounce", "token_without_refresh", "token_scope", "token_lifetime",
        "push_drop", "push_duplicate", "push_reverse", "push_numeric", "push_unpadded", "batch_reverse", "batch_lost_part",
        "id_token_bad_signature", "id_token_alg_none", "id_token_wrong_audience", "id_token_wrong_issuer",
        "id_token_wrong_nonce", "ms_scope_form",
        "ms_delta_page_size", "ms_delta_empty_page", "ms_delta_duplicate", "ms_delta_replay", "ms_delta_foreign_link",
        "ms_sync_state_lost", "ms_sent_late", "ms_sent_never", "ms_sent_bounce", "ms_no_retry_after", "ms_slow_ms",
        "ms_batch_throttle", "ms_me_without_mail", "ms_upload_lifetime", "ms_validation_token",
    })  # fmt: skip

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.active: list[dict[str, Any]] = []

    def add(self, name: str, mailbox: str = "*", times: int | None = None, value: Any = True) -> dict[str, Any]:
        """Switch a quirk on. Raises BadInput for an unknown name."""
        if name not in self.KNOWN:
            raise BadInput(f"unknown quirk {name}; known: {', '.join(sorted(self.KNOWN))}")
        quirk = {"name": name, "mailbox": mailbox.lower(), "times": times, "value": value}
        with self._lock:
            self.active = [*self.active, quirk]
        return quirk

    def clear(self, name: str = "") -> None:
        """Switch off one quirk, or all."""
        with self._lock:
            self.active = [quirk for quirk in self.active if name and quirk["name"] != name]

    def take(self, name: str, mailbox: str) -> Any:
        """The quirk's value when it is on for the mailbox (one use spent), else None."""
        if not self.active:
            return None
        with self._lock:
            for quirk in self.active:
                if quirk["name"] == name and quirk["mailbox"] in ("*", mailbox):
                    if quirk["times"] is not None:
                        quirk["times"] -= 1
                        if quirk["times"] <= 0:
                            self.active = [other for other in self.active if other is not quirk]
                    return quirk["value"]
        return None
