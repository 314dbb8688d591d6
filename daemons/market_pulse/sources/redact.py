"""Takes the API key out of what the vendor said, however it is spelled there.

The vendor prints the key in the refusal of a spent day, and an error page may quote the address that was asked.
"""

import re

MASK = "***"
_WIDE = ("utf-16-le", "utf-16-be")
# So much of a key's end at the start of an answer is no coincidence; less of it could begin a column's name.
_TELLING = 4
# Bytes of the longest spelling of a letter, but for zeros in front.
_LONGEST_SPELLING = 12
# What is left of a letter's spelling that was cut off.
_HALF_A_LETTER = rb"(?:\\(?:u[0-9a-fA-F]{0,3})?|%[0-9a-fA-F]?|&(?:#[xX]?[0-9a-fA-F]*)?|[\xc2-\xf4][\x80-\xbf]{0,2}|\0)?"


class Redactor:
    """Masks one key."""

    def __init__(self, key: str) -> None:
        """Mask a key in plain text and in the escapes of JSON, HTML and addresses, mixed in any way."""
        self._key = key
        letters = [_spellings(letter) for letter in key]
        self._pattern = re.compile(b"".join(letters))
        self._wide = [(key.encode(encoding), MASK.encode(encoding)) for encoding in _WIDE]
        # Of an answer that ends or begins inside the key, the longest part of the key that is there.
        heads = [letters[:length] for length in range(len(key) - 1, 0, -1)]
        self._heads = [re.compile(b"".join(head) + _HALF_A_LETTER + rb"\Z") for head in heads]
        self._tails = [re.compile(b"".join(letters[-length:])) for length in range(len(key) - 1, _TELLING - 1, -1)]

    def body(self, body: bytes) -> bytes:
        """Return an answer's bytes without the key."""
        body = self._pattern.sub(MASK.encode(), body)
        for key, mask in self._wide:
            body = body.replace(key, mask)
        return self._without_half_a_key(body)

    def _without_half_a_key(self, body: bytes) -> bytes:
        """Return an answer without what is left of the key where it was cut off in the middle of that."""
        for encoding in _WIDE:
            body = self._without_half_a_wide_key(body, encoding)
        start = max(0, len(body) - _LONGEST_SPELLING * (len(self._key) + 1))
        found = next(filter(None, (head.search(body, start) for head in self._heads)), None)
        if found:
            body = body[: found.start()] + MASK.encode()
        found = next(filter(None, (tail.match(body) for tail in self._tails)), None)
        return MASK.encode() + body[found.end() :] if found else body

    def _without_half_a_wide_key(self, body: bytes, encoding: str) -> bytes:
        mask = MASK.encode(encoding)
        lengths = range(len(self._key) - 1, 0, -1)
        head = next((h for length in lengths if body.endswith(h := self._key[:length].encode(encoding))), b"")
        if head:
            body = body[: -len(head)] + mask
        tails = (self._key[-length:].encode(encoding) for length in lengths if length >= _TELLING)
        tail = next((tail for tail in tails if body.startswith(tail)), b"")
        return mask + body[len(tail) :] if tail else body

    def text(self, text: str) -> str:
        """Return a sentence without the key."""
        return text.replace(self._key, MASK)


def _spellings(character: str) -> bytes:
    """Return the expression for one character of the key in every spelling."""
    plain, number = character.encode(), ord(character)
    spellings = [
        re.escape(plain),
        rb"\\" + re.escape(plain),
        b"".join(rb"\\u(?i:%04x)" % unit for unit in _utf16_units(character)),
        b"".join(b"%%(?i:%02x)" % byte for byte in plain),
        b"&#0*%d;" % number,
        b"&#(?i:x)0*(?i:%x);" % number,
    ]
    return b"(?:" + b"|".join(spellings) + b")"


def _utf16_units(character: str) -> list[int]:
    encoded = character.encode("utf-16-be")
    return [int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2)]
