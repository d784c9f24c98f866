# Ends what was started, when whoever started it is gone: then nobody holds the other end of our standard input.
# $1: the folder of sockets, logs and process ids; $2: the folder of the data. Both are removed.
trap '' HUP INT QUIT TERM PIPE
while read -r _; do :; done

# End the process whose id is the first line of $1 with the signal $2, and wait for it; kill it if it does not listen.
end() {
    { read -r pid < "$1"; } 2>/dev/null || return 0
    case $pid in ''|*[!0-9]*) return 0 ;; esac
    kill "-$2" "$pid" 2>/dev/null || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ -e "$1" ] && kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.2
    done
    kill -KILL "$pid" 2>/dev/null
}

# Several times: what was still being started when we came may write into the folders a little longer.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    end "$2/postmaster.pid" QUIT
    for file in "$1"/pgbouncer-*.pid; do end "$file" KILL; done
    rm -rf -- "$1" "$2"
    [ -e "$1" ] || [ -e "$2" ] || exit 0
    sleep 0.2
done
