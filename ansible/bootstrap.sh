#!/bin/sh
# Makes this machine a control node: Debian packages, and a .venv with exactly what requirements-dev.lock names. Its
# arguments are more Debian packages, of which not everybody has need.
# Run again, it compares one stamp and the list of packages, and says nothing.
set -eu

PACKAGES="
ca-certificates
debian-archive-keyring
default-jre-headless
git
iproute2
maven
mmdebstrap
nftables
openssh-client
postgresql-client
procps
python3
python3-venv
systemd-container
util-linux
"

here=$(cd "$(dirname "$0")/.." && pwd)
cache=${MARKET_PULSE_CACHE:-$HOME/.cache/market-pulse}
venv=$here/.venv
lock=$here/ansible/artifacts/requirements-dev.lock
stamp=$venv/.stamp
pyspark=$(sed -n 's/^pyspark==\([^ ]*\).*/\1/p' "$lock")
wheel=$cache/wheels/pyspark-$pyspark-py2.py3-none-any.whl
# While Debian's postgresql is installed here: the tests start their own, and a cluster that nobody asked for would hold
# port 5432 of this machine.
no_cluster=/etc/postgresql-common/createcluster.d/market-pulse.conf

say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
    command -v apt-get >/dev/null || die "this machine has no apt-get; a control node is a Debian or Ubuntu"
    missing=
    for package in $PACKAGES "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installing Debian packages:$missing"
    case "$missing " in *" postgresql "*)
        trap 'as_root rm -f $no_cluster' EXIT
        as_root mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    esac
    as_root apt-get -q update
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 --no-install-recommends install $missing
    as_root rm -f "$no_cluster"
    trap - EXIT
}

find_python() {
    for python in python3 python3.13 python3.12 python3.11; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return 0
    done
    die "no python3 of at least 3.11; Debian 12, Debian 13 and Ubuntu 24.04 have one"
}

# Prints the entries of the lock whose package is (or, with !, is not) the named one.
locked() {
    awk -v not="$1" -v name="$2" '/^[a-z0-9]/ { split($0, part, "=="); keep = (part[1] == name) != (not == "!") } keep' "$lock"
}

install_venv() {
    want=$(cat "$lock" "$here/setup.cfg" "$0" | sha256sum | cut -c1-64)-$here
    # The stamp tells of the lock alone: the system's Python may have gone, and so may the cache, or it is another one.
    [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || [ ! -e "$wheel" ] || ! "$venv/bin/python" --version >/dev/null 2>&1 || return 0
    find_python
    say "making .venv with $("$python" --version)"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    locked "" uv >"$work/uv.txt"
    locked "" pyspark >"$work/pyspark.txt"
    locked ! pyspark >"$work/others.txt"
    "$venv/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps -r "$work/uv.txt"
    say "installing the locked Python packages"
    "$venv/bin/uv" pip sync -q --python "$venv/bin/python" --require-hashes "$work/others.txt"
    install_pyspark
    # The project itself as it lies here: an operator plans with `market-pulse plan` before there is a host.
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --no-index --no-build-isolation --editable "$here"
    echo "$want" >"$stamp"
}

# PyPI has pyspark as a source archive of 450 MB; the wheel made of it is what the hosts unpack as Spark, so it is kept.
install_pyspark() {
    if [ ! -e "$wheel" ]; then
        say "downloading pyspark $pyspark (450 MB) and building its wheel, once"
        SOURCE_DATE_EPOCH=315532800 "$venv/bin/pip" wheel -q --disable-pip-version-check --no-cache-dir --no-deps \
            --no-build-isolation --use-pep517 --require-hashes -r "$work/pyspark.txt" -w "$work/wheels"
        mkdir -p "$cache/wheels"
        mv "$work/wheels/${wheel##*/}" "$wheel.part"
        mv "$wheel.part" "$wheel"
    fi
    say "installing pyspark $pyspark"
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --no-index "$wheel"
}

install_packages "$@"
install_venv
