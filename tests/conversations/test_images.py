"""Pictures shown in the page: written anew, upright, without EXIF, within bounds of pixels, time and memory."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from portal.conversations.images import EDGE, NotShowable, sent_picture, shown_picture


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), mode: str = "RGB", **saved: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "red" if mode.startswith("RGB") else 0).save(out, kind, **saved)
    return out.getvalue()


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size, whatever its data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.requirement("ATT-3")
def test_place_and_camera_are_dropped_and_the_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "canary-camera"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    data = picture(exif=exif, comment=b"canary-comment", icc_profile=b"canary-profile")
    assert b"canary" in data
    shown, media_type = shown_picture(data)
    assert media_type == "image/jpeg"
    assert b"canary" not in shown
    assert not opened(shown).getexif()
    assert opened(shown).size == (40, 60)


@pytest.mark.requirement("ATT-3")
def test_a_png_keeps_its_see_through_parts_and_nothing_else() -> None:
    info = PngInfo()
    info.add_text("Author", "canary")
    shown, media_type = shown_picture(picture("PNG", mode="RGBA", pnginfo=info) + b"<script>canary</script>")
    assert (media_type, opened(shown).mode) == ("image/png", "RGBA")
    assert b"canary" not in shown
    assert opened(shown_picture(picture("PNG", mode="P"))[0]).mode == "RGB"


def test_a_large_picture_is_made_smaller() -> None:
    shown, _ = shown_picture(picture(size=(6000, 3000)))
    assert max(opened(shown).size) == EDGE


@pytest.mark.requirement("ATT-4")
@pytest.mark.bad_input(31)
@pytest.mark.parametrize(
    "data",
    [
        png_of(50_000, 50_000, zlib.compress(b"\0" * 10_000_000, 9)),
        png_of(2**31 - 1, 1),
        png_of(4500, 4500, zlib.compress(b"\0" * 1000)),
        png_of(0, 0),
        picture("PNG", size=(9000, 2500)),
    ],
    ids=["bomb", "wide", "cut", "none", "many pixels"],
)
def test_a_bomb_costs_nothing(data: bytes) -> None:
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(NotShowable):
        shown_picture(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - started < 20
    assert peak < 100_000_000


@pytest.mark.requirement("ATT-3")
@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "ICO"])
def test_other_formats_are_never_shown(kind: str) -> None:
    with pytest.raises(NotShowable):
        shown_picture(picture(kind))


@pytest.mark.requirement("ATT-3")
@pytest.mark.parametrize(
    "data", [b"", b"<svg onload=alert(1)>", b"<html>", b"GIF89a/*", b"\xff\xd8\xff", b"%PDF-1.7", b"PK\x03\x04"]
)
def test_what_is_no_picture_is_never_shown(data: bytes) -> None:
    with pytest.raises(NotShowable):
        shown_picture(data)


def test_damaged_pictures_end_in_one_error() -> None:
    chance = random.Random(7)
    for kind in ("JPEG", "PNG"):
        whole = picture(kind, size=(80, 80))
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 20)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                shown_picture(bytes(data[: chance.randint(20, len(data))]))
            except NotShowable:
                continue


@pytest.mark.requirement("ATT-3")
def test_a_gif_leaves_as_a_png_of_its_first_frame() -> None:
    sent, media_type = sent_picture(picture("GIF", comment=b"canary-comment"))
    assert (media_type, opened(sent).format, opened(sent).size) == ("image/png", "PNG", (60, 40))
    assert b"canary" not in sent
    assert sent_picture(picture("JPEG"))[1] == "image/jpeg"
    with pytest.raises(NotShowable):
        sent_picture(picture("BMP"))
