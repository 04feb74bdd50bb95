#!/usr/bin/env bash
# Prepares a node: the project and the exact versions of constraints.txt in ~/venv, which stands first in PATH.
# Does nothing where that was done with the same versions.
set -euo pipefail
project="$(cd "$(dirname "$0")/.." && pwd)"
venv="${VENV:-$HOME/venv}"
wanted="$(cat "$project/constraints.txt" "$project/pyproject.toml" | sha256sum)"

if [ "$(cat "$venv/.installed" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi
if python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install -q -c "$project/constraints.txt" -e "${project}[cluster]"
else # the system's Python is too old: uv brings one along
  command -v uv >/dev/null || python3 -m pip install -q --user uv
  PATH="$HOME/.local/bin:$PATH"
  uv venv -q --clear --python 3.12 "$venv"
  uv pip install -q --python "$venv/bin/python" -c "$project/constraints.txt" -e "${project}[cluster]"
fi
echo "$wanted" >"$venv/.installed"
