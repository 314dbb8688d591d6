"""What anybody might write onto the topic: any bytes, and records of which something was changed."""

import msgspec
from hypothesis import strategies as st

from market_pulse.contract import AnswerRecord, Bar, encode
from support.good_records import ANSWER, GOOD, with_fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def mangled(record: Bar | AnswerRecord) -> st.SearchStrategy[bytes]:
    """Return the record with any of its fields set to any JSON."""
    names = st.sampled_from(list(record.__struct_fields__))
    return st.dictionaries(names, JSON, max_size=13).map(
        lambda changed: msgspec.json.encode(msgspec.json.decode(encode(record)) | changed)
    )


@st.composite
def corrupted_records(draw: st.DrawFn) -> bytes:
    value = bytearray(encode(draw(st.sampled_from([GOOD, ANSWER, with_fields(v=2)]))))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(value)))
        value[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


VALUES = st.binary(max_size=2000) | mangled(GOOD) | mangled(ANSWER) | corrupted_records()
