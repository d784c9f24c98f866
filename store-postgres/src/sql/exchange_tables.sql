-- Exchanges the tables of two generations.
-- $1 id of the live generation, $2 id of the one that takes its place
SELECT factum.exchange_tables($1, $2)
