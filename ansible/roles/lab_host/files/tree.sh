#!/bin/sh
# A lab host's files: tree.sh base|make|keep|remove. Prints what it changed.
set -eu

tree=$LAB_HOST_DIRECTORY/root
base=$LAB_CACHE/$LAB_CODENAME.tar
packages=$LAB_CACHE/packages-$LAB_CODENAME

# The tree of a Debian release with what every lab host needs, once for all of them.
base() {
    [ ! -e "$base" ] || return 0
    mkdir -p "$LAB_CACHE"
    # The package lists stay in it, so that a host made within a day of them need not fetch any.
    mmdebstrap --quiet --variant=minbase --skip=cleanup/apt/lists --include="$LAB_PACKAGES" \
        "$LAB_CODENAME" "$base.part.tar"
    mv "$base.part.tar" "$base"
    echo "made the base tree of $LAB_CODENAME"
}

make() {
    [ ! -e "$LAB_HOST_DIRECTORY/complete" ] || return 0
    rm -rf --one-file-system "$tree"
    mkdir -p "$tree" "$packages"
    tar -xf "$base" -C "$tree" --numeric-owner
    cp "$packages"/*.deb "$tree/var/cache/apt/archives/" 2>/dev/null || true
    # A lab may lose its disk; to flush every file of every package would double the time of an installation.
    echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/lab"
    echo "$LAB_NAME" >"$tree/etc/hostname"
    : >"$tree/etc/machine-id"
    name_servers >"$tree/etc/resolv.conf"
    cat >"$tree/etc/systemd/network/10-host0.network" <<NETWORK
[Match]
Name=host0

[Network]
Address=$LAB_ADDRESS/${LAB_NETWORK#*/}
Gateway=$LAB_GATEWAY
LinkLocalAddressing=no
NETWORK
    systemctl --root="$tree" --quiet enable systemd-networkd
    # Nothing here goes online at a moment of its choice: tests and demos would share the machine with it.
    systemctl --root="$tree" --quiet mask apt-daily.timer apt-daily-upgrade.timer
    rm -f "$tree"/etc/ssh/ssh_host_*
    ssh-keygen -q -t ed25519 -N '' -C "$LAB_NAME" -f "$tree/etc/ssh/ssh_host_ed25519_key"
    echo "$LAB_ADDRESS $(cut -d' ' -f1,2 "$tree/etc/ssh/ssh_host_ed25519_key.pub")" >"$LAB_HOST_DIRECTORY/known_hosts"
    cat >"$LAB_HOST_DIRECTORY/ssh_config" <<SSH
Host $LAB_NAME $LAB_ADDRESS
    HostName $LAB_ADDRESS
    User root
    IdentityFile "$LAB_DIRECTORY/key"
    IdentitiesOnly yes
    UserKnownHostsFile "$LAB_HOST_DIRECTORY/known_hosts"
SSH
    install -D -m 600 "$LAB_DIRECTORY/key.pub" "$tree/root/.ssh/authorized_keys"
    touch "$LAB_HOST_DIRECTORY/complete"
    echo "made the tree of $LAB_NAME"
}

# Where systemd-resolved runs, /etc/resolv.conf names an address that only this machine itself can reach.
name_servers() { cat /run/systemd/resolve/resolv.conf 2>/dev/null || cat /etc/resolv.conf; }

# Saves the packages that the host downloaded, for the next one.
keep() {
    [ -d "$tree/var/cache/apt/archives" ] || return 0
    cp --update --verbose "$tree"/var/cache/apt/archives/*.deb "$packages/" 2>/dev/null || true
}

remove() {
    [ -d "$LAB_HOST_DIRECTORY" ] || return 0
    keep >/dev/null
    rm -rf --one-file-system "$LAB_HOST_DIRECTORY"
    echo "removed the tree of $LAB_NAME"
}

"$1"
