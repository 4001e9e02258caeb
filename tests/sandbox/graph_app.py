"""An app that calls Graph, as the stand-in sees one."""

from __future__ import annotations

import base64
from typing import Any

import httpx2

IMMUTABLE = 'IdType="ImmutableId"'


class GraphApp:
    """Graph for one access token; immutable ids unless a call says otherwise."""

    def __init__(self, http: httpx2.Client, token: str) -> None:
        self.http, self.headers = http, {"Authorization": f"Bearer {token}", "Prefer": IMMUTABLE}

    def call(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        """One call below /graph/v1.0, or of a whole link."""
        whole = path if path.startswith("http") else f"/graph/v1.0/{path}"
        headers = self.headers | kwargs.pop("headers", {})
        return self.http.request(method, whole, headers=headers, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed; `_` in a name stands for `$`."""
        query = {name.replace("_", "$"): value for name, value in params.items()}
        answer = self.call("GET", path, **({"params": query} if query else {}))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 201, **kwargs: Any) -> Any:
        """The JSON of a POST that must answer `status`."""
        answer = self.call("POST", path, **kwargs)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def draft(self, raw: bytes) -> dict[str, Any]:
        """A draft of a MIME mail."""
        made: dict[str, Any] = self.post(
            "me/messages", content=base64.b64encode(raw), headers={"Content-Type": "text/plain"}
        )
        return made

    def send(self, message_id: str) -> httpx2.Response:
        """Send a draft."""
        return self.call("POST", f"me/messages/{message_id}/send", headers={"Content-Length": "0"})

    def round(self, link: str, **headers: str) -> tuple[list[dict[str, Any]], str]:
        """A whole delta round: (items, deltaLink)."""
        items: list[dict[str, Any]] = []
        for _ in range(30):
            answer = self.call("GET", link, headers=headers)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["value"]
            if "@odata.deltaLink" in page:
                return items, str(page["@odata.deltaLink"])
            link = page["@odata.nextLink"]
        raise AssertionError("a round without an end")


def inbox_delta(since: str = "2020-01-01T00:00:00Z", folder: str = "inbox", select: str = "id,subject,isDraft") -> str:
    """The path of a first round."""
    return f"me/mailFolders('{folder}')/messages/delta?$filter=receivedDateTime ge {since}&$select={select}"
