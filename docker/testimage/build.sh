#!/usr/bin/env bash
# Makes an image like the official postgres one where nothing can be pulled,
# out of the Postgres of this machine, and prints its name: Debian's server and
# clients, the libraries they name, busybox and an entrypoint; no registry.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$bin" ] || { echo "build.sh: no /usr/lib/postgresql/*/bin here: apt-get install postgresql" >&2; exit 1; }
busybox=$(command -v busybox) || { echo "build.sh: no busybox here: apt-get install busybox-static" >&2; exit 1; }
major=$(basename "$(dirname "$bin")")
image=pgbridge-test-postgres:$major

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,tmp,usr/bin,usr/share/postgresql,usr/lib/{locale,postgresql},var/lib/postgresql,var/run,docker-entrypoint-initdb.d}
chmod 755 "$root"
chmod 1777 "$root/tmp"

cp -a "/usr/lib/postgresql/$major" "$root/usr/lib/postgresql/"
cp -a "/usr/share/postgresql/$major" "$root/usr/share/postgresql/"
rm -rf "$root/usr/lib/postgresql/$major/lib/"{bitcode,llvmjit*,pgxs}
cp -a /usr/share/zoneinfo "$root/usr/share/"
[ ! -d /usr/lib/locale/C.utf8 ] || cp -a /usr/lib/locale/C.utf8 "$root/usr/lib/locale/" # as the official image has it
ln -s "/usr/lib/postgresql/$major/bin/"* "$root/usr/bin/"

cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done

# The libraries that the programs name, at the paths where the loader looks.
{ find "$root/usr/lib/postgresql" -type f; echo "$busybox"; } |
    { xargs ldd 2>/dev/null || true; } | # not everything there is a program
    grep -oE '/[^ ]+\.so[^ ]*' | grep -v "^$root" | sort -u |
    while read -r lib; do install -D "$lib" "$root$lib"; done

printf 'root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' >"$root/etc/group"
install "$here/entrypoint.sh" "$root/bin/entrypoint"

tar -C "$root" -c . | docker import \
    --change 'ENTRYPOINT ["/bin/entrypoint"]' --change 'CMD ["postgres"]' --change 'EXPOSE 5432' \
    --change 'ENV PATH=/usr/bin:/bin' --change 'VOLUME /var/lib/postgresql/data' \
    - "$image" >/dev/null
echo "$image"
