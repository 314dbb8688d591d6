select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, case when (data_type like '%unsigned%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE
from INFORMATION_SCHEMA.columns
where TABLE_SCHEMA = 'bi' and TABLE_NAME = 'bar'
order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
