"""One envelope for everything that is encrypted at rest: AES-256-GCM with a key id, bound to where it stands.

Layout of a sealed value: version byte, length of the key id, key id, 12 bytes nonce, ciphertext with tag.
What a value is bound to (table and column, account, row) is authenticated but not stored, so that a value copied
into another row, column or account does not open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
NONCE_BYTES = 12


class SealError(Exception):
    """A sealed value did not open: unknown key, wrong place, or changed bytes. Carries no content."""


class Envelope:
    """Seals with the first key, opens with any. `keys` are (id, 32 bytes) pairs."""

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        pairs = list(keys)
        if not pairs:
            raise ValueError("an envelope needs at least one key")
        self.current = pairs[0][0]
        self._ciphers = {name: AESGCM(key) for name, key in pairs}
        name = self.current.encode()
        self._head = bytes([VERSION, len(name)]) + name

    def seal(self, data: bytes, bound_to: str) -> bytes:
        """Encrypt `data` with the current key, bound to the place named by `bound_to`."""
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._ciphers[self.current].encrypt(nonce, data, bound_to.encode())

    def open(self, sealed: bytes, bound_to: str) -> bytes:
        """Decrypt what `seal` made. Raises SealError when key, place or bytes do not fit."""
        name, start = self._split(sealed)
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SealError(f"sealed with key {name!r}, which is not loaded")
        nonce, body = sealed[start : start + NONCE_BYTES], sealed[start + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, body, bound_to.encode())
        except InvalidTag:
            raise SealError("a sealed value does not open in this place") from None

    def key_of(self, sealed: bytes) -> str:
        """The id of the key a value was sealed with."""
        return self._split(sealed)[0]

    @staticmethod
    def _split(sealed: bytes) -> tuple[str, int]:
        if len(sealed) < 2 + NONCE_BYTES or sealed[0] != VERSION:
            raise SealError("not a sealed value")
        start = 2 + sealed[1]
        return sealed[2:start].decode("ascii", "replace"), start
