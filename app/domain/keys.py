"""The text of API keys: generate, parse, hash and redact them.

A key is written `cbk_<id>_<secret><checksum>`. Scanners recognize a leaked key by the prefix, the
checksum detects a typing error without a query, and the id finds the row. Only a hash of the
secret is stored. Clients of the platform also send a long form,
`<key>*<base64 of {"baseUrl": …}>`.
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
_KEY_PATTERN = re.compile(
    rf"{_PREFIX}_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})"
    rf"([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)

_SECRET_PATTERN = re.compile(rf"({_PREFIX}_[0-9A-Za-z]{{1,{_ID_LENGTH}}}_)[0-9A-Za-z]+")

RANDOM_BYTES = 32
"""How many random bytes a new key needs: 8 for the id and 24 (192 bits) for the secret."""


class KeyText(NamedTuple):
    """The id and the secret of a key."""

    key_id: str
    secret: str

    @classmethod
    def from_random(cls, random: bytes) -> Self:
        """Return a new key, made from `RANDOM_BYTES` random bytes."""
        return cls(_base62(random[:8], _ID_LENGTH), _base62(random[8:], _SECRET_LENGTH + 1)[1:])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse the short or long form; return None if it is malformed or has a wrong checksum."""
        match = _KEY_PATTERN.fullmatch(text.partition("*")[0])
        if match is None:
            return None
        key = cls(match[1], match[2])
        return key if key.checksum == match[3] else None

    @property
    def checksum(self) -> str:
        """Six characters that detect a typing error."""
        crc = zlib.crc32(f"{_PREFIX}_{self.key_id}_{self.secret}".encode())
        return _base62(crc.to_bytes(4, "big"), _CHECKSUM_LENGTH)

    @property
    def secret_hash(self) -> bytes:
        """The hash that is stored. Because the secret is random, a slow hash would add nothing."""
        return hmac.digest(self.key_id.encode(), self.secret.encode(), "sha256")

    def long_form(self, base_url: str) -> str:
        """Return the key with the URL of the service, for clients without an option for it."""
        config = json.dumps({"baseUrl": base_url}).encode()
        return f"{self}*{base64.b64encode(config).decode()}"

    def __str__(self) -> str:
        return f"{_PREFIX}_{self.key_id}_{self.secret}{self.checksum}"


def redact_secrets(text: str) -> str:
    """Replace the secrets of keys, even truncated ones, by an ellipsis; the ids stay."""
    return _SECRET_PATTERN.sub(r"\1…", text)


def _base62(value: bytes, length: int) -> str:
    number = int.from_bytes(value, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
