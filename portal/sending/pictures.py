"""Pictures that stand in the text of a mail, written anew and named by content ids of their own (ATT-3, ATT-4).

The editor names a picture that comes with its form `cid:new-0`, `cid:new-1`, … by its position, and one of a forwarded
mail `cid:kept-ROW`. What leaves bears neither name.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from portal.conversations.images import NotShowable, sent_picture
from portal.lib.html import picture_ids, place_pictures
from portal.lib.ids import new_token
from portal.sending.mime import OutgoingPicture


def new_name(position: int) -> str:
    """How the editor names the picture at this position of its form."""
    return f"new-{position}"


def kept_name(attachment_id: UUID) -> str:
    """How the editor names a picture of the mail that is forwarded."""
    return f"kept-{attachment_id.hex}"


def outgoing_picture(name: str, data: bytes) -> OutgoingPicture:
    """A picture as it leaves: upright, without EXIF, at most 2,400 pixels wide or high. Raises NotShowable."""
    drawn, media_type = sent_picture(data)
    ending = ".jpg" if media_type == "image/jpeg" else ".png"
    stem, dot, _ = name.rpartition(".")
    return OutgoingPicture(f"{new_token()}@inline", (stem if dot else name) + ending, media_type, drawn)


def put_in(html: str, offered: Mapping[str, OutgoingPicture]) -> tuple[str, tuple[OutgoingPicture, ...]]:
    """Cleaned HTML and the pictures that it really shows; one that is not offered under its name is left out."""
    shown = {name: offered[name] for name in picture_ids(html) if name in offered}
    addresses = {name: f"cid:{picture.content_id}" for name, picture in shown.items()}
    return place_pictures(html, addresses), tuple(shown.values())


__all__ = ["NotShowable", "kept_name", "new_name", "outgoing_picture", "put_in"]
