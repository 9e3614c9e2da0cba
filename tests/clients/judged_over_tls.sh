#!/usr/bin/env bash
# A live cutover whose clients log in by SCRAM over TLS, checked by an external program, the judge:
# TLS with verified certificates on both sides, logins that are bound to it towards the servers, and
# a proxy that knows a SCRAM verifier and no password. HAProxy makes the TLS connections for the
# judge's clients, which have no TLS; it resumes sessions, so that the run includes session tickets.
# Usage: judged_over_tls.sh [ARGUMENTS OF judge run]    for example --setup logical --clients 32
#   JUDGE      the path of the judge (required)
#   BASE_PORT  of five ports: two servers, the proxy, what the clients connect to (default 6640)
#   ON_PINNED  abort (default) | terminate | wait; PGSLUICE_BUILD and KEEP_LOG as one would think
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${PGSLUICE_BUILD:-$root/build}/bin
base=${BASE_PORT:-6640}
port=$((base + 2))
front=$((base + 3))

run() {
    local judge=${JUDGE:?the path of the judge}
    [ -x "$judge" ] || { echo "there is no judge at $judge" >&2; exit 2; }
    exec env -u JUDGE "$judge" run --base-port "$base" \
        --proxy "host=127.0.0.1 port=$front user=judge_app dbname=judge password=judge" \
        --prepare-cmd "$here/judged_over_tls.sh prepare" \
        --cutover-cmd "$here/judged_over_tls.sh cutover" \
        --cleanup-cmd "$here/judged_over_tls.sh cleanup" "$@"
}

is_root() { [ "$(id -u)" = 0 ]; }
own() { ! is_root || chown postgres: "$@"; }
become_postgres() {
    ! is_root || set -- setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    exec "$@"
}
ask() { psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

wait_port() {
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    exit 1
}

stop() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -9 "$pid" 2>/dev/null || true
}

certificates() {
    local key=(-newkey rsa:2048 -nodes)
    openssl req -x509 "${key[@]}" -keyout "$D/ca.key" -out "$D/ca.crt" -subj /CN=throwaway -days 2
    openssl req "${key[@]}" -keyout "$D/server.key" -out "$D/server.csr" -subj /CN=localhost
    openssl x509 -req -in "$D/server.csr" -CA "$D/ca.crt" -CAkey "$D/ca.key" -CAcreateserial \
        -days 2 -extfile <(echo subjectAltName=DNS:localhost,IP:127.0.0.1) -out "$D/server.crt"
    # Of such a certificate no login can be bound, so that none is offered: libpq, which has no TLS
    # of its own here, would take the offer for an attack.
    openssl req -x509 -newkey ed25519 -nodes -keyout "$D/front.key" -out "$D/front.crt" \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2
    chmod 600 "$D/server.key" "$D/front.key"
    chmod a+r "$D/ca.crt" "$D/server.crt" "$D/front.crt"
    own "$D/server.key" "$D/front.key"
} 2>"$D/openssl.log"

# Clients of this server need TLS and their password from now on.
close_to_strangers() {
    local dsn=$1 data
    data=$(ask "$dsn" 'SHOW data_directory')
    ask "$dsn" "ALTER SYSTEM SET ssl_cert_file = '$D/server.crt'"
    ask "$dsn" "ALTER SYSTEM SET ssl_key_file = '$D/server.key'"
    ask "$dsn" 'ALTER SYSTEM SET ssl = on'
    sed -i '1i hostssl all judge_app 127.0.0.1/32 scram-sha-256\nhost all judge_app all reject' \
        "$data/pg_hba.conf"
    own "$data/pg_hba.conf"
    ask "$dsn" 'SELECT pg_reload_conf()' >"$D/reload.log"
}

verifier_of() { ask "$1" "SELECT rolpassword FROM pg_authid WHERE rolname = 'judge_app'"; }

prepare() {
    mkdir -p "$D/state"
    own "$D" "$D/state"
    certificates
    local verifier replication='{kind: none}'
    verifier=$(verifier_of "$JUDGE_OLD_DSN")
    [[ $verifier == SCRAM-SHA-256* ]] || { echo "no SCRAM verifier: $verifier" >&2; exit 1; }
    case $JUDGE_MODE in
    physical) replication='{kind: physical}' ;;
    logical)
        replication='{kind: logical, subscription: judge_sub}'
        ask "$JUDGE_NEW_DSN" "ALTER ROLE judge_app PASSWORD '$verifier'"
        ;;
    esac
    close_to_strangers "$JUDGE_OLD_DSN"
    [ "$JUDGE_OLD_PORT" = "$JUDGE_NEW_PORT" ] || close_to_strangers "$JUDGE_NEW_DSN"
    echo "\"judge_app\" \"$verifier\"" >"$D/users.txt"
    chmod 600 "$D/users.txt"
    own "$D/users.txt"
    local tls="{mode: verify-full, ca: $D/ca.crt}"
    cat >"$D/pgsluice.yaml" <<-X
	control: {socket: $D/control.sock, state_dir: $D/state}
	services:
	  judge:
	    listen: ["127.0.0.1:$port"]
	    backends:
	      blue: {host: $JUDGE_OLD_HOST, port: $JUDGE_OLD_PORT, tls: $tls, channel_binding: require}
	      green: {host: $JUDGE_NEW_HOST, port: $JUDGE_NEW_PORT, tls: $tls, channel_binding: require}
	    route: blue
	    tls: {mode: require, cert: $D/front.crt, key: $D/front.key, session_tickets: 60m}
	    auth: {method: scram-sha-256, users_file: $D/users.txt}
	    admin: {user: postgres, dbname: $JUDGE_PROXY_DBNAME}
	    replication: $replication
	    cutover: {on_pinned: ${ON_PINNED:-abort}}
	X
    chmod a+r "$D/pgsluice.yaml"
    local haproxy_tls="verify required verifyhost localhost ca-file $D/front.crt alpn postgresql"
    cat >"$D/haproxy.cfg" <<-X
	global
	  maxconn 4000
	defaults
	  mode tcp
	  timeout connect 10s
	  timeout client 1h
	  timeout server 1h
	listen clients
	  bind 127.0.0.1:$front
	  server proxy 127.0.0.1:$port ssl $haproxy_tls
	X
    (HOME=$D become_postgres "$bin/pgsluice" -c "$D/pgsluice.yaml") >"$D/pgsluice.log" 2>&1 </dev/null &
    echo $! >"$D/pgsluice.pid"
    wait_port "$port"
    (exec haproxy -f "$D/haproxy.cfg") >"$D/haproxy.log" 2>&1 </dev/null &
    echo $! >"$D/haproxy.pid"
    wait_port "$front"
    "$bin/pgsluice" --version
}

cutover() {
    export PGSLUICE_SOCKET=$D/control.sock
    # Where a session's login were not bound, or in clear, the judge would not notice.
    local plain="SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE usename = 'judge_app' AND NOT ssl"
    [ "$(ask "$JUDGE_OLD_DSN" "$plain")" = 0 ] || { echo "sessions without TLS" >&2; exit 9; }
    "$bin/sluicectl" cutover --to green --on-pinned "${ON_PINNED:-abort}" \
        --timeout "${TIMEOUT:-30s}"
}

cleanup() {
    PGSLUICE_SOCKET=$D/control.sock "$bin/sluicectl" shutdown >/dev/null 2>&1 || true
    stop "$D/pgsluice.pid"
    stop "$D/haproxy.pid"
    [ -z "${KEEP_LOG:-}" ] || cp "$D/pgsluice.log" "$KEEP_LOG"
}

case ${1:-} in
prepare | cutover | cleanup)
    D=$JUDGE_DIR/proxy
    mkdir -p "$D"
    "$1"
    ;;
*) run "$@" ;;
esac
