#!/usr/bin/env bash
# Install acpx, a command-line client of the Agent Client Protocol, into .npm/; and Node.js where it is missing, on
# systems with apt-get.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.1.15
if [ -e ".npm/node_modules/acpx/.installed-$version" ]; then
    exit 0
fi
if ! type -P npm >/dev/null; then
    if ! type -P apt-get >/dev/null; then
        echo "make test-e2e needs Node.js with npm, and there is no apt-get to install it: install it by hand." >&2
        exit 1
    fi
    root=()
    if [ "$(id -u)" != 0 ]; then
        root=(sudo)
    fi
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nodejs npm >/dev/null
fi
mkdir -p .npm
npm install --prefix .npm --no-save --no-audit --no-fund --loglevel=error "acpx@$version"
touch ".npm/node_modules/acpx/.installed-$version"
