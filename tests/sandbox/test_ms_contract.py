"""The stand-in held against Graph's own OpenAPI document (graph_openapi.json)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from sandbox.microsoft.messages import DEFAULT, ON_REQUEST
from sandbox.microsoft.routes import ROUTES
from tests.sandbox.conftest import OLIVE, PAT
from tests.sandbox.google_app import mail
from tests.sandbox.graph_app import GraphApp, inbox_delta
from tests.sandbox.openapi import DOCUMENT, SCHEMAS, problems, properties_of
from tests.sandbox.test_ms_sending import attach, json_draft
from tests.sandbox.test_ms_subscriptions import Receiver, receiver, subscription
from tests.services.programs import Sandbox

__all__ = ["receiver"]  # a fixture
# The document has no raw bytes of attachments.
NOT_LISTED = {("GET", "me/messages/*/attachments/*/$value")}


def short(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "*", path.strip("/")).replace("microsoft.graph.", "").replace("()", "")


OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), short(path)): operation for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
}


def answer_schema(method: str, path: str, status: str = "2XX") -> dict[str, Any]:
    """The schema of the JSON that an operation answers."""
    schema: dict[str, Any] = OPERATIONS[method, path]["responses"][status]["content"]["application/json"]["schema"]
    return schema


@pytest.fixture
def answers(sandbox: Sandbox, graph: GraphApp, receiver: Receiver) -> dict[tuple[str, str], Any]:
    """An answer of every operation that has a body, over a mailbox with a bit of everything in it."""
    sandbox.write(PAT, to=OLIVE, subject="Ünïcode", text="Hi", html="<p>Hi</p>", attachments=[{"name": "a.txt", "text": "x"}])
    sandbox.deliver(b"From: nobody\r\n\r\nbare", OLIVE)
    everything = ",".join((*DEFAULT, *ON_REQUEST))
    header = "String {00020386-0000-0000-C000-000000000046} Name Subject"
    received = graph.get("me/messages", _filter="hasAttachments eq true")["value"][0]
    path, draft = f"me/messages/{received['id']}", json_draft(graph)
    listed = graph.get(f"{path}/attachments")
    big = {"AttachmentItem": {"attachmentType": "file", "name": "b.mp4", "size": 4_000_000}}
    made = graph.post("subscriptions", json=subscription(receiver))
    _, link = graph.round(inbox_delta(select=everything))
    sandbox.call("DELETE", f"/mailboxes/{OLIVE}/messages/{sandbox.messages(OLIVE)[1]['id']}")
    return {
        ("GET", "me"): graph.get("me"),
        ("GET", "me/messages"): graph.get("me/messages", _top=1, _count="true"),
        ("POST", "me/messages"): draft,
        ("GET", "me/messages/*"): graph.get(path, _select=everything, _expand=f"singleValueExtendedProperties($filter=id eq '{header}')"),
        ("PATCH", "me/messages/*"): graph.call("PATCH", f"me/messages/{draft['id']}", json={"subject": "Y"}).json(),
        ("POST", "me/messages/*/createReply"): graph.post(f"{path}/createReply"),
        ("POST", "me/messages/*/createReplyAll"): graph.post(f"{path}/createReplyAll", json={"comment": "c"}),
        ("POST", "me/messages/*/move"): graph.post(f"{path}/move", json={"destinationId": "archive"}),
        ("GET", "me/messages/*/attachments"): listed,
        ("POST", "me/messages/*/attachments"): attach(graph, draft, 10).json(),
        ("GET", "me/messages/*/attachments/*"): graph.get(f"{path}/attachments/{listed['value'][0]['id']}"),
        ("POST", "me/messages/*/attachments/createUploadSession"): graph.post(f"me/messages/{draft['id']}/attachments/createUploadSession", json=big),
        ("GET", "me/mailFolders"): graph.get("me/mailFolders"),
        ("GET", "me/mailFolders/*"): graph.get("me/mailFolders/inbox"),
        ("GET", "me/mailFolders/*/messages"): graph.get("me/mailFolders('drafts')/messages"),
        ("GET", "me/mailFolders/*/messages/delta"): graph.get(link),
        ("GET", "subscriptions"): graph.get("subscriptions"),
        ("POST", "subscriptions"): made,
        ("GET", "subscriptions/*"): graph.get(f"subscriptions/{made['id']}"),
        ("PATCH", "subscriptions/*"): graph.call("PATCH", f"subscriptions/{made['id']}", json={}).json(),
    }  # fmt: skip


def test_every_answer_fits_its_schema(answers: dict[tuple[str, str], Any]) -> None:
    found = {operation: problems(answer_schema(*operation), value) for operation, value in answers.items()}

    assert {operation: text for operation, text in found.items() if text} == {}
    with_body = {operation for operation, told in OPERATIONS.items() if "content" in told["responses"].get("2XX", {})}
    assert with_body - set(answers) <= {("GET", "me/messages/*/$value")}
    assert {row.get("@removed", {}).get("reason") for row in answers["GET", "me/mailFolders/*/messages/delta"]["value"]} == {"changed", "deleted"}


def test_errors_fit_their_schema(graph: GraphApp) -> None:
    answer = graph.call("GET", "me/messages/wrong").json()
    said_at = answer["error"]["innerError"].pop("date")  # on the wire in lower case and without a zone

    assert problems(answer_schema("GET", "me/messages/*", "4XX"), answer) == []
    assert datetime.fromisoformat(said_at)
    assert set(answer["error"]["innerError"]) == {"request-id", "client-request-id"}


def test_the_check_itself_sees_what_is_wrong() -> None:
    message = SCHEMAS["microsoft.graph.message"]

    assert problems(message, {"subjekt": "x"}) == ["$.subjekt: unknown field"]
    assert problems(message, {"isRead": "true"}) == ["$.isRead: str is no boolean"]
    assert problems(message, {"receivedDateTime": "2026-01-01T00:00:00"}) == ["$.receivedDateTime: '2026-01-01T00:00:00' is no date-time"]
    assert problems(message, {"importance": "urgent"}) == ["$.importance: 'urgent' is no known word"]
    assert problems(SCHEMAS["microsoft.graph.subscription"], {"resource": None}) == ["$.resource: null"]


def test_paths_and_properties_are_graphs() -> None:
    assert {(method, path) for method, path, _, _ in ROUTES} == set(OPERATIONS) | NOT_LISTED
    known = properties_of("message") - {"@odata.type", "id", "attachments", "singleValueExtendedProperties"}
    assert set(DEFAULT) | set(ON_REQUEST) == known
    selectable = OPERATIONS["GET", "me/messages"]["parameters"][0]["schema"]["items"]["enum"]
    assert known <= set(selectable)


@pytest.mark.parametrize("scope", ["User.Read", "Mail.Read", "Mail.Send", "Mail.ReadWrite"])
def test_scopes_are_enforced(sandbox: Sandbox, graph: GraphApp, scope: str) -> None:
    weak = GraphApp(graph.http, sandbox.grant(OLIVE, f"openid {scope}")["access_token"])
    draft = graph.draft(mail(OLIVE, PAT))
    refused = set()
    for method, path, name, scopes in ROUTES:
        answer = weak.call(method, path.replace("me/messages/*", f"me/messages/{draft['id']}").replace("*", "x"))
        if answer.status_code == 403:
            assert answer.json()["error"]["code"] == "ErrorAccessDenied"
            refused.add(name)
        else:
            assert scope.lower() in scopes
    assert refused == {name for _, _, name, scopes in ROUTES if scope.lower() not in scopes}
