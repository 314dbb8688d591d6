select "_"."trading_date",
    "_"."a0"
from
(
    select "rows"."trading_date" as "trading_date",
        sum(cast("rows"."volume" as decimal)) as "a0"
    from
    (
        select "_"."trading_date",
            "_"."volume"
        from "bi"."day_bar" "_"
        where "_"."symbol" in ('S00007', 'S00008') and ("_"."trading_date" >= date '2026-03-02' and "_"."trading_date" < date '2026-03-07')
    ) "rows"
    group by "trading_date"
) "_"
where not "_"."a0" is null
limit 1000001
