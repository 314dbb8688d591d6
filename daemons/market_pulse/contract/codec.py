"""Between the records and their bytes on the topic."""

from datetime import datetime

import msgspec

from market_pulse.contract.records import MAX_MESSAGE_BYTES, VERSION, AnswerRecord, Bar, Reason, Rejection
from market_pulse.contract.rules import first_violation, told_too_early

# Of what somebody else wrote, so that no sentence grows with it.
_SHOWN = 32
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bar)
_answer_decoder = msgspec.json.Decoder(AnswerRecord)


class _Envelope(msgspec.Struct):
    v: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    kind: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def encode(record: Bar | AnswerRecord) -> bytes:
    """Return the wire form of a bar or of an answer's record."""
    return _encoder.encode(record)


def decode(
    key: bytes | None,
    value: bytes | None,
    appended_at: datetime | None = None,
    replayed_at: datetime | None = None,
) -> Bar | AnswerRecord | Rejection:
    """Return what a Kafka record holds, or why it is neither bar nor answer. Never raises for any bytes.

    `appended_at` is the record's own time, when the broker took it; None where it is not known. At a replay from
    quarantine, `replayed_at` stands for it, and what lay in the future then may not do so now.
    """
    if value is None:
        return Rejection(Reason.TOMBSTONE, "the record has no value; a bar is never deleted")
    if len(value) > MAX_MESSAGE_BYTES:
        return Rejection(Reason.TOO_LARGE, f"{len(value)} bytes; a bar has at most {MAX_MESSAGE_BYTES}")
    try:
        # As text, for msgspec looks at the letters of a string only when it needs them.
        text = value.decode()
        found = _decode_text(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Rejection(Reason.NOT_JSON, str(error))
    if isinstance(found, Rejection):
        return found
    if key is None or key != found.symbol.encode():
        shown = None if key is None else key[:_SHOWN]
        return Rejection(Reason.KEY_MISMATCH, f"the record's key is {shown!r}, its symbol is {found.symbol[:_SHOWN]!r}")
    violation = first_violation(found, replayed_at)
    judged_at = replayed_at or appended_at
    if violation is None and judged_at is not None:
        violation = told_too_early(found, judged_at)
    return violation or found


def _decode_text(text: str) -> Bar | AnswerRecord | Rejection:
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        message = str(error)
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
    except msgspec.ValidationError:
        return Rejection(Reason.WRONG_TYPE, message)
    if envelope.kind is not msgspec.UNSET and bytes(envelope.kind) == b'"answer"':
        try:
            return _answer_decoder.decode(text)
        except msgspec.ValidationError as error:
            message = str(error)
    return _shape_rejection(envelope, message)


def _shape_rejection(envelope: _Envelope, message: str) -> Rejection:
    if envelope.v is not msgspec.UNSET and bytes(envelope.v) != str(VERSION).encode():
        return Rejection(
            Reason.UNKNOWN_VERSION, f"version {bytes(envelope.v).decode()[:20]}; this release reads {VERSION}"
        )
    missing = "missing required field" in message
    return Rejection(Reason.MISSING_FIELD if missing else Reason.WRONG_TYPE, message)
