select min("rows"."trading_date") as "a0",
    max("rows"."trading_date") as "a1"
from
(
    select "_"."trading_date"
    from "bi"."completeness" "_"
    where "_"."symbol" = 'S00007'
) "rows"
