#!/bin/sh
# Boots a lab host and stays with it: boot.sh NAME DIRECTORY BRIDGE. A reboot inside boots it again; SIGTERM is a
# power button.
set -eu

name=$1 directory=$2 bridge=$3

# The host's own folder below this process's in each hierarchy of cgroups.
own_cgroups() {
    while IFS=: read -r _ controllers path; do
        case $controllers in
            "") if [ -d /sys/fs/cgroup/unified ]; then mount=unified; else mount=.; fi ;;
            name=*) mount=${controllers#name=} ;;
            *) mount=$controllers ;;
        esac
        echo "/sys/fs/cgroup/$mount${path%/}/market-pulse-lab-$name"
    done </proc/self/cgroup
}

# Two hosts in one cgroup would clear away each other's services, so each gets one of its own. A 0 stands for the writer.
boot() {
    for cgroup in $cgroups; do
        mkdir -p "$cgroup"
        echo 0 >"$cgroup/cgroup.procs"
    done 2>/dev/null || true
    exec systemd-nspawn --quiet --directory="$directory/root" --boot --machine="$name" --register=no --keep-unit \
        --network-bridge="$bridge" --resolv-conf=off --timezone=off --link-journal=no --console=read-only \
        --bind-ro=/etc/ssl/certs/ca-certificates.crt
}

echo $$ >"$directory/pid"
cgroups=$(own_cgroups)
child='' stopping=
trap 'stopping=yes; kill -TERM "$child"' TERM
status=133
# systemd-nspawn's way to say that the system inside asked for a reboot.
while [ "$status" = 133 ] && [ -z "$stopping" ]; do
    boot &
    child=$!
    status=0
    wait "$child" || status=$?
    # A trapped signal ends the wait, not the child.
    while kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
done
for cgroup in $cgroups; do
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
done
rm -f "$directory/pid"
