"""What travels on the topic: the bar, and the answer that told it; their fields, types and rules.

Both sides of the topic use this package and no other: the producer to encode, the consumer to decode.
Prices and volumes are text from the vendor's answer to PostgreSQL's ``numeric`` and are never a float; times are
aware UTC. A record that breaks a rule becomes a `Rejection` with a stable reason code, never an exception.
An answer's record follows its bars in the same partition, so whoever has stored it has stored them.
"""

from market_pulse.contract.codec import decode as decode
from market_pulse.contract.codec import encode as encode
from market_pulse.contract.records import MAX_MESSAGE_BYTES as MAX_MESSAGE_BYTES
from market_pulse.contract.records import VERSION as VERSION
from market_pulse.contract.records import AnswerRecord as AnswerRecord
from market_pulse.contract.records import Bar as Bar
from market_pulse.contract.records import Cause as Cause
from market_pulse.contract.records import Interval as Interval
from market_pulse.contract.records import Reason as Reason
from market_pulse.contract.records import Rejection as Rejection
from market_pulse.contract.rules import CLOCK_SKEW as CLOCK_SKEW
from market_pulse.contract.rules import SYMBOL as SYMBOL
from market_pulse.contract.rules import first_violation as first_violation
