"""`python -m devtools.unpack FOLDER`: unpack npm's Chromium there. Runs in the virtual environment (it has brotli)."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import brotli

FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


def unpack(folder: Path) -> None:
    """The program, its libraries, and fonts with a configuration that finds them: without it pages stay white."""
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    for name in ("al2023", "fonts"):
        archive = brotli.decompress((packed / f"{name}.tar.br").read_bytes())
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder / name)  # noqa: S202  a pinned package of npm
    (folder / "fonts.conf").write_text(FONTS_CONF.format(fonts=folder / "fonts", cache=folder / "font-cache"))
    program = folder / "chromium"
    fresh = folder / "chromium.part"
    fresh.write_bytes(brotli.decompress((packed / "chromium.br").read_bytes()))
    fresh.chmod(0o755)
    fresh.replace(program)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
