select "_"."t0_0" as "ts_exchange",
    "_"."symbol",
    "_"."a0",
    "_"."a1",
    "_"."a2",
    "_"."a3",
    "_"."a4"
from
(
    select "_"."ts_exchange",
        "_"."symbol",
        "_"."a0",
        "_"."a1",
        "_"."a2",
        "_"."a3",
        "_"."a4",
        case when "_"."ts_exchange" is not null then "_"."ts_exchange" else timestamp '1899-12-28 00:00:00' end as "t0_0",
        case when "_"."ts_exchange" is null then 0 else 1 end as "t1_0"
    from
    (
        select "rows"."ts_exchange" as "ts_exchange",
            "rows"."symbol" as "symbol",
            sum("rows"."open") as "a0",
            max("rows"."high") as "a1",
            min("rows"."low") as "a2",
            sum("rows"."close") as "a3",
            sum("rows"."volume") as "a4"
        from
        (
            select "_"."symbol",
                "_"."ts_exchange",
                "_"."open",
                "_"."high",
                "_"."low",
                "_"."close",
                "_"."volume"
            from "bi"."bar" "_"
            where "_"."symbol" = 'S00007' and "_"."trading_date" = date '2026-03-06'
        ) "rows"
        group by "ts_exchange", "symbol"
    ) "_"
    where not "_"."a0" is null or not "_"."a4" is null
) "_"
order by "_"."t0_0", "_"."t1_0"
limit 502
