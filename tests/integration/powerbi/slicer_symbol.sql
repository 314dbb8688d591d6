select "_"."symbol"
from
(
    select "rows"."symbol" as "symbol"
    from
    (
        select "symbol" as "symbol"
        from "bi"."symbol" "$Table"
    ) "rows"
    group by "symbol"
) "_"
order by "_"."symbol"
limit 501
