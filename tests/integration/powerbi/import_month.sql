select "_"."symbol",
    "_"."trading_date",
    "_"."open",
    "_"."high",
    "_"."low",
    "_"."close",
    "_"."volume",
    "_"."bars",
    "_"."is_final",
    "_"."completeness_pct"
from "bi"."day_bar" "_"
where "_"."trading_date" >= date '2026-03-01' and "_"."trading_date" < date '2026-04-01'
