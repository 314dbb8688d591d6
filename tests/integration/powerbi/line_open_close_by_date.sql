select "_"."date",
    "_"."a0",
    "_"."a1"
from
(
    select "rows"."date" as "date",
        sum("rows"."open") as "a0",
        sum("rows"."close") as "a1"
    from
    (
        select "$Outer"."open" as "open",
            "$Outer"."close" as "close",
            "$Inner"."date" as "date",
            "$Inner"."year" as "year"
        from
        (
            select "_"."symbol",
                "_"."trading_date",
                "_"."open",
                "_"."close"
            from "bi"."day_bar" "_"
            where "_"."symbol" = 'S00007'
        ) "$Outer"
        left outer join
        (
            select "date",
                "year"
            from "bi"."date" "$Table"
        ) "$Inner" on ("$Outer"."trading_date" = "$Inner"."date")
    ) "rows"
    where "rows"."year" = 2026
    group by "date"
) "_"
where not "_"."a0" is null or not "_"."a1" is null
order by "_"."date"
limit 3502
