-- Appends a group without keys and queries that writes no stream twice: see the function of this name.
SELECT factum.append_plain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
