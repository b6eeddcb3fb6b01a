#!/usr/bin/env bash
# Print the paths of the usable CPython 3.11, 3.12 and 3.13, or of those versions that are given: one a line and at most
# one of each.
# Usable: it really runs (a pyenv shim may be on PATH and fail) and can make a virtual environment with pip.
set -euo pipefail

probe='
import sys, ensurepip, venv
if sys.implementation.name != "cpython" or "%d.%d" % sys.version_info[:2] != sys.argv[1] or not ensurepip.version():
    sys.exit(1)
print(sys.executable)
'

# The real path of candidate $2 if it is a usable Python $1; else nothing, and a status other than 0.
usable() {
    "$2" -I -c "$probe" "$1" 2>/dev/null </dev/null
}

candidates() {
    local root
    type -aP "python$1" python3 || true
    root="$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-$HOME/.pyenv}")"
    printf '%s\n' "$root"/versions/*/bin/"python$1"
}

versions=("$@")
if [ "$#" = 0 ]; then
    versions=(3.11 3.12 3.13)
fi
found=0
for version in "${versions[@]}"; do
    while IFS= read -r candidate; do
        if path="$(usable "$version" "$candidate")"; then
            echo "$path"
            found=1
            break
        fi
    done < <(candidates "$version")
done

if [ "$found" = 0 ]; then
    echo "No usable Python: need one of CPython ${versions[*]}, on PATH or under pyenv," \
        "that can make a virtual environment with pip (on Debian: apt install python3-venv)." >&2
    exit 1
fi
