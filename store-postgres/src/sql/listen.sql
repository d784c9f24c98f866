-- Lets others see that this session listens, until it ends.
SELECT pg_advisory_lock_shared(:listeners)
