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

# `configure DIRECTORY CMAKE-ARGUMENT…`: ninja and ccache, whatever else the arguments say.
configure() {
    local directory=$1
    shift
    cmake -S "$root" -B "$directory" -G Ninja -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@" >&2
}

compile() {
    cmake --build "$1" --parallel "$(jobs_for_build)" ${2:+--target "${@:2}"} >&2
}
