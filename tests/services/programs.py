"""The other programs of a running portal, as fixtures: the stand-in of the outside world."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from devtools.settings import Addresses, portal_environment
from tests.services.processes import running


class Sandbox:
    """The control plane of the stand-in. Every method raises on an answer that is not 2xx."""

    def __init__(self, url: str, smtp_port: int) -> None:
        self.url, self.smtp_port = url, smtp_port
        self._client = httpx2.Client(base_url=url, timeout=20, trust_env=False)

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """One call below /__ctl; its JSON, or None for an empty answer."""
        answer = self._client.request(method, f"/__ctl{path}", **kwargs)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def reset(self) -> None:
        """Nobody, nothing sent, no faults (of the mail server neither), the sink empty, the clock not moved."""
        self.call("POST", "/reset")

    def add_mailbox(self, address: str, name: str = "", **values: Any) -> None:
        """A person with a mailbox."""
        self.call("POST", "/mailboxes", json={"address": address, "name": name, **values})

    def deliver(self, raw: bytes, to: str | list[str], sender: str = "", **params: Any) -> dict[str, str]:
        """Let a mail arrive as it is (`sender` is the envelope's). Answers {address: message id}."""
        query = [("to", address) for address in ([to] if isinstance(to, str) else to)]
        query += [("from", sender)] if sender else []
        query += [(name, str(value)) for name, value in params.items()]
        answer = self.call("POST", "/mail", params=query, content=raw, headers={"Content-Type": "message/rfc822"})
        ids: dict[str, str] = answer["ids"]
        return ids

    def deliver_many(self, mails: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Many mails in one call, each `{"to": [...], "raw": base64url, "from", "internal_date", "labels"}`."""
        ids: list[dict[str, str]] = self.call("POST", "/mails", json={"mails": mails})["ids"]
        return ids

    def messages(self, address: str) -> list[dict[str, Any]]:
        """What lies in a mailbox, oldest first."""
        found: list[dict[str, Any]] = self.call("GET", f"/mailboxes/{address}/messages")["messages"]
        return found

    def fault(self, **rule: Any) -> None:
        """Switch a fault rule on."""
        self.call("POST", "/faults", json=rule)

    def quirk(self, name: str, **values: Any) -> None:
        """Switch an oddity of a method on."""
        self.call("POST", "/quirks", json={"name": name, **values})

    def preset(self, name: str, mailbox: str = "", times: int | None = None) -> None:
        """Switch a whole situation on by its name, such as `revoke` or `drop_after_send`."""
        self.call("POST", "/presets", json={"name": name, "mailbox": mailbox or None, "times": times})

    def clear_faults(self) -> None:
        """Switch rules and quirks off."""
        self.call("DELETE", "/faults")
        self.call("DELETE", "/quirks")

    def smtp_fault(self, kind: str, **values: Any) -> int:
        """Let the mail server go wrong; its number.

        `kind` is closed, auth_required, refuse_recipient, defer_recipient, refuse_data, defer_data,
        drop_before_accept, drop_after_accept, stall or bounce. `times` and `after` count mails (for `closed`
        connections), `recipient` is an address or a glob, `seconds` are those of `stall`, `status` is the bounce's.
        """
        number: int = self.call("POST", "/smtp-faults", json={"kind": kind, **values})["id"]
        return number

    def clear_smtp_faults(self) -> None:
        """Let the mail server behave again."""
        self.call("DELETE", "/smtp-faults")

    def sink(self, to: str = "", *, with_text: bool = True) -> list[dict[str, Any]]:
        """The mails of the sink, oldest first: id, via, mail_from, rcpts, message_id, headers (names in lower case), size.

        With `with_text` (costly for thousands) also text and attachments; `to` asks for one recipient's only.
        """
        params = {"to": to, "text": "1" if with_text else "0"}
        found: list[dict[str, Any]] = self.call("GET", "/sink", params=params)["mails"]
        return found

    def sink_raw(self, mail_id: str) -> bytes:
        """The bytes of a mail of the sink."""
        return self._client.get(f"/__ctl/sink/{mail_id}").raise_for_status().content

    def sink_count(self) -> int:
        """How many mails the sink holds."""
        return int(self.call("GET", "/sink/count")["mails"])

    def clear_sink(self) -> None:
        """Forget the mails of the sink."""
        self.call("DELETE", "/sink")

    def grant(self, address: str, scopes: str = "") -> dict[str, Any]:
        """Tokens as after a consent: `refresh_token`, `access_token`, `sub`, `scope` (default: what the portal asks).

        `sub` is the subject by which the portal knows the account; Microsoft's is `tid:oid`.
        """
        found: dict[str, Any] = self.call("POST", f"/users/{address}/grant", json={"scopes": scopes or None})
        return found

    def require_code(self, address: str, on: bool = True) -> None:
        """Let Microsoft's sign-in of this person ask for a code after the password, or no longer."""
        self.call("POST", f"/users/{address}/code", json={"on": on})

    def code_of(self, address: str) -> str:
        """The code that the sign-in asks for now; each works once."""
        return str(self.call("GET", f"/users/{address}/code")["code"])

    def write(self, address: str, **letter: Any) -> dict[str, Any]:
        """Send as the person in Gmail's web client: to, cc, bcc, subject, text, reply_to, forward_of, attachments."""
        sent: dict[str, Any] = self.call("POST", f"/mailboxes/{address}/send", json=letter)
        return sent

    def requests(self, **params: Any) -> list[dict[str, Any]]:
        """What was asked of the providers, oldest first."""
        found: list[dict[str, Any]] = self.call("GET", "/requests", params=params)["requests"]
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@pytest.fixture(scope="session")
def sandbox_program(ports: tuple[int, int, int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The stand-in as a process of its own, started when the first test asks for it."""
    _, port, smtp_port, _ = ports
    addresses = Addresses(*ports, redis_url="", database_url="")
    folder = tmp_path_factory.mktemp("sandbox")
    environ = os.environ | portal_environment(addresses, var_dir=folder, secrets={}, app_env="test")
    with running([sys.executable, "-m", "sandbox"], log=folder / "sandbox.log", port=port, env=environ):
        program = Sandbox(addresses.sandbox_url, smtp_port)
        yield program
        program.close()


@pytest.fixture
def sandbox(sandbox_program: Sandbox) -> Sandbox:
    """The stand-in, emptied. Push notices stay off unless a test sets `push_url` by /knobs."""
    sandbox_program.reset()
    sandbox_program.call("POST", "/knobs", json={"push_url": ""})
    return sandbox_program
