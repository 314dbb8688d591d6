"""Everything told again from the archive is what was told."""

from pathlib import Path

import pytest

from market_pulse.contract import AnswerRecord, Bar, decode
from market_pulse.producer.archive import Archive
from market_pulse.producer.rebuild import rebuild
from support.vendor_days import SESSIONS, Days


@pytest.mark.parametrize("seed", range(2))
def test_the_archive_tells_again_exactly_what_was_told(tmp_path: Path, seed: int) -> None:
    days = Days(tmp_path, seed)
    told = [message[1:] for message in days.live(150)]
    again = [message[1:] for message in rebuild(Archive(tmp_path / "archive", 1).entries(), SESSIONS)]
    assert again == told
    kinds = [type(decode(symbol.encode(), value)) for symbol, value in told]
    assert kinds.count(Bar) > 1000
    assert kinds.count(AnswerRecord) > 100


def test_an_answer_that_this_release_refuses_is_told_as_refused(tmp_path: Path) -> None:
    days = Days(tmp_path, 1)
    list(days.live(5))
    (entry, *_) = (entry for entry in days.archive.entries() if entry.refusal is None)
    (message,) = rebuild([type(entry)(**(vars(entry) | {"body": b"{}"}))], SESSIONS)
    record = decode(message.symbol.encode(), message.value)
    assert isinstance(record, AnswerRecord)
    assert (record.refusal, record.rows, record.request_id) == ("vendor_error", 0, entry.request_id)
