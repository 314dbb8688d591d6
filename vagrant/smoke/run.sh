#!/bin/sh
# Makes the Vagrant machine of a box built here, under emulation, and deploys to it: run.sh TAGS (of site.yml, or all).
# All of it happens in namespaces of its own, with a libvirt of its own, so that nothing outlives it, however it ends.
set -eu

tags=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/.lab/vagrant-smoke
export MARKET_PULSE_CACHE="${MARKET_PULSE_CACHE:-$HOME/.cache/market-pulse}"

[ "$(id -u)" = 0 ] || exec sudo --preserve-env=MARKET_PULSE_CACHE,MARKET_PULSE_DEBIAN "$0" "$@"

box=$("$here/../local-box/build.sh")
inside='' network=''
clean_up() {
    # The first process of the namespaces takes all others with it.
    [ -z "$inside" ] || kill -KILL "$inside" 2>/dev/null || true
    [ -z "$network" ] || kill "$network" 2>/dev/null || true
    wait
    rm -rf --one-file-system "$work"
    rmdir "$root/.lab" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

rm -rf --one-file-system "$work"
mkdir -p "$work"
unshare --mount --net --pid --fork --kill-child --mount-proc "$here/inside.sh" "$root" "$work" "$box" "$tags" &
inside=$!
until [ "$(readlink "/proc/$inside/ns/net")" != "$(readlink "/proc/$$/ns/net")" ]; do sleep 0.1; done
slirp4netns --configure --mtu=65520 "$inside" tap0 >"$work/slirp4netns.log" 2>&1 &
network=$!
wait "$inside"
