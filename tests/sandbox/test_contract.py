"""The stand-in held against Google's own discovery document of Gmail (tests/sandbox/fixtures)."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.google import methods
from sandbox.google.sending import MAX_RAW
from tests.sandbox.conftest import AMY, PAT
from tests.sandbox.discovery import DOCUMENT, METHODS, problems
from tests.sandbox.google_app import Gmail, GoogleApp, base64url, mail
from tests.services.programs import Sandbox

# Permissions of Gmail add-ons, which no web application can be granted.
ADD_ONS = "gmail.addons."


@pytest.fixture
def answers(sandbox: Sandbox, gmail: Gmail, google: GoogleApp) -> dict[str, list[Any]]:
    """Answers of every method over a mailbox with a bit of everything in it."""
    writer = Gmail(google, sandbox.grant(AMY, "https://mail.google.com/")["access_token"])
    start = gmail.get("profile")["historyId"]
    first = sandbox.write(
        PAT, to=AMY, subject="Ünïcode", text="Hi", html="<p>Hi</p>", attachments=[{"name": "a.txt", "text": "x"}]
    )
    inserted = writer.call("POST", "messages", json={"raw": base64url(mail(PAT, AMY, "Kept")), "labelIds": ["STARRED"]})
    found = sandbox.messages(AMY)
    sandbox.call(
        "POST", f"/mailboxes/{AMY}/messages/{found[0]['id']}/labels", json={"add": ["STARRED"], "remove": ["UNREAD"]}
    )
    sandbox.call("DELETE", f"/mailboxes/{AMY}/messages/{inserted.json()['id']}")
    message_id, thread_id = found[0]["id"], found[0]["thread_id"]
    full = gmail.get(f"messages/{message_id}")
    attachment = next(p["body"]["attachmentId"] for p in full["payload"]["parts"] if p["filename"] == "a.txt")
    assert first["labels"] == ["SENT"]
    return {
        "users.getProfile": [gmail.get("profile")],
        "users.watch": [gmail.call("POST", "watch", json={"topicName": "projects/p/topics/t", "labelIds": ["INBOX"]}).json()],
        "users.history.list": [gmail.history(start), gmail.history(start, maxResults=2), gmail.history(gmail.get("profile")["historyId"])],
        "users.labels.list": [gmail.get("labels")],
        "users.messages.list": [gmail.get("messages"), gmail.get("messages", q="in:sent"), gmail.get("messages", maxResults=1)],
        "users.messages.get": [full, *(gmail.get(f"messages/{message_id}", format=f) for f in ("minimal", "metadata", "raw"))],
        "users.messages.send": [gmail.send(mail(AMY, PAT))],
        "users.messages.insert": [inserted.json()],
        "users.messages.attachments.get": [gmail.get(f"messages/{message_id}/attachments/{attachment}")],
        "users.threads.get": [gmail.get(f"threads/{thread_id}"), gmail.get(f"threads/{thread_id}", format="minimal")],
        "users.settings.sendAs.list": [gmail.get("settings/sendAs")],
    }  # fmt: skip


def test_every_answer_fits_its_schema(answers: dict[str, list[Any]]) -> None:
    found = {name: problems(METHODS[name]["response"], value) for name, values in answers.items() for value in values}

    assert {name: text for name, text in found.items() if text} == {}
    assert set(answers) == {name for name, method in METHODS.items() if "response" in method}


def test_the_check_itself_sees_what_is_wrong() -> None:
    profile = METHODS["users.getProfile"]["response"]

    assert problems(profile, {"historyId": 12}) == ["$.historyId: int is no string"]
    assert problems(profile, {"historyId": "x"}) == ["$.historyId: 'x' is no uint64"]
    assert problems(profile, {"history": "1"}) == ["$.history: unknown field"]
    assert problems({"$ref": "Message"}, {"raw": "a+b/"}) == ["$.raw: 'a+b/' is no byte"]


def test_answers_name_all_that_clients_rely_on(answers: dict[str, list[Any]]) -> None:
    assert set(answers["users.getProfile"][0]) == {"emailAddress", "messagesTotal", "threadsTotal", "historyId"}
    assert set(answers["users.messages.send"][0]) == {"id", "threadId", "labelIds"}
    assert "nextPageToken" in answers["users.history.list"][1]
    assert "history" not in answers["users.history.list"][2]
    kinds = {key for item in answers["users.history.list"][0]["history"] for key in item} - {"id", "messages"}
    assert kinds == {"messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"}


@pytest.mark.parametrize("name", METHODS)
def test_paths_scopes_and_parameters_are_googles(name: str) -> None:
    method = METHODS[name]
    inner = method["path"].removeprefix("gmail/v1/users/{userId}/").split("/")
    given = ["1" if part.startswith("{") else part for part in inner]

    assert methods.find_route(method["httpMethod"], given)[0] == name
    assert methods.SCOPES[name] == {scope for scope in method["scopes"] if ADD_ONS not in scope}
    query = {key for key, value in method["parameters"].items() if value["location"] == "query"}
    assert methods.PARAMETERS.get(name, frozenset()) == query
    if "request" in method:
        assert methods.BODY_FIELDS[name] == set(DOCUMENT["schemas"][method["request"]["$ref"]]["properties"])


def test_common_parameters_and_sizes_are_googles() -> None:
    assert set(DOCUMENT["parameters"]) | {"upload_id"} == methods.COMMON_PARAMETERS
    assert int(METHODS["users.messages.send"]["mediaUpload"]["maxSize"]) == MAX_RAW


def test_unknown_parameters_and_fields_are_refused(gmail: Gmail) -> None:
    answer = gmail.call("GET", "messages", params={"query": "x"})
    assert answer.status_code == 400
    assert 'Unknown name "query"' in answer.json()["error"]["message"]
    assert gmail.call("POST", "messages/send", json={"raw": "", "thread": "1"}).status_code == 400
    assert gmail.call("GET", "nothing").status_code == 404


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("scope", ["", "readonly", "send", "metadata"])
def test_scopes_are_enforced(sandbox: Sandbox, google: GoogleApp, name: str, scope: str) -> None:
    token = sandbox.grant(AMY, f"https://www.googleapis.com/auth/gmail.{scope}" if scope else "openid email")
    path = "/" + METHODS[name]["path"].replace("{userId}", "me").replace("{id}", "1a").replace("{messageId}", "1a")
    answer = Gmail(google, token["access_token"]).call(METHODS[name]["httpMethod"], path)

    allowed = f"https://www.googleapis.com/auth/gmail.{scope}" in METHODS[name]["scopes"]
    is_refused = "ACCESS_TOKEN_SCOPE_INSUFFICIENT" in answer.text and "insufficientPermissions" in answer.text
    assert is_refused is not allowed
    assert answer.status_code == 403 or allowed
