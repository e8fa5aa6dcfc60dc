#!/bin/sh
# What tests need of the official image's entrypoint: POSTGRES_USER, _PASSWORD,
# _DB, _INITDB_ARGS and _HOST_AUTH_METHOD, PGDATA, scripts to run at first, and
# the server's arguments as arguments.
set -eu

case ${1:-postgres} in
postgres) [ $# = 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac

export PGDATA="${PGDATA:-/var/lib/postgresql/data}" POSTGRES_USER="${POSTGRES_USER:-postgres}"
export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
unset PGHOST PGPORT PGUSER PGDATABASE

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown -R postgres:postgres "$PGDATA" /var/run/postgresql
	chmod 700 "$PGDATA"
	exec su -s /bin/sh -p postgres -c 'exec "$0" "$@"' -- "$0" postgres "$@"
fi

sql() { psql -X -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$@"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
		echo "set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
		exit 1
	fi
	initdb -U "$POSTGRES_USER" -A trust --no-sync ${POSTGRES_INITDB_ARGS:-}
	printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"

	# Only the socket is open while the scripts run: who connects by TCP meets the real server.
	pg_ctl -w -o "-c listen_addresses=''" start
	[ -z "${POSTGRES_PASSWORD:-}" ] || sql postgres -v p="$POSTGRES_PASSWORD" -v u="$POSTGRES_USER" <<-'SQL'
		ALTER ROLE :"u" PASSWORD :'p';
	SQL
	[ "$POSTGRES_DB" = postgres ] || sql postgres -v d="$POSTGRES_DB" <<-'SQL'
		CREATE DATABASE :"d";
	SQL
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
		*.sql) sql "$POSTGRES_DB" -f "$file" ;;
		esac
	done
	pg_ctl -w -m fast stop
fi

exec postgres "$@"
