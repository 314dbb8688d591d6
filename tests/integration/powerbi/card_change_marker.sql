select max("rows"."version") as "a0"
from
(
    select "version" as "version"
    from "bi"."change_marker" "$Table"
) "rows"
