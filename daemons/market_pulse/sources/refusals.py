"""What kind of refusal an answer without data is, by its wording."""

import re
from collections.abc import Mapping
from typing import Any

from market_pulse.sources.base import Refusal, RefusedError

_MAX_SENTENCE = 300
_MAX_SHOWN = 40
# The vendor has moved the same sentence from one of these keys to another before.
_KEYS = ("error message", "information", "note", "message")
# In this order: the refusal of a burst also mentions the limit of the day.
_HINTS = (
    ("apikey", Refusal.BAD_KEY),
    ("per second", Refusal.BURST),
    ("per minute", Refusal.BURST),
    ("per day", Refusal.QUOTA),
    ("premium endpoint", Refusal.NOT_ENTITLED),
    ("premium feature", Refusal.NOT_ENTITLED),
    ("demo purposes", Refusal.NOT_ENTITLED),
    # The same, where the key that was taken out of it is the demo key.
    ("purposes only", Refusal.NOT_ENTITLED),
    ("api call volume", Refusal.BURST),
    ("invalid api call", Refusal.BAD_CALL),
    ("does not exist", Refusal.BAD_CALL),
)
_INVENTED = re.compile(r"artificial|for illustration purposes", re.IGNORECASE)


def refuse_invented(text: str) -> None:
    """Refuse an answer that says of itself that its data are made up, whatever else it holds.

    Raises:
        RefusedError: it does.
    """
    found = _INVENTED.search(text)
    if found:
        around = " ".join(text[max(0, found.start() - _MAX_SHOWN) : found.end() + _MAX_SHOWN].split())
        raise RefusedError(Refusal.INVENTED, f"the vendor says that its data are made up: {shown(around, 200)}")


def refusal(answer: Mapping[str, Any]) -> RefusedError:
    """Return the refusal that an answer without data is."""
    for key, sentence in answer.items():
        if key.lower() in _KEYS and isinstance(sentence, str) and sentence.strip():
            words = sentence.lower()
            kind = next((kind for hint, kind in _HINTS if hint in words), Refusal.VENDOR_ERROR)
            return RefusedError(kind, _plain(sentence)[:_MAX_SENTENCE])
    return broken(f"the answer has no data; its keys are {', '.join(shown(key) for key in list(answer)[:5])}")


def broken(sentence: str) -> RefusedError:
    """Return the refusal of an answer that is not what was asked for."""
    return RefusedError(Refusal.VENDOR_ERROR, _plain(sentence)[:_MAX_SENTENCE])


def shown(value: object, length: int = _MAX_SHOWN) -> str:
    """Return the beginning of a value as it may stand in a sentence."""
    return ascii(value[:length]) if isinstance(value, str) else f"a {type(value).__name__}"


def _plain(sentence: str) -> str:
    """Return a sentence for journal and status line: whoever wrote it put no letter there that breaks either."""
    text = " ".join(sentence.split()).encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)
