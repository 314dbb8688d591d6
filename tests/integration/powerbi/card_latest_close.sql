select sum("rows"."close") as "a0",
    max("rows"."age_seconds") as "a1"
from
(
    select "_"."close",
        "_"."age_seconds"
    from "bi"."latest_bar" "_"
    where "_"."symbol" = 'S00007'
) "rows"
