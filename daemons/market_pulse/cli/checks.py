"""What `market-pulse verify` asks the database."""

from dataclasses import dataclass

from market_pulse.cli import bar_checks, ledger_checks


@dataclass(frozen=True)
class Check:
    """One thing that must hold: for all of `noun`, the `rule`.

    `query` gives one row per thing, its `problem` or null; `figures`, if any, one sentence more. Both take the span of
    time ``since`` <= t < ``until``: bars and their tellings are in it by `bar_time`, answers by `asked_at` or by a bar
    that they told, batches by what they stored of all these. What is cheap to look at is looked at as a whole.
    """

    name: str
    noun: str
    rule: str
    query: str
    figures: str = ""


def checks(*, of_one_day: bool) -> tuple[Check, ...]:
    """Return every check of the database: for a span of time that is one day, or for everything."""
    spans = ledger_checks.SPANS_OF_DAY if of_one_day else ledger_checks.SPANS
    return (
        Check(
            "ledger",
            "batches",
            "received = stored + unchanged + superseded + quarantined, and offsets = received + answers + empty",
            ledger_checks.equation(spans),
            ledger_checks.totals(spans),
        ),
        Check(
            "offsets",
            "batches and lost ranges",
            "each begins where the one before it ends",
            ledger_checks.sequence(spans),
        ),
        Check("positions", "partitions", "the stored position is where the ledger ends", ledger_checks.POSITIONS),
        Check("losses", "lost ranges", "each is accepted by an operator", ledger_checks.LOSSES),
        Check(
            "quarantine",
            "batches with records in quarantine",
            "as many are there as the ledger counts, and none beside",
            ledger_checks.quarantine(spans),
        ),
        Check(
            "answers",
            "transactions that stored answers",
            "no more are stored than the ledger counts",
            ledger_checks.ANSWERS,
        ),
        Check(
            "tellings",
            "transactions that stored tellings",
            "each is one batch, which holds their offsets",
            ledger_checks.TELLINGS,
        ),
        Check(
            "told",
            "answers",
            "as many bars as were told are stored or in quarantine",
            bar_checks.told(of_one_day=of_one_day),
        ),
        Check(
            "origins",
            "requests that told bars",
            "the answer of each is stored",
            bar_checks.origins(of_one_day=of_one_day),
        ),
        Check("bars", "bars", "each is its newest telling, and none is missing", bar_checks.BARS),
        Check("latest", "series", "the latest bar is the newest one", bar_checks.LATEST),
        Check("rules", "rules on bars", "each is in force, and for all rows", bar_checks.RULES),
    )
