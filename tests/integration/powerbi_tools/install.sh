#!/bin/sh
# Installs Microsoft's TMDL parser, and a .NET that runs it, into a folder of its own in the cache: 84 MB that only the
# tests of the Power BI project need, under terms that do not let it be passed on. Run again, it compares one stamp.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
uv=$here/../../../.venv/bin/uv
folder=${MARKET_PULSE_CACHE:-$HOME/.cache/market-pulse}/powerbi-tools
lock=$here/requirements.lock
stamp=$folder/.stamp

want=$(sha256sum <"$lock" | cut -c1-64)
if [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && "$folder/bin/python" --version >/dev/null 2>&1; then
    exit 0
fi
echo "==> installing Microsoft's TMDL parser" >&2
"$uv" venv -q --clear --python "$here/../../../.venv/bin/python" "$folder"
"$uv" pip install -q --python "$folder/bin/python" --require-hashes --no-deps -r "$lock"
echo "$want" >"$stamp"
