"""Passwords: argon2id (RFC 9106, second recommended option), written anew when the parameters change."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

MAX_PASSWORD = 1000  # characters; hashing what is longer would only burn time
_hasher = PasswordHasher()
# What an unknown person's password is compared with, so that the answer takes as long as a known one's: the hash of
# forty random characters that were thrown away.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$IvqZO0hW+yYYYOE99BT/bQ$0KlcKK7vY890jKt6lYEa6rUyGEjeXc73PanaAmmwj9U"


def hash_password(password: str) -> str:
    """The argon2id hash to store. Raises ValueError on a password over MAX_PASSWORD characters."""
    if len(password) > MAX_PASSWORD:
        raise ValueError("password too long")
    return _hasher.hash(password)


def check_password(password_hash: str, password: str) -> bool:
    """Whether the password is the one behind the hash. An empty hash is nobody's and takes the same time."""
    try:
        matches = _hasher.verify(password_hash or NOBODY, password[:MAX_PASSWORD])
    except (Argon2Error, InvalidHashError):
        return False
    return matches and bool(password_hash) and len(password) <= MAX_PASSWORD


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)
