select "_"."symbol",
    "_"."is_stale",
    "_"."a0",
    "_"."a1"
from
(
    select "rows"."symbol" as "symbol",
        "rows"."is_stale" as "is_stale",
        sum("rows"."close") as "a0",
        min("rows"."completeness_pct") as "a1"
    from
    (
        select "$Outer"."symbol" as "symbol",
            "$Outer"."is_stale" as "is_stale",
            "$Outer"."close" as "close",
            "$Outer"."completeness_pct" as "completeness_pct",
            "$Inner"."exchange" as "exchange"
        from
        (
            select "symbol" as "symbol",
                "is_stale" as "is_stale",
                "close" as "close",
                "completeness_pct" as "completeness_pct"
            from "bi"."latest_bar" "$Table"
        ) "$Outer"
        left outer join
        (
            select "symbol" as "symbol2",
                "exchange" as "exchange"
            from "bi"."symbol" "$Table"
        ) "$Inner" on ("$Outer"."symbol" = "$Inner"."symbol2")
    ) "rows"
    where "rows"."exchange" = 'XNYS'
    group by "symbol", "is_stale"
) "_"
where not "_"."a0" is null
order by "_"."symbol"
limit 501
