select count(1) as "a0"
from "bi"."bar" "$Table"
where "$Table"."trading_date" >= date '2026-03-02'
