"""What the pages are made of: templates without inline code, icons that exist, vendored files that nobody changed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "portal" / "templates"
ALL = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))
SPRITE = ROOT / "portal" / "static" / "vendor" / "tabler-icons" / "sprite.svg"
OWN_DOCUMENTS = {"conversations/mail.html"}  # shown in a sandboxed frame under a policy of its own
SIGNED_TEXTS = "acknowledgement/"  # kept as they were signed; code reads them by version
MAX_LINES = 150


def source(name: str) -> str:
    """A template without its comments."""
    return re.sub(r"{#.*?#}", "", (TEMPLATES / name).read_text(), flags=re.DOTALL)


def named_templates() -> set[str]:
    """Every template that another one names."""
    return {found for name in ALL for found in re.findall(r'"([a-z0-9_/-]+\.html)"', source(name))}


@pytest.mark.requirement("WEB-2")
@pytest.mark.parametrize("name", ALL)
def test_no_inline_code(name: str) -> None:
    """The policy of the pages refuses inline scripts and styles, so none may be written."""
    text = source(name)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "inline script"
    assert not re.search(r"\sstyle\s*=", text), "inline style"
    assert not re.search(r"<[^>{]*\son[a-z]+\s*=", text), "inline handler"
    assert "javascript:" not in text
    if name not in OWN_DOCUMENTS:
        assert "<style" not in text


@pytest.mark.parametrize("name", ALL)
def test_extends_a_layout_or_is_a_part(name: str) -> None:
    """A page stands in a layout; what does not is a part that another template uses."""
    text = source(name)
    extends = re.search(r'{%-?\s*extends\s+"layouts/', text)
    is_part = name in named_templates() or name.startswith((SIGNED_TEXTS, "components/"))
    assert extends or is_part or name in OWN_DOCUMENTS


@pytest.mark.parametrize("name", ALL)
def test_is_short(name: str) -> None:
    assert len((TEMPLATES / name).read_text().splitlines()) < MAX_LINES


def test_components_hold_one_macro_each() -> None:
    """One file, one macro, of the same name."""
    for path in sorted((TEMPLATES / "components").glob("*.html")):
        assert re.findall(r"{%-?\s*macro\s+(\w+)", path.read_text()) == [path.stem]


def test_icons_exist_and_are_used() -> None:
    """The sprite holds every icon that is named, and no other."""
    drawn = set(re.findall(r'<symbol id="([^"]+)"', SPRITE.read_text()))
    texts = [source(name) for name in ALL]
    texts += [path.read_text() for path in (ROOT / "portal").rglob("*.py")]
    named = {icon for text in texts for icon in re.findall(r'\b(?:icon|draw)(?:\(|=)"([a-z0-9-]+)"', text)}
    quoted = {word for text in texts for word in re.findall(r'"([a-z0-9-]+)"', text)}
    assert named <= drawn
    assert drawn <= quoted


def test_vendored_files_are_unchanged() -> None:
    """The checksums of VENDOR.md hold, and every vendored file has a line there."""
    vendor = ROOT / "portal" / "static" / "vendor"
    listed = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (vendor / "VENDOR.md").read_text(), re.MULTILINE))
    for name, checksum in listed.items():
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == checksum, name
    there = {path.relative_to(ROOT).as_posix() for path in vendor.rglob("*") if path.is_file()}
    assert {name for name in there if not name.endswith(("LICENSE", "VENDOR.md"))} <= set(listed)


def test_nothing_is_loaded_from_elsewhere() -> None:
    """Styles, scripts and templates name no other host; the namespace of SVG is a name, not an address."""
    own = [*TEMPLATES.rglob("*.html"), *(ROOT / "portal" / "static" / "css").glob("*.css")]
    own += (ROOT / "portal" / "static" / "js").glob("*.js")
    for path in own:
        assert not re.search(
            r"src=\"(https?:)?//|<link[^>]*href=\"(https?:)?//|@import|url\(\"?(https?:)?//", path.read_text()
        ), path
