-- No binds.
SELECT DISTINCT projection FROM generations WHERE state NOT IN ('dropping', 'dropped') ORDER BY projection
