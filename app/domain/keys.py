"""API keys: how they are written, checked and hashed.

`cbk_<id>_<secret><checksum>`: the prefix lets scanners find a leaked key, the checksum refuses a
typing error without asking the store, the id finds the row, and of the secret only a hash is kept.
Clients of the platform also send a long form, `<key>*<base64 of {"baseUrl": …}>`.
"""

import base64
import hmac
import json
import re
import zlib
from typing import NamedTuple, Self

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "cbk"
_ID_LENGTH = 12
_SECRET_LENGTH = 32
_CHECKSUM_LENGTH = 6
_WRITTEN = re.compile(
    rf"{_PREFIX}_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})"
    rf"([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)

_SECRET = re.compile(rf"({_PREFIX}_[0-9A-Za-z]{{1,{_ID_LENGTH}}}_)[0-9A-Za-z]+")

RANDOM_BYTES = 32
"""What a new key is made of: 8 bytes for the id, 24 (192 bits) for the secret."""


class KeyText(NamedTuple):
    """A key as its owner holds it."""

    key_id: str
    secret: str

    @classmethod
    def from_random(cls, random: bytes) -> Self:
        """A new key, from `RANDOM_BYTES` random bytes."""
        return cls(_base62(random[:8], _ID_LENGTH), _base62(random[8:], _SECRET_LENGTH + 1)[1:])

    @classmethod
    def parse(cls, written: str) -> Self | None:
        """A key in its short or long form; None when it is none, or mistyped."""
        match = _WRITTEN.fullmatch(written.partition("*")[0])
        if match is None:
            return None
        key = cls(match[1], match[2])
        return key if key.checksum == match[3] else None

    @property
    def checksum(self) -> str:
        """Tells a mistyped key from an unknown one."""
        crc = zlib.crc32(f"{_PREFIX}_{self.key_id}_{self.secret}".encode())
        return _base62(crc.to_bytes(4, "big"), _CHECKSUM_LENGTH)

    @property
    def secret_hash(self) -> bytes:
        """What the store keeps. The secret is random, so that a slow hash would add nothing."""
        return hmac.digest(self.key_id.encode(), self.secret.encode(), "sha256")

    def long_form(self, base_url: str) -> str:
        """The key with the address of the service, for clients that have no option for it."""
        address = json.dumps({"baseUrl": base_url}).encode()
        return f"{self}*{base64.b64encode(address).decode()}"

    def __str__(self) -> str:
        return f"{_PREFIX}_{self.key_id}_{self.secret}{self.checksum}"


def redact_secrets(text: str) -> str:
    """A text in which keys, whole or in part, are cut short; their ids stay, to find them by."""
    return _SECRET.sub(r"\1…", text)


def _base62(value: bytes, length: int) -> str:
    number = int.from_bytes(value, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
