"""What a file is by its bytes, whether its name lies, and names that are safe to show."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from portal.lib.sniff import EICAR, HEAD_BYTES, MAX_NAME, content_type, danger, display_name, extension, is_dangerous

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20
PDF = b"%PDF-1.7\n"
EXE = b"MZ\x90\x00\x03" + b"\0" * 60
GIF_JS = b"GIF89a/*" + b"\x01\0\x01\0" + b"*/=1;alert(1)"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!-- x --> <html><script>alert(1)</script>"


def zipped(name: str = "a.txt", size: int = 10) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"0" * size)
    return out.getvalue()


@pytest.mark.requirement("ATT-1")
@pytest.mark.bad_input(31)
@pytest.mark.parametrize(
    ("data", "name", "kind", "why"),
    [
        (JPEG, "photo.jpg", "image/jpeg", ""),
        (JPEG, "photo.JPEG", "image/jpeg", ""),
        (PNG, "photo.jpg", "image/png", ""),  # another picture is no disguise
        (PDF, "form.pdf", "application/pdf", ""),
        (b"\xef\xbb\xbf \n" + PDF, "form.pdf", "application/pdf", ""),
        (b"hello", "note.txt", "text/plain", ""),
        (b"a,b\n", "list.csv", "text/csv", ""),
        (b"BEGIN:VCALENDAR", "invite.ics", "text/calendar", ""),
        (b"\x78\x9f\x3e\x22" + b"\0" * 9, "winmail.dat", "application/ms-tnef", ""),
        (b"0\x82\x01", "smime.p7s", "text/plain", ""),
        (zipped(), "photos.zip", "application/zip", ""),
        (
            zipped("word/document.xml"),
            "letter.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "",
        ),
        (b"Rar!\x1a\x07\x01\x00encrypted", "secret.rar", "application/vnd.rar", ""),
        (b"", "empty.jpg", "text/plain", ""),
        (HTML, "page.html", "text/html", ""),
        (HTML, "photo.jpg", "text/html", "disguised"),
        (EXE, "photo.jpg", "application/x-msdownload", "dangerous"),
        (EXE, "report.pdf", "application/x-msdownload", "dangerous"),
        (EXE, "report.pdf.exe", "application/x-msdownload", "dangerous"),
        (PDF, "report.pdf.exe", "application/pdf", "dangerous"),
        (zipped("word/vbaProject.bin"), "letter.docm", "application/zip", "dangerous"),
        (zipped(), "letter.xlsm", "application/zip", "dangerous"),
        (b"alert(1)", "script.js", "text/plain", "dangerous"),
        (b"\x7fELF" + b"\0" * 9, "x", "application/x-executable", "dangerous"),
        (SVG, "logo.svg", "image/svg+xml", ""),
        (SVG, "photo.png", "image/svg+xml", "disguised"),
        (b"<svg onload=alert(1)>", "photo.jpg", "image/svg+xml", "disguised"),
        (GIF_JS, "photo.gif", "image/gif", ""),
        (GIF_JS, "code.js", "image/gif", "dangerous"),
        (PDF, "photo.png", "application/pdf", "disguised"),
        (zipped(), "form.pdf", "application/zip", "disguised"),
        (b"plain words", "form.pdf", "text/plain", "disguised"),
        (b"plain words", "song.mp3", "text/plain", "disguised"),
        (PDF + EICAR, "form.pdf", "application/pdf", "dangerous"),
    ],
)
def test_kind_and_danger(data: bytes, name: str, kind: str, why: str) -> None:
    assert content_type(data, name) == kind
    assert danger(data, name) == why
    assert is_dangerous(data, name) is bool(why)


@pytest.mark.requirement("ATT-4")
@pytest.mark.bad_input(31)
def test_an_archive_is_never_opened() -> None:
    bomb = zipped("bomb", 200_000_000)
    started = time.process_time()
    assert danger(bomb, "bomb.zip") == ""
    assert danger(bomb[:60], "cut.zip") == ""
    assert time.process_time() - started < 5


@pytest.mark.parametrize("unit", [b"<!---->", b"<!--", b" ", b"<", b"\0", b"<!-- -->\n", b"II*\0"])
def test_a_look_at_a_file_takes_no_time(unit: bytes) -> None:
    data = (unit * HEAD_BYTES)[: 10 * HEAD_BYTES]
    started = time.process_time()
    content_type(data, "x.jpg")
    assert time.process_time() - started < 5


@pytest.mark.requirement("ATT-2")
@pytest.mark.bad_input(23)
@pytest.mark.bad_input(32)
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../x", "x"),
        ("C:\\x\\y.pdf", "y.pdf"),
        ("C:x.pdf", "x.pdf"),
        ("/etc/passwd", "passwd"),
        ("..", "attachment"),
        ("", "attachment"),
        ("   ", "attachment"),
        (".htaccess", "htaccess"),
        ("a\0b.pdf", "ab.pdf"),
        ("a\r\nSet-Cookie: x.pdf", "a Set-Cookie_ x.pdf"),
        ('a"b;c.pdf', "a_b;c.pdf"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("LPT1.pdf", "_LPT1.pdf"),
        ("console.txt", "console.txt"),
        ("invoice\u202efdp.exe", "invoice\ufffdfdp.exe"),
        ("a\u200bb\ufeff.pdf", "a\ufffdb\ufffd.pdf"),
        ("a\ud800.pdf", "a\ufffd.pdf"),
        ("a\u2028b.pdf", "a\ufffdb.pdf"),
        ("a\u00a0 b.pdf", "a b.pdf"),
        ("Anamnese – Müller.pdf", "Anamnese – Müller.pdf"),
        ("صورة.jpg", "صورة.jpg"),
        ("x" * 4096 + ".pdf", "x" * 116 + ".pdf"),
        ("x." + "y" * 4096, "x." + "y" * 118),
        ("a.pdf . . ", "a.pdf"),
        ("=?utf-8?", "=_utf-8_"),
    ],
)
def test_a_name_is_safe_to_show_and_to_save(written: str, shown: str) -> None:
    assert display_name(written) == shown
    assert display_name(shown) == shown
    assert len(display_name(written)) <= MAX_NAME
    display_name(written).encode()


@pytest.mark.bad_input(32)
def test_the_ending_is_what_is_shown() -> None:
    assert extension("invoice\u202efdp.exe") == "exe"
    assert extension("report.pdf.exe") == "exe"
    assert extension("exe.") == ""
    assert extension("a.pdf ") == "pdf"
    assert extension("none") == ""
