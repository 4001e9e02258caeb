"""The signing key of the stand-in: id_tokens and push tokens are RS256 JWTs, their public half is the JWKS."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from sandbox.persistence import Store


class SigningKey:
    """One RSA key with its key id, and a second one that nobody publishes (for forged signatures)."""

    def __init__(self, key: RSAKey) -> None:
        self._key = key
        self._foreign: RSAKey | None = None
        thumb = key.as_dict(private=False)["n"]
        self.kid = hashlib.sha256(str(thumb).encode()).hexdigest()[:40]

    @classmethod
    def load(cls, store: Store) -> SigningKey:
        """The key of an earlier run, or a new one."""
        kept = store.read_value("signing_key")
        if kept:
            return cls(RSAKey.import_key(kept))
        key = RSAKey.generate_key(2048, auto_kid=False)
        store.put("value", "signing_key", key.as_dict(private=True))
        return cls(key)

    def sign(self, claims: dict[str, Any], forged: bool = False) -> str:
        """A compact RS256 JWT; `forged` signs with the key that is not in the JWKS, under the published key id."""
        key = self._key
        if forged:
            self._foreign = self._foreign or RSAKey.generate_key(2048, auto_kid=False)
            key = self._foreign
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": self.kid}, claims, key)

    def private_pem(self) -> bytes:
        """The key as DKIM signers take it (PKCS#1)."""
        key = self._key.private_key
        if key is None:
            raise ValueError("half a key signs nothing")
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    def public_der(self) -> bytes:
        """The public half as a DKIM record bears it."""
        return self._key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        public = {k: v for k, v in self._key.as_dict(private=False).items() if k in ("kty", "n", "e")}
        return {"keys": [{**public, "kid": self.kid, "alg": "RS256", "use": "sig"}]}
