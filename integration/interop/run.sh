#!/usr/bin/env bash
# Installs the programs of package.json and runs the interop tests against them.
set -euo pipefail
cd "$(dirname "$0")"
command -v node >/dev/null && command -v npm >/dev/null || { echo "interop needs node and npm: apt-get install nodejs npm" >&2; exit 1; }
npm ci --no-audit --no-fund --loglevel=error
go test -count=1 -timeout 10m -tags interop .
