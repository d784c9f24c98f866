-- Remembers keys: see the function of this name.
SELECT factum.remember($1, $2, $3, $4, $5, $6, $7, $8, $9)
