"""Everything market-pulse raises on purpose.

MarketPulseError
├── SettingsError          a variable or credential is missing or wrong: the operator mends the inventory
├── VendorError            an answer that is not data (see market_pulse.sources)
├── StateError             a file in the unit's state directory cannot be used
├── CalendarError          an exchange or an instant that its calendar does not know
├── OrderError             what an operator asks the control command for cannot be done
├── StandbyError           the server is a standby, and takes no writes
├── UpkeepError            a part of the daily upkeep failed
├── BackupError            a backup was not made, or could not be restored (see market_pulse.backup)
├── AlertError             a channel did not take an alert (see market_pulse.alerts)
├── TopicError             the topic is not the one that was agreed on
├── NodeError              a node of Kafka's is not in step with the others
├── AccessError            what Kafka lets whom do is not what was agreed on (see market_pulse.access)
├── ClusterError           Spark's master or workers do not take the driver
└── PositionError          stored offsets and the topic's offsets do not fit together
"""


class MarketPulseError(Exception):
    """Base of every error with a message meant for the operator: what was wrong and what would be right."""


class SettingsError(MarketPulseError):
    """A setting is missing or wrong; the message names the variable."""


class VendorError(MarketPulseError):
    """The vendor's answer holds no data."""


class StateError(MarketPulseError):
    """A state file is unreadable, foreign or full."""


class CalendarError(MarketPulseError):
    """The exchange is unknown, or the instant lies beyond its calendar."""


class OrderError(MarketPulseError):
    """What the control command was asked for cannot be done on this host, or at all."""


class StandbyError(MarketPulseError):
    """The server is a standby: what writes to it waits until it is the primary."""


class UpkeepError(MarketPulseError):
    """Parts of the upkeep failed; the others are done, and the next run does these."""


class BackupError(MarketPulseError):
    """A backup was not made, or what was made could not be restored as it should."""


class AlertError(MarketPulseError):
    """A channel did not take an alert; the message names the channel, never its URL."""


class TopicError(MarketPulseError):
    """The topic is missing, or has other partitions than agreed."""


class NodeError(MarketPulseError):
    """A node of Kafka's does not vote, or replicas are not in step, after the time that was given them."""


class AccessError(MarketPulseError):
    """A user of Kafka's or an ACL could not be made what it should be."""


class ClusterError(MarketPulseError):
    """Spark's master or workers do not take the driver; the message names the unit to look at."""


class PositionError(MarketPulseError):
    """A stored position points at offsets that the topic does not have."""
