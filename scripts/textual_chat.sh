#!/usr/bin/env bash
# Make the virtual environment of textual-chat, which holds a widget that speaks the Agent Client Protocol. It needs an
# older release of the protocol's SDK than taf does, so it has an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(textual-chat==0.1.4 agent-client-protocol==0.7.1)
folder=.venvs/textual-chat
stamp="$folder/.installed-$(printf '%s-' "${packages[@]}")"

if [ ! -e "$stamp" ]; then
    python="$(scripts/interpreters.sh | sed -n 1p)"
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check "${packages[@]}"
    touch "$stamp"
fi
