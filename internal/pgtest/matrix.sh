#!/usr/bin/env bash
# Runs the tests that need Postgres against several versions of it:
# matrix.sh [MAJOR...]. PACKAGES names fewer packages than all that use pgtest, TESTFLAGS
# what go test is run with instead of the race detector.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=$(internal/pgtest/versions.sh "$@")
packages=${PACKAGES:-$(grep -rl --include='*_test.go' -e '/internal/pgtest"' -e '^package pgtest' . | xargs -n 1 dirname | sort -u)}
failed=()
for major in ${*:-14 15 16 17 18}; do
    bin=$cache/pg$major/bin
    echo "--- PostgreSQL $major"
    PATH=$bin:$PATH PGBRIDGE_SERVER_BINDIR=$bin PGBRIDGE_SERVER=binaries go test ${TESTFLAGS--race} -count=1 $packages || failed+=("$major")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed against PostgreSQL ${failed[*]}"
    exit 1
fi
