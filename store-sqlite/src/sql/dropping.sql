-- No binds. A generation whose rows are still to be deleted.
SELECT id FROM generations WHERE state = 'dropping' LIMIT 1
