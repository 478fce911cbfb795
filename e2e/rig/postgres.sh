# Postgres, one cluster a port.
# shellcheck shell=bash

# As root the server runs as user postgres, who must be able to enter the place of its data.
as_postgres=()
[[ $(id -u) -ne 0 ]] || as_postgres=(setpriv --reuid=postgres "--regid=$(id -g postgres)" --init-groups --no-new-privs)

postgres_data() {
    local name=$1 place
    if [[ ! -f $state/run/$name.data ]]; then
        mkdir -p "$state/run"
        place=$state/data/$name
        mkdir -p "$place"
        if [[ $(id -u) -eq 0 ]]; then
            chown postgres "$place"
            if ! "${as_postgres[@]}" test -w "$place" 2>/dev/null; then
                place=$(mktemp -d "/var/tmp/afterbay-rig-$name-XXXXXX")
                chown postgres "$place"
            fi
        fi
        printf '%s' "$place" >"$state/run/$name.data"
    fi
    cat "$state/run/$name.data"
}

# The server's programs: those of the distribution, or of a version of its own that user postgres can run.
server_bin() {
    local name=$1 place
    [[ $name == postgres-1[0-9] ]] || { postgres_bin; return; }
    if [[ ! -f $state/run/$name.bin ]]; then
        place=$installed/$name
        [[ -d $place ]] || fail "no $place: run e2e/rig/install.sh"
        if [[ $(id -u) -eq 0 ]] && ! "${as_postgres[@]}" test -x "$place/bin/postgres" 2>/dev/null; then
            place=$(mktemp -d "/var/tmp/afterbay-rig-$name-bin-XXXXXX")
            cp -r "$installed/$name/." "$place"
            chown -R postgres "$place"
        fi
        printf '%s/bin' "$place" >"$state/run/$name.bin"
    fi
    cat "$state/run/$name.bin"
}

postgres_up() {
    local name=$1 port=$2 level=$3 data bin
    data=$(postgres_data "$name")
    is_up "$name" "$data" && postgres_answers "$port" && return
    free_port "$name" "$port"
    bin=$(server_bin "$name")
    "$here/certificates.sh"
    if [[ ! -f $data/PG_VERSION ]]; then
        local password
        password=$(mktemp)
        printf 'pgpass' >"$password"
        [[ $(id -u) -ne 0 ]] || chown postgres "$password"
        (cd / && "${as_postgres[@]}" "$bin/initdb" -D "$data" -U postgres --auth-local=scram-sha-256 \
            --auth-host=scram-sha-256 --pwfile="$password" -E UTF8 --locale=C.UTF-8 >/dev/null)
        rm "$password"
        cp "$state/certificates/broker.crt" "$data/server.crt"
        cp "$state/certificates/broker.key" "$data/server.key"
        chmod 600 "$data/server.key"
        [[ $(id -u) -ne 0 ]] || chown postgres "$data/server.crt" "$data/server.key"
        cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '$host'
unix_socket_directories = ''
ssl = on
wal_level = $level
max_wal_senders = 40
max_replication_slots = 40
max_connections = 200
shared_buffers = 256MB
max_wal_size = 4GB
max_slot_wal_keep_size = 8GB
logging_collector = off
log_min_messages = warning
CONF
        # What initdb lets in comes from loopback.
        [[ $host == 127.0.0.1 ]] ||
            printf 'host %s all all scram-sha-256\n' all replication >>"$data/pg_hba.conf"
    fi
    mkdir -p "$state/log"
    touch "$state/log/$name.log"
    [[ $(id -u) -ne 0 ]] || chown postgres "$state/log/$name.log"
    # After a kill the old server's last children may hold its memory for a moment, and then the new one ends at once.
    local end=$((SECONDS + 60))
    while true; do
        postgres_start "$name" "$bin" "$data" "$port"
        while is_up "$name" "$data"; do
            postgres_answers "$port" && return
            ((SECONDS < end)) || break
            sleep 0.1
        done
        ((SECONDS < end)) || break
        tail -n 5 "$state/log/$name.log" | grep -q 'shared memory block' || break
        sleep 0.2
    done
    fail "$name does not come up: $(tail -n 3 "$state/log/$name.log")"
}

# The log is opened by the shell, as user postgres may not enter its folder.
postgres_start() {
    local name=$1 bin=$2 data=$3 port=$4
    (
        exec >>"$state/log/$name.log" 2>&1 </dev/null 9>&-
        cd /
        exec setsid "${as_postgres[@]}" "$bin/postgres" -D "$data" -p "$port"
    ) &
    local pid=$!
    echo "$pid" >"$state/run/$name.pid"
    # Until then it is a shell, whose arguments are not those of the server.
    for _ in $(seq 600); do
        is_up "$name" "$data" || [[ ! -d /proc/$pid ]] || { sleep 0.05; continue; }
        break
    done
}

postgres_answers() {
    PGPASSWORD=pgpass "$(postgres_bin)/psql" -h "$host" -p "$1" -U postgres -qAtc 'SELECT 1' >/dev/null 2>&1
}

# How: fast, immediate (a crash), or KILL.
postgres_down() {
    local name=$1 how=${2:-fast} signal
    case $how in
        fast) signal=INT ;;
        immediate) signal=QUIT ;;
        *) signal=$how ;;
    esac
    end_process "$name" "$(postgres_data "$name")" "$signal"
}
