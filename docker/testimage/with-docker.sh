#!/usr/bin/env bash
# Runs a command with Postgres in containers: with-docker.sh COMMAND...
# If an engine answers, it is used with the official image. If none does, a
# private one is started (as root), with an image made here; it is stopped and
# removed when the command ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

export PGBRIDGE_TEST_POSTGRES=docker
unset PGBRIDGE_TEST_BINDIR
if docker info >/dev/null 2>&1; then
    exec "$@"
fi
if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
    echo "with-docker.sh: no Docker engine answers: start one, or run this as root with dockerd installed (apt-get install docker.io)" >&2
    exit 1
fi

dir=$(mktemp -d /tmp/pgbridge-docker.XXXXXX)
export DOCKER_HOST=unix://$dir/docker.sock
cleanup() {
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
# Containers here talk to this machine and to each other only: the firewall and
# the routing of the machine stay as they are.
bridge=new
[ ! -e /sys/class/net/docker0 ] || bridge=old
dockerd --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" -H "$DOCKER_HOST" >"$dir/log" 2>&1 &
dockerd=$!
trap cleanup EXIT
trap 'exit 130' INT TERM

for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$dockerd" 2>/dev/null || break
    sleep 0.1
done
docker info >/dev/null 2>&1 || { echo "with-docker.sh: dockerd does not start:" >&2; tail -n 20 "$dir/log" >&2; exit 1; }

export TESTCONTAINERS_RYUK_DISABLED=true PGBRIDGE_TEST_IMAGE=${PGBRIDGE_TEST_IMAGE:-pgbridge-test-postgres}
"$here/build.sh" "$PGBRIDGE_TEST_IMAGE"
"$@"
