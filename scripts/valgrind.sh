#!/usr/bin/env bash
# Install valgrind where it is missing, on systems with apt-get; elsewhere say what is needed.
set -euo pipefail

if type -P valgrind >/dev/null; then
    exit 0
fi
if ! type -P apt-get >/dev/null; then
    echo "make bench-count needs valgrind, and there is no apt-get to install it: install it by hand." >&2
    exit 1
fi
root=()
if [ "$(id -u)" != 0 ]; then
    root=(sudo)
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends valgrind >/dev/null
