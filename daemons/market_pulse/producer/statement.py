"""What the producer tells of its calls: what it may, what it has spent, and what the rest is planned for."""

from datetime import datetime
from typing import TYPE_CHECKING

from market_pulse.producer.outlook import Outlook

if TYPE_CHECKING:
    from pydantic import JsonValue


def budget_facts(look: Outlook, now: datetime) -> "dict[str, JsonValue]":
    """Return the plan as `market-pulse budget` shows it: counts of calls, instants as ISO 8601, None for no limit."""
    limits, plan = look.budget.limits, look.plan(now)
    waiting = look.repairs.backlog.waiting()
    held = look.troubles.held_until
    refused: list[JsonValue] = [*sorted(request.symbol for request, _ in look.troubles)]
    return {
        "per_day": limits.per_day,
        "per_minute": limits.per_minute,
        "gap_seconds": limits.gap.total_seconds(),
        "used_today": look.budget.used(now),
        "left": plan.left,
        "need": plan.need,
        "reserve": plan.reserve,
        "spare": plan.spare,
        "backlog": {
            cause.value: {"open": count, "oldest": oldest.isoformat(timespec="seconds")}
            for cause, (count, oldest) in sorted(waiting.items())
        },
        "resets_at": look.budget.renewed_at(now).isoformat(timespec="seconds"),
        "held_until": held.isoformat(timespec="seconds") if held and held > now else None,
        "symbols": len(look.agenda.requests),
        "refused": refused,
    }
