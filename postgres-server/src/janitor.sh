# Removes the databases of a run from a server that is not ours, when the run is over: then nobody holds the other end
# of our standard input. $1: psql; $2: what the names of the run's databases begin with; the server is in the environment.
trap '' HUP INT QUIT TERM PIPE
while read -r _; do :; done
"$1" --no-psqlrc --quiet --tuples-only --no-align "$FACTUM_TEST_POSTGRES_URL" <<SQL
SELECT 'DROP DATABASE IF EXISTS ' || datname || ' WITH (FORCE)' FROM pg_database
WHERE left(datname, length('$2')) = '$2' \gexec
SQL
