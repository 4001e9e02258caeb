"""A second start of the stand-in finds everything again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from devtools.places import free_port
from tests.sandbox.conftest import AMY, OLIVE, PAT
from tests.sandbox.google_app import CLIENT, Gmail, GoogleApp, mail
from tests.sandbox.graph_app import GraphApp, inbox_delta
from tests.sandbox.microsoft_app import MicrosoftApp
from tests.services.processes import running
from tests.services.programs import Sandbox


@contextmanager
def stand_in(folder: Path) -> Iterator[tuple[Sandbox, GoogleApp]]:
    """The stand-in with its state in `folder`, without push and SMTP."""
    port = free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--smtp-port", "0", "--data-dir", str(folder)]
    environ = os.environ | {"SANDBOX_PUSH_URL": ""}
    url = f"http://127.0.0.1:{port}"
    with (
        running(command, log=folder / "log", port=port, env=environ),
        httpx2.Client(base_url=url, trust_env=False) as http,
    ):
        program = Sandbox(url, 0)
        yield program, GoogleApp(http, "")
        program.close()


def test_mail_tokens_history_and_keys_outlive_the_process(tmp_path: Path) -> None:
    with stand_in(tmp_path) as (sandbox, google):
        sandbox.add_mailbox(AMY, "Amy", aliases=["office@practice.example"])
        sandbox.add_mailbox(PAT)
        tokens = sandbox.grant(AMY)
        sandbox.add_mailbox("mia@clinic.example", provider="microsoft", kind="workspace")
        sandbox.require_code("mia@clinic.example")
        sandbox.preset("ms_mfa", "mia@clinic.example")
        microsoft, code = sandbox.grant("mia@clinic.example"), sandbox.code_of("mia@clinic.example")
        gmail = Gmail(google, tokens["access_token"])
        cursor = gmail.get("profile")["historyId"]
        sandbox.deliver(mail(PAT, AMY, "Kept", Message_ID="<kept@x>"), AMY)
        gone = sandbox.deliver(mail(PAT, AMY, "Gone"), AMY)[AMY]
        sandbox.call("DELETE", f"/mailboxes/{AMY}/messages/{gone}")
        sandbox.write(AMY, to="x@outside.example", subject="Out")
        gmail.call("POST", "watch", json={"topicName": "projects/p/topics/t"})
        before = [sandbox.messages(AMY), gmail.history(cursor), google.http.get("/google/certs").json()]
        mailbox = sandbox.call("GET", f"/mailboxes/{AMY}")

    with stand_in(tmp_path) as (sandbox, google):
        gmail = Gmail(google, tokens["access_token"])
        assert [sandbox.messages(AMY), gmail.history(cursor), google.http.get("/google/certs").json()] == before
        assert sandbox.call("GET", f"/mailboxes/{AMY}") == mailbox
        form = {**CLIENT, "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert google.http.post("/google/token", data=form).status_code == 200
        outlook = MicrosoftApp(google.http, "")
        assert outlook.refresh(microsoft["refresh_token"]).status_code == 200
        assert sandbox.code_of("mia@clinic.example") == code
        assert [m["headers"]["subject"] for m in sandbox.call("GET", "/sink")["mails"]] == ["Out"]
        reply = mail(PAT, "office@practice.example", "Re: Kept", References="<kept@x>")
        sandbox.deliver(reply, "office@practice.example")
        kept, _, answer = sandbox.messages(AMY)
        assert answer["thread_id"] == kept["thread_id"]


def test_outlook_mail_links_and_properties_outlive_the_process(tmp_path: Path) -> None:
    prop = "String {7e5b1c0a-52d4-4a3f-9f0e-6c1d2a8b4e77} Name Ref"
    with stand_in(tmp_path) as (sandbox, google):
        sandbox.add_mailbox(OLIVE, "Olive", provider="microsoft")
        graph = GraphApp(google.http, sandbox.grant(OLIVE)["access_token"])
        _, link = graph.round(inbox_delta())
        sandbox.deliver(mail(PAT, OLIVE, "Kept"), OLIVE)
        draft = graph.post("me/messages", json={"subject": "Draft", "singleValueExtendedProperties": [{"id": prop, "value": "r"}]})

    with stand_in(tmp_path) as (sandbox, google):
        graph.http = google.http
        items, _ = graph.round(link[link.index("me/mailFolders") :])
        wanted = f"singleValueExtendedProperties/any(ep: ep/id eq '{prop}' and ep/value eq 'r')"
        assert [item["subject"] for item in items] == ["Kept"]
        assert [item["id"] for item in graph.get("me/messages", _filter=wanted)["value"]] == [draft["id"]]
