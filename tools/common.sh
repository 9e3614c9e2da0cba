# shellcheck shell=bash
# Shared by the scripts in this folder: `. "$(dirname "$0")/common.sh"`. Bash, no side effects but cd.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# Runs its arguments as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root or sudo for: $*"
    fi
}

# Where downloads are kept. User postgres must be able to read it, hence not below /root.
cache_dir() {
    if [ -n "${PGSLUICE_CACHE:-}" ]; then
        printf '%s\n' "$PGSLUICE_CACHE"
    elif [ "$(id -u)" = 0 ]; then
        printf '/var/cache/pgsluice\n'
    else
        printf '%s/pgsluice\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# How many compilers at once. One needs up to 1.5 GiB, so memory counts as well as cores.
jobs_for_build() {
    local cores memory_kib by_memory
    cores=$(nproc)
    memory_kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
    by_memory=$((memory_kib / 1572864))
    [ "$by_memory" -ge 1 ] || by_memory=1
    [ "$cores" -le "$by_memory" ] && printf '%s\n' "$cores" || printf '%s\n' "$by_memory"
}

# Whether a tmpfs, mounted where $1 says, has room for what the tests keep there at a time, and the
# machine memory for it beside the tests themselves. They load libraries from there.
has_room() {
    local free_kib memory_kib
    awk -v at="$1" '$2 == at && $3 == "tmpfs" && "," $4 "," !~ /,(noexec|ro),/ {found = 1}
        END {exit !found}' /proc/mounts || return 1
    free_kib=$(df -k --output=avail "$1" | tail -1)
    memory_kib=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
    [ "$free_kib" -ge 6291456 ] && [ "$memory_kib" -ge 12582912 ]
}

# `configure DIRECTORY CMAKE-ARGUMENT…`: ninja and ccache, whatever else the arguments say.
configure() {
    local directory=$1
    shift
    cmake -S "$root" -B "$directory" -G Ninja -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@" >&2
}

compile() {
    cmake --build "$1" --parallel "$(jobs_for_build)" ${2:+--target "${@:2}"} >&2
}
