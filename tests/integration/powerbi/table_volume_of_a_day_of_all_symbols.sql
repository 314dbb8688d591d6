select "_"."symbol",
    "_"."a0"
from
(
    select "rows"."symbol" as "symbol",
        sum("rows"."volume") as "a0"
    from
    (
        select "_"."symbol",
            "_"."volume"
        from "bi"."day_bar" "_"
        where "_"."trading_date" = date '2026-03-06'
    ) "rows"
    group by "symbol"
) "_"
where not "_"."a0" is null
order by "_"."a0" desc
limit 1001
