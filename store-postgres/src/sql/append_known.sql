-- Appends a group whose sender knows where the log and its streams end: see the function of this name.
SELECT factum.append_known($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
