#!/usr/bin/env bash
# Install pgbouncer where it is missing, on systems with apt-get; elsewhere say what is needed.
set -euo pipefail

if PATH="$PATH:/usr/sbin:/usr/local/sbin" type -P pgbouncer >/dev/null; then
    exit 0
fi
if ! type -P apt-get >/dev/null; then
    echo "make test-e2e needs pgbouncer, and there is no apt-get to install it: install it by hand." >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    root=(sudo)
fi
"${root[@]}" apt-get update -qq
# Not asked anything, and without the server that it is usually installed with.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends pgbouncer >/dev/null
