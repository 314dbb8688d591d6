#!/bin/sh
# The bridge that a lab's hosts share, with a route out: network.sh up|down. Prints what it changed.
set -eu

table=market_pulse_$(echo "$LAB_BRIDGE" | tr -c 'a-z0-9\n' _)
# One for all labs of this machine: what net.ipv4.ip_forward was before the first of them.
forward_was=/run/market-pulse-lab.ip_forward
forward=/proc/sys/net/ipv4/ip_forward

die() { echo "$*" >&2; exit 1; }

# The bridge carries the lab's directory as its alias, so that two checkouts do not take it from each other.
owner() { cat "/sys/class/net/$LAB_BRIDGE/ifalias" 2>/dev/null || true; }

up() {
    if [ -e "/sys/class/net/$LAB_BRIDGE" ]; then
        [ "$(owner)" = "$LAB_DIRECTORY" ] ||
            die "the interface $LAB_BRIDGE belongs to the lab in '$(owner)'; give this lab another lab_host_bridge and lab_host_network"
        return 0
    fi
    [ -z "$(ip -4 route show "$LAB_NETWORK")" ] ||
        die "$LAB_NETWORK is in use on this machine ($(ip -4 route show "$LAB_NETWORK")); give this lab another lab_host_network"
    ip link add name "$LAB_BRIDGE" type bridge
    ip link set dev "$LAB_BRIDGE" alias "$LAB_DIRECTORY"
    ip address add "$LAB_GATEWAY/${LAB_NETWORK#*/}" dev "$LAB_BRIDGE"
    ip link set dev "$LAB_BRIDGE" up
    nft -f - <<NFT
table ip $table {
    chain postrouting {
        type nat hook postrouting priority srcnat
        ip saddr $LAB_NETWORK oifname != "$LAB_BRIDGE" masquerade
    }
}
NFT
    if [ "$(cat $forward)" = 0 ]; then
        echo 0 >$forward_was
        echo 1 >$forward
    fi
    echo "made the network $LAB_NETWORK on $LAB_BRIDGE"
}

# The last host takes the network with it.
down() {
    [ "$(owner)" = "$LAB_DIRECTORY" ] || return 0
    [ -z "$(ls "/sys/class/net/$LAB_BRIDGE/brif")" ] || return 0
    ip link delete dev "$LAB_BRIDGE"
    nft delete table ip "$table"
    if [ -e $forward_was ] && ! nft list tables | grep -q ' market_pulse_'; then
        cat $forward_was >$forward
        rm $forward_was
    fi
    echo "removed the network $LAB_NETWORK"
}

"$1"
