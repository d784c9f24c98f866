-- Takes the order lock and says whether an append may be recorded: see the function of this name.
SELECT head, recorded_at, verdicts, matched, lasts FROM factum.judge(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18
)
