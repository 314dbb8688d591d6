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

# What keeps forwarded packets from the lab: chains with the policy drop, as "family table chain", that do not name the bridge.
walls() {
    nft list chains | awk '$1 == "table" { table = $2 " " $3 } $1 == "chain" { chain = $2 } /hook forward .*policy drop/ { print table, chain }' |
        while read -r wall; do
            # shellcheck disable=SC2086 # family, table and chain
            nft list chain $wall | grep -qF "\"$LAB_BRIDGE\"" || echo "$wall"
        done
}

# Docker and ufw drop what they do not know, by way of iptables: so the lab's packets are let through there, inwards the answers.
doors() {
    command -v iptables >/dev/null || return 0
    for rule in "-i $LAB_BRIDGE" "-o $LAB_BRIDGE -m conntrack --ctstate RELATED,ESTABLISHED"; do
        # shellcheck disable=SC2086 # the words of a rule
        case $1 in
            open) iptables -w -C FORWARD $rule -j ACCEPT 2>/dev/null || iptables -w -I FORWARD $rule -j ACCEPT ;;
            close) ! iptables -w -C FORWARD $rule -j ACCEPT 2>/dev/null || iptables -w -D FORWARD $rule -j ACCEPT ;;
        esac
    done
}

# Every step can be made again, for a run may be cut short after any of them.
up() {
    if [ ! -e "/sys/class/net/$LAB_BRIDGE" ]; then
        [ -z "$(ip -4 route show "$LAB_NETWORK")" ] ||
            die "$LAB_NETWORK is in use on this machine ($(ip -4 route show "$LAB_NETWORK")); give this lab another lab_host_network"
        ip -batch - <<IP
link add name $LAB_BRIDGE type bridge
link set dev $LAB_BRIDGE alias "$LAB_DIRECTORY"
IP
        echo "made the network $LAB_NETWORK on $LAB_BRIDGE"
    fi
    [ "$(owner)" = "$LAB_DIRECTORY" ] ||
        die "the interface $LAB_BRIDGE belongs to the lab in '$(owner)'; give this lab another lab_host_bridge and lab_host_network"
    ip address replace "$LAB_GATEWAY/${LAB_NETWORK#*/}" dev "$LAB_BRIDGE"
    ip link set dev "$LAB_BRIDGE" up
    nft -f - <<NFT
table ip $table
delete table ip $table
table ip $table {
    chain postrouting {
        type nat hook postrouting priority srcnat
        ip saddr $LAB_NETWORK oifname != "$LAB_BRIDGE" masquerade
    }
}
NFT
    if iptables -S FORWARD 2>/dev/null | grep -qx -e '-P FORWARD DROP'; then doors open; fi
    walls=$(walls)
    [ -z "$walls" ] ||
        die "this machine's firewall drops what it forwards (nft list chain $walls), so the lab has no way out; accept there what comes in from $LAB_BRIDGE and the answers to it"
    if [ "$(cat $forward)" = 0 ]; then
        echo 0 >$forward_was
        echo 1 >$forward
    fi
}

# The last host takes the network with it. The interface goes last, because it says whose all the rest is.
down() {
    [ "$(owner)" = "$LAB_DIRECTORY" ] || return 0
    [ -z "$(ls "/sys/class/net/$LAB_BRIDGE/brif")" ] || return 0
    ! nft list tables | grep -qx "table ip $table" || nft delete table ip "$table"
    doors close
    if [ -e $forward_was ] && ! nft list tables | grep -q ' market_pulse_'; then
        cat $forward_was >$forward
        rm $forward_was
    fi
    ip link delete dev "$LAB_BRIDGE"
    echo "removed the network $LAB_NETWORK"
}

"$1"
