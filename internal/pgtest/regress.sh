#!/usr/bin/env bash
# Gets the regression tests of PostgreSQL MAJOR into a cache folder, ready to be
# run by its pg_regress, and prints that folder: regress.sh MAJOR. What is there is not
# fetched again. They are in Debian's source package of the server, which apt
# gets from where it gets everything else: nothing on this machine is changed.
set -euo pipefail
umask 022

major=${1:?usage: regress.sh MAJOR}
lib=/usr/lib/postgresql/$major/lib

# A server does not run as root, so root's cache must be open to others.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgbridge-test
[ "$(id -u)" != 0 ] || cache=/var/cache/pgbridge-test
cache=${PGBRIDGE_TEST_CACHE:-$cache}
into=$cache/regress$major

say() { echo "regress.sh: $*" >&2; }

if [ -e "$into" ]; then
    echo "$into"
    exit
fi
for needed in apt-get gcc bzip2 "$lib/refint.so" "$lib/pgxs/src/test/regress/pg_regress"; do
    command -v "$needed" >/dev/null || [ -e "$needed" ] || {
        say "the regression tests of PostgreSQL $major need $needed: on Debian, apt-get install gcc bzip2 postgresql-$major"
        exit 1
    }
done

mkdir -p "$cache"
tmp=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{etc/preferences.d,lists/partial,archives/partial,headers,source,regress/lib}

# The sources of the suites that this machine has.
signed=/usr/share/keyrings/debian-archive-keyring.gpg
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    while read -r uri suite component; do
        printf 'deb [signed-by=%s] %s %s %s\n' "$signed" "$uri" "$suite" "$component"
        printf 'deb-src [signed-by=%s] %s %s %s\n' "$signed" "$uri" "$suite" "$component"
    done | sort -u >"$tmp/sources.list"
[ -s "$tmp/sources.list" ] || { say "apt knows no archive of Debian (apt-get update?)"; exit 1; }
options=(-o "Dir::Etc=$tmp/etc" -o "Dir::Etc::sourcelist=$tmp/sources.list" -o "Dir::State=$tmp" -o "Dir::State::lists=$tmp/lists"
    -o Dir::State::status=/dev/null -o "Dir::Cache=$tmp" -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none)
apt-get -qq "${options[@]}" update >&2

# The newest version may be listed and not be there any more: then the one before it.
get() { # VERSION
    say "get the regression tests of PostgreSQL $1"
    (cd "$tmp" && apt-get -qq "${options[@]}" source --download-only "postgresql-$major=$1" >&2 &&
        apt-get -qq "${options[@]}" download "postgresql-server-dev-$major=$1" >&2)
}
found=
for version in $(apt-cache "${options[@]}" showsrc "postgresql-$major" | sed -n 's/^Version: //p' | sort -rVu); do
    if get "$version"; then
        found=$version
        break
    fi
done
[ -n "$found" ] || { say "apt has no source of postgresql-$major"; exit 1; }

tar xj --no-same-owner -f "$tmp"/postgresql-"$major"_*.orig.tar.bz2 -C "$tmp/source" --strip-components=1 --wildcards '*/src/test/regress/*'
dpkg-deb -x "$tmp"/postgresql-server-dev-"$major"_*.deb "$tmp/headers"
mv "$tmp"/source/src/test/regress/{sql,expected,data,parallel_schedule,resultmap} "$tmp/regress/"
gcc -shared -fPIC -O1 -I"$tmp/headers/usr/include/postgresql/$major/server" -o "$tmp/regress/lib/regress.so" "$tmp/source/src/test/regress/regress.c"
cp "$lib"/{refint,autoinc}.so "$tmp/regress/lib/"
cp "$lib/pgxs/src/test/regress/pg_regress" "$tmp/regress/"
chmod -R a+rX "$tmp/regress"
mv "$tmp/regress" "$into"
echo "$into"
