-- Takes a lease, and raises epochs.
-- $1 name, $2 holder, $3 note, $4 holder and $5 counter as they were seen or NULL, $6 projection or NULL, $7 version, $8 state,
-- $9 logs
SELECT taken, name, holder, counter, since, note FROM factum.take_lease($1, $2, $3, $4, $5, $6, $7, $8, $9)
