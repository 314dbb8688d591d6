"""The vendor's answers, byte for byte: JSON with numbered keys, CSV with CRLF, refusals with HTTP 200.

Written out rather than dumped: a full month is ten thousands of rows, and the vendor's indentation is part of its form.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from market_pulse.simulator.market import TICKS, SimulatedBar

ZONE_NAME = "US/Eastern"
_JSON = "application/json"
_CSV = "application/x-download"
_CSV_COLUMNS = "timestamp,open,high,low,close,volume"
_QUOTE_COLUMNS = "symbol,open,high,low,price,volume,latestDay,previousClose,change,changePercent"
_QUOTE_NAMES = (
    *("symbol", "open", "high", "low", "price", "volume"),
    *("latest trading day", "previous close", "change", "change percent"),
)
_SITE = "https://www.alphavantage.co"
_PREMIUM_PLANS = f"You may subscribe to any of the premium plans at {_SITE}/premium/"


class Reply(NamedTuple):
    """What goes over HTTP, always with status 200; `filename` stands in Content-Disposition of a CSV answer."""

    content_type: str
    body: str
    filename: str | None = None


class Row(NamedTuple):
    """A bar under the label that the vendor gives it: wall time of the exchange, or a date."""

    label: str
    bar: SimulatedBar


class Quote(NamedTuple):
    """A day so far, and the close of the day before. Prices in 1/10000."""

    symbol: str
    day: str
    bar: SimulatedBar
    previous_close: int


def wall_time(moment: datetime) -> str:
    """Return the vendor's form of a moment that is already in the exchange's zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def price(ticks: int) -> str:
    """Return a price, or a difference of two, with the vendor's four digits."""
    whole, part = divmod(abs(ticks), TICKS)
    return f"{'-' if ticks < 0 else ''}{whole}.{part:04}"


def series_json(meta: Sequence[tuple[str, str]], key: str, rows: Iterable[Row]) -> Reply:
    """Return a time series; `meta` are the values of "Meta Data" with their names, in order."""
    head = ",\n".join(f'        "{number}. {name}": "{value}"' for number, (name, value) in enumerate(meta, 1))
    bars = ",\n".join(
        f'        "{label}": {{\n'
        f'            "1. open": "{price(bar.open)}",\n'
        f'            "2. high": "{price(bar.high)}",\n'
        f'            "3. low": "{price(bar.low)}",\n'
        f'            "4. close": "{price(bar.close)}",\n'
        f'            "5. volume": "{bar.volume}"\n'
        f"        }}"
        for label, bar in rows
    )
    body = f'{{\n    "Meta Data": {{\n{head}\n    }},\n    "{key}": {{\n{bars}\n    }}\n}}'
    return Reply(_JSON, body)


def series_csv(filename: str, rows: Iterable[Row]) -> Reply:
    """Return a time series as a download."""
    lines = (
        f"{label},{price(bar.open)},{price(bar.high)},{price(bar.low)},{price(bar.close)},{bar.volume}"
        for label, bar in rows
    )
    return _download(filename, (_CSV_COLUMNS, *lines))


def quote_json(key: str, quote: Quote | None) -> Reply:
    """Return a quote; for an unknown symbol the vendor's answer is an empty object."""
    if quote is None:
        return Reply(_JSON, f'{{\n    "{key}": {{}}\n}}')
    fields = zip(_QUOTE_NAMES, _quote_values(quote), strict=True)
    lines = ",\n".join(f'        "{number:02}. {name}": "{value}"' for number, (name, value) in enumerate(fields, 1))
    return Reply(_JSON, f'{{\n    "{key}": {{\n{lines}\n    }}\n}}')


def quote_csv(quote: Quote | None) -> Reply:
    """Return a quote as a download; for an unknown symbol only the header."""
    return _download("quote.csv", (_QUOTE_COLUMNS, *([",".join(_quote_values(quote))] if quote else [])))


def bad_key() -> Reply:
    """Refuse a key that is missing or wrong."""
    claim = f"Please claim your free API key on ({_SITE}/support/#api-key). It should take less than 20 seconds."
    return _refusal("Error Message", f"the parameter apikey is invalid or missing. {claim}")


def bad_function(function: str) -> Reply:
    """Refuse an unknown function."""
    return _refusal("Error Message", f"This API function ({function}) does not exist.")


def bad_call(function: str) -> Reply:
    """Refuse an unknown symbol or a parameter that makes no sense."""
    advice = f"Please retry or visit the documentation ({_SITE}/documentation/) for {function}."
    return _refusal("Error Message", f"Invalid API call. {advice}")


def day_spent(key: str, calls: int) -> Reply:
    """Refuse because the day's calls are used up; like the vendor's, this answer prints the key."""
    limit = f"our standard API rate limit is {calls} requests per day"
    advice = (
        f"Please subscribe to any of the premium plans at {_SITE}/premium/ to instantly remove all daily rate limits."
    )
    return _refusal("Information", f"We have detected your API key as {key} and {limit}. {advice}")


def too_fast(calls_per_day: int) -> Reply:
    """Refuse a free key's second call within a second."""
    advice = "Please consider spreading out your free API requests more sparingly (1 request per second)"
    lift = f"lift the free key rate limit ({calls_per_day} requests per day) and instantly remove all daily rate limits"
    return _refusal("Information", f"Thank you for using Alpha Vantage! {advice}. {_PREMIUM_PLANS} to {lift}.")


def too_many_a_minute(calls: int) -> Reply:
    """Refuse a paid key's call above its plan's rate."""
    limit = f"Our standard API call frequency is {calls} calls per minute"
    advice = f"Please visit {_SITE}/premium/ if you would like to target a higher API call frequency."
    return _refusal("Note", f"Thank you for using Alpha Vantage! {limit}. {advice}")


def premium_endpoint() -> Reply:
    """Refuse an endpoint that the key's plan does not include."""
    lift = f"{_PREMIUM_PLANS} to instantly unlock all premium endpoints"
    return _refusal("Information", f"Thank you for using Alpha Vantage! This is a premium endpoint. {lift}")


def premium_outputsize(function: str) -> Reply:
    """Refuse the full history of a function to a free key."""
    what = f"The outputsize=full parameter value is a premium feature for the {function} endpoint"
    lift = f"{_PREMIUM_PLANS} to instantly unlock all premium features"
    return _refusal("Information", f"Thank you for using Alpha Vantage! {what}. {lift}")


def _quote_values(quote: Quote) -> tuple[str, ...]:
    change = quote.bar.close - quote.previous_close
    percent = price(change * TICKS * 100 // quote.previous_close)
    bar = quote.bar
    prices = (price(bar.open), price(bar.high), price(bar.low), price(bar.close))
    return (
        quote.symbol,
        *prices,
        str(bar.volume),
        quote.day,
        price(quote.previous_close),
        price(change),
        f"{percent}%",
    )


def _download(filename: str, lines: Iterable[str]) -> Reply:
    return Reply(_CSV, "".join(f"{line}\r\n" for line in lines), filename)


def _refusal(key: str, sentence: str) -> Reply:
    return Reply(_JSON, f'{{\n    "{key}": "{sentence}"\n}}')
