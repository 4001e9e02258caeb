"""Pictures fit for showing inside the page: decoded within bounds and written anew, without EXIF (ATT-3, ATT-4)."""

from __future__ import annotations

import warnings
from io import BytesIO

from PIL import Image, ImageOps

SHOWN = frozenset({"image/jpeg", "image/png"})
MAX_PIXELS = 60_000_000  # of the file; a JPEG is decoded smaller at once
MAX_PNG_PIXELS = 20_000_000  # a PNG cannot be
EDGE = 2400  # of what is shown


class NotShowable(Exception):
    """The bytes are no picture that may be shown in the page; it can still be downloaded."""


def shown_picture(data: bytes) -> tuple[bytes, str]:
    """The picture written anew and its media type. Raises NotShowable (other format, too many pixels, damaged)."""
    return _within_bounds(data, ("JPEG", "PNG"))


def sent_picture(data: bytes) -> tuple[bytes, str]:
    """A picture for the text of a mail, written anew as `shown_picture` does, and its media type.

    A GIF leaves as a PNG of its first frame. Raises NotShowable.
    """
    return _within_bounds(data, ("JPEG", "PNG", "GIF"))


def _within_bounds(data: bytes, formats: tuple[str, ...]) -> tuple[bytes, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _rewrite(data, formats)
    except NotShowable:
        raise
    except Exception as error:  # damaged files end in errors of every kind
        raise NotShowable(type(error).__name__) from error


def _rewrite(data: bytes, formats: tuple[str, ...]) -> tuple[bytes, str]:
    with Image.open(BytesIO(data), formats=formats) as image:
        kind = "PNG" if image.format == "GIF" else image.format
        most = MAX_PIXELS if kind == "JPEG" else MAX_PNG_PIXELS
        if image.width * image.height > most:
            raise NotShowable("too many pixels")
        image.draft("RGB", (EDGE, EDGE))
        image.load()
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((EDGE, EDGE))
        out = BytesIO()
        has_alpha = kind == "PNG" and ("A" in upright.getbands() or "transparency" in upright.info)
        clean = upright.convert("RGBA" if has_alpha else "RGB")
        clean.info.clear()  # comments, profiles and positions stay behind
        clean.save(out, str(kind), **({"quality": 88} if kind == "JPEG" else {}))
        return out.getvalue(), f"image/{str(kind).lower()}"
