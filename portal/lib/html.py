"""Mail HTML made harmless, and text made of it.

The allow-list knows text, lists, tables and links; nothing that runs, loads, submits, styles or names. What is left is
still shown only in a sandboxed frame with a policy of its own (WEB-4, WEB-5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from html import escape, unescape
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nh3

# Above any of these a document is shown as text only: what parses it takes time that grows with their square.
MAX_HTML = 1_000_000  # characters
MAX_TAGS = 5_000  # of kinds that can stand in one another
MAX_MARKS = 50_000  # of each of < > &
MAX_GAPS = 5_000  # between attributes of one tag (or words of one text, which nobody writes that long without a tag)
MAX_TEXT = 1_000_000  # characters of the text made of a document
MAX_LINE = 10_000  # characters; a longer line is broken
MAX_LABEL = 5_000  # characters of a link's text that are looked at
MAX_OUTGOING = 300_000  # characters of what a person writes
TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2",
    "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "ol", "p", "pre", "q", "s", "small", "span", "strike", "strong",
    "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href"},
    "img": {"alt"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
    "ol": {"start"},
}
DROPPED_WITH_CONTENT = {
    "script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math", "select", "textarea",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto", "tel"}
WITH_PICTURES = ATTRIBUTES | {"img": {"alt", "src"}}
LINK = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)
CID = re.compile(r"cid:([\w!#$%'*+./=?^`{|}~@-]{1,300})", re.ASCII)  # RFC 2392
PICTURE = re.compile(r"<img\b[^>]*>")  # in cleaned HTML, where no attribute holds a bare ">"
SOURCE = re.compile(r' src="(cid:[^"]*)"')
FORMATTED = re.compile(r"<(?!/|(?:p|div|br|span)[\s>])")
BLOCKS = frozenset(
    "address article blockquote center dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre"
    " section table tr ul".split()
)
NESTING = re.compile(
    r"<(?!(?:area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|param|source|tbody|td|th|tr|track|wbr)[\s/>])[a-z]",
    re.IGNORECASE,
)
GAPS = " \t\n\r\f/\"'"
TAG = re.compile(r"<[^<>]*>")
REMOTE = re.compile(
    r"<img\b(?![^>]{0,300}\bsrc\s*=\s*[\"']?cid:)|\bsrcset\s*=|\bbackground\s*=|url\s*\(|<(?:link|video|audio|iframe|embed|object)\b",
    re.IGNORECASE,
)


def clean_html(html: str, pictures: Collection[str] = ()) -> str:
    """Mail HTML reduced to the allow-list; images become their alternative text, links name the host they lead to.

    Of the images only those named by a content id in `pictures` stay, as `src="cid:…"`, for `place_pictures`. Empty when
    the document is larger or deeper than anyone writes: the caller shows the text then.
    """
    if _is_excessive(html):
        return ""
    kept, rewriter = _kept_cids if pictures else None, _Rewriter(frozenset(pictures))
    rewriter.feed(_allowed(html, keep=kept))
    rewriter.close()
    return _allowed("".join(rewriter.parts), keep=kept)


def clean_outgoing(html: str) -> str:
    """What a person wrote, fit to leave as mail: text, lists, quotes, tables, links with a scheme, pictures by content id.

    Empty when it is larger or deeper than anyone writes (300,000 characters): the caller refuses it then.
    """
    if len(html) > MAX_OUTGOING or _is_excessive(html):
        return ""
    clean = nh3.clean(
        html.replace("\0", ""),
        tags=TAGS,
        attributes=WITH_PICTURES,
        attribute_filter=_written_attribute,
        clean_content_tags=DROPPED_WITH_CONTENT,
        url_schemes=SCHEMES | {"cid"},
        link_rel=None,
        strip_comments=True,
    )
    return PICTURE.sub(lambda found: found[0] if SOURCE.search(found[0]) else "", clean)


def is_formatted(html: str) -> bool:
    """Whether cleaned HTML says more than lines of text do."""
    return FORMATTED.search(html) is not None


def picture_ids(html: str) -> tuple[str, ...]:
    """The content ids of the pictures in cleaned HTML, each once, in their order."""
    found = (SOURCE.search(tag) for tag in PICTURE.findall(html))
    return tuple(dict.fromkeys(_cid(unescape(source[1])) for source in found if source))


def place_pictures(html: str, addresses: Mapping[str, str]) -> str:
    """Cleaned HTML with the address of each picture in the place of its content id; a picture without one is left out."""

    def placed(found: re.Match[str]) -> str:
        source = SOURCE.search(found[0])
        address = addresses.get(_cid(unescape(source[1]))) if source else None
        return found[0].replace(source[0], f' src="{escape(address)}"') if source and address else ""

    return PICTURE.sub(placed, html)


def _cid(source: str) -> str:
    found = CID.fullmatch(source)
    return unquote(found[1]) if found else ""


def _kept_cids(tag: str, name: str, value: str) -> str | None:
    """Of a received mail's images, the sources inside the mail."""
    return None if name == "src" and not _cid(value) else value


def _written_attribute(tag: str, name: str, value: str) -> str | None:
    """Of what was written, pictures inside the mail and links that say their scheme."""
    return None if name == "href" and not LINK.match(value) else _kept_cids(tag, name, value)


def _is_excessive(html: str) -> bool:
    """Whether a document would take seconds to parse. Counting takes milliseconds and needs no parser."""
    return (
        len(html) > MAX_HTML
        or max(map(html.count, "<>&")) > MAX_MARKS
        or sum(1 for _ in NESTING.finditer(html)) > MAX_TAGS
        or any(sum(map(run.count, GAPS)) > MAX_GAPS for run in html.split(">") if len(run) > MAX_GAPS)
    )


def _allowed(
    html: str,
    more_tags: frozenset[str] = frozenset(),
    keep: Callable[[str, str, str], str | None] | None = None,
) -> str:
    """The allow-list; with `keep`, sources of images that it keeps too."""
    return nh3.clean(
        html.replace("\0", ""),
        tags=TAGS | more_tags,
        attributes=WITH_PICTURES if keep else ATTRIBUTES,
        attribute_filter=keep,
        clean_content_tags=DROPPED_WITH_CONTENT,
        url_schemes=SCHEMES | {"cid"} if keep else SCHEMES,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        strip_comments=True,
    )


def has_remote_content(html: str) -> bool:
    """Whether the mail wanted something fetched from elsewhere, so that the page can say that it was blocked."""
    return REMOTE.search(html[:MAX_HTML]) is not None


def text_of(html: str, *, own: bool = False) -> str:
    """The readable text of an HTML mail: a line per block, `> ` before quoted lines, a link's address behind its text.

    `own` is for what `clean_outgoing` gave: the words of its pictures stand in the text.
    """
    if _is_excessive(html):
        return " ".join(unescape(TAG.sub(" ", html[:MAX_HTML])).split())
    reader = _Reader(names_pictures=own)
    reader.feed(_allowed(html, BLOCKS, _kept_cids if own else None))  # well-formed then, which the reader needs to be quick
    reader.close()
    return reader.text()[:MAX_TEXT]


def snippet(text: str, length: int = 140) -> str:
    """The first words of a mail's own text on one line, quoted lines left out."""
    lines = (line.strip() for line in text[: length * 40].splitlines())
    words = " ".join(" ".join(line for line in lines if line and not line.startswith(">")).split())
    return words if len(words) <= length else words[: length - 1].rsplit(" ", 1)[0].rstrip() + "…"


class _Rewriter(HTMLParser):
    """Passes cleaned HTML through, with the host behind each link and the words of each image in its place."""

    def __init__(self, pictures: frozenset[str]) -> None:
        super().__init__(convert_charrefs=False)
        self.pictures = pictures
        self.parts: list[str] = []
        self.href = ""
        self.linked = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img" and _cid(values.get("src") or "") not in self.pictures:
            if words := (values.get("alt") or "").strip():
                self.handle_data(f"[{escape(words)}]")
            return
        if tag == "a":
            self.href, self.linked = values.get("href") or "", ""
        self.parts.append(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")
        if tag == "a":
            host = host_of(self.href)
            if host and host not in self.linked.lower():
                self.parts.append(f" <small>[{escape(host)}]</small>")
            self.href = ""

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
        if self.href and len(self.linked) < MAX_LABEL:
            self.linked += data

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")


def host_of(href: str) -> str:
    """The host that a web link really leads to, in lower case; empty for anything else."""
    try:
        parts = urlsplit(href)
        return (parts.hostname or "").lower() if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


class _Reader(HTMLParser):
    """Collects the text of a document in lines."""

    def __init__(self, *, names_pictures: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.names_pictures = names_pictures
        self.lines: list[str] = []
        self.line = ""
        self.quoted = 0
        self.href = ""
        self.link_text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self._break()
        if tag == "br":
            self._break(always=True)
        elif tag == "blockquote":
            self.quoted += 1
        elif tag == "li":
            self.line = "- "
        elif tag in ("td", "th") and self.line:
            self.line += "  "
        elif tag == "a":
            self.href, self.link_text = dict(attrs).get("href") or "", ""
        elif tag == "img" and self.names_pictures:
            self.handle_data(f"[{dict(attrs).get('alt') or 'picture'}]")

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self._break()
            if tag in ("p", "h1", "h2", "h3", "blockquote", "table"):
                self.lines.append("")
        if tag == "blockquote":
            self.quoted = max(0, self.quoted - 1)
        elif tag == "a":
            host = host_of(self.href)
            if host and host not in self.link_text.lower():
                self.line += f" <{self.href[:500]}>"
            self.href = ""

    def handle_data(self, data: str) -> None:
        words = re.sub(r"\s+", " ", data)
        self.line += words if self.line.strip() else words.lstrip()
        if self.href and len(self.link_text) < MAX_LABEL:
            self.link_text += words
        if len(self.line) > MAX_LINE:
            self._break()

    def _break(self, always: bool = False) -> None:
        if self.line.strip() or always:
            self.lines.append("> " * min(self.quoted, 10) + self.line.strip())
        self.line = ""

    def text(self) -> str:
        """The lines so far, with at most one empty line in a row."""
        self._break()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).strip()
