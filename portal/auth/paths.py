"""Where a sign-in may lead: pages of this portal, however another place is written (OAU-4)."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

MAX_LENGTH = 2000
DECODINGS = 3


def local_path(wanted: str | None) -> str | None:
    """`wanted` when it is a path of this site, else None.

    A browser drops tabs and line ends, takes `\\` for `/`, and a proxy may decode once more than we do; a path
    that would lead away after any of these is refused as a whole.
    """
    if not wanted or len(wanted) > MAX_LENGTH:
        return None
    form = wanted
    for _ in range(DECODINGS):
        if not _is_local(form):
            return None
        decoded = unquote(form)
        if decoded == form:
            return wanted
        form = decoded
    return None


def _is_local(text: str) -> bool:
    if not text.startswith("/") or "\\" in text or any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in text):
        return False
    path = text.partition("?")[0].partition("#")[0]
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and "//" not in path
