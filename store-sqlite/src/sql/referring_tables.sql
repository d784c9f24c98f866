-- ?1 name: the tables with a foreign key to a table of that name
SELECT DISTINCT s.name FROM sqlite_schema s JOIN pragma_foreign_key_list(s.name) k
WHERE s.type = 'table' AND lower(k."table") = lower(?1)
