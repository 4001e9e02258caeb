"""Say where an error happened without its text: a message may quote a mail, an address or a database's row."""

from __future__ import annotations

import traceback


def trace_of(error: BaseException) -> str:
    """The kinds and places of an error and its causes, innermost last, without the texts they carry."""
    parts = []
    seen: BaseException | None = error
    while seen is not None:
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(seen.__traceback__)]
        parts.append(f"{type(seen).__name__} at {' > '.join(places[-8:])}")
        seen = seen.__cause__ or seen.__context__
    return "; from ".join(parts[:4])
