#!/usr/bin/env bash
# Runs a command with Postgres in containers: with-docker.sh COMMAND...
# The image is PGBRIDGE_SERVER_IMAGE, else the official one, else, where that
# cannot be pulled, one made here. If no Docker engine answers, a private one
# is started (as root) and removed when the command ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

export PGBRIDGE_SERVER=docker
unset PGBRIDGE_SERVER_BINDIR

start_engine() {
    if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
        echo "with-docker.sh: no Docker engine answers: start one, or run this as root with dockerd installed (apt-get install docker.io)" >&2
        exit 1
    fi
    # Two engines would share the bridge, and the addresses on it.
    exec 9>"${TMPDIR:-/tmp}/pgbridge-docker.lock"
    flock -n 9 || { echo "with-docker.sh: wait for another private engine to end" >&2; flock 9; }
    bridge=new
    [ ! -e /sys/class/net/docker0 ] || bridge=old
    dir=$(mktemp -d /tmp/pgbridge-docker.XXXXXX)
    export DOCKER_HOST=unix://$dir/docker.sock
    trap stop_engine EXIT
    trap 'exit 130' INT TERM

    # Containers here talk to this machine and to each other only: the firewall
    # and the routing of the machine stay as they are.
    dockerd --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "$DOCKER_HOST" >"$dir/log" 2>&1 9>&- &
    dockerd=$!
    for _ in $(seq 300); do
        ! docker info >/dev/null 2>&1 || return 0
        kill -0 "$dockerd" 2>/dev/null || break
        sleep 0.1
    done
    echo "with-docker.sh: dockerd does not start:" >&2
    tail -n 20 "$dir/log" >&2
    exit 1
}

stop_engine() {
    local status=$?
    trap - EXIT INT TERM
    docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1 || true
    kill "$dockerd" 2>/dev/null || true
    wait "$dockerd" 2>/dev/null || true
    grep -o " $dir/[^ ]*" /proc/mounts | sort -r | xargs -r umount 2>/dev/null || true
    [ "$bridge" = old ] || ip link delete docker0 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}

docker info >/dev/null 2>&1 || start_engine
official=${PGBRIDGE_SERVER_IMAGE:-postgres:17}
if ! docker image inspect "$official" >/dev/null 2>&1 && ! docker pull -q "$official" >/dev/null 2>&1; then
    PGBRIDGE_SERVER_IMAGE=$("$here/build.sh")
    echo "$official cannot be pulled: made $PGBRIDGE_SERVER_IMAGE from this machine's Postgres"
    export PGBRIDGE_SERVER_IMAGE TESTCONTAINERS_RYUK_DISABLED=true # nor can the reaper's image
fi
"$@" 9>&-
