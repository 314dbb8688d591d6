select "$Table"."symbol" as "symbol",
    "$Table"."interval" as "interval",
    "$Table"."trading_date" as "trading_date",
    "$Table"."ts_utc" as "ts_utc",
    "$Table"."ts_exchange" as "ts_exchange",
    "$Table"."open" as "open",
    "$Table"."high" as "high",
    "$Table"."low" as "low",
    "$Table"."close" as "close",
    "$Table"."volume" as "volume",
    "$Table"."is_final" as "is_final",
    "$Table"."source" as "source",
    "$Table"."fetched_utc" as "fetched_utc",
    "$Table"."completeness_pct" as "completeness_pct"
from "bi"."bar" "$Table"
limit 1000
