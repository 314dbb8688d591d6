#!/bin/sh
# The part of run.sh that is in the namespaces: inside.sh ROOT WORK BOX TAGS. Whatever it leaves running ends with it.
set -eu

root=$1 work=$2 box=$3 tags=$4

say() { printf '==> %s s: %s\n' "$(($(date +%s) - began))" "$*"; }
began=$(date +%s)

# A libvirt that knows of no other, has no systemd to ask, and runs QEMU as root.
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
for directory in /etc/libvirt /var/cache/libvirt /var/lib/libvirt /var/log/libvirt; do
    mkdir -p "$work$directory" "$directory"
    mount --bind "$work$directory" "$directory"
done
echo 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'cgroup_controllers = []' 'namespaces = []' \
    'stdio_handler = "file"' >/etc/libvirt/qemu.conf

# slirp4netns answers for whatever name servers this machine has.
names=$(readlink -m /etc/resolv.conf)
mkdir -p "${names%/*}"
[ -e "$names" ] || : >"$names"
echo 'nameserver 10.0.2.3' >"$work/resolv.conf"
mount --bind "$work/resolv.conf" "$names"
until ip -4 route show default | grep -q tap0; do sleep 0.1; done

libvirtd --daemon
until virsh --quiet --connect=qemu:///system uri >/dev/null 2>&1; do sleep 0.1; done

export HOME=/run/home
export VAGRANT_HOME="$work/vagrant" VAGRANT_DOTFILE_PATH="$work/dotfile" VAGRANT_DEFAULT_PROVIDER=libvirt
export MARKET_PULSE_BOX=market-pulse/local
mkdir -p "$HOME" "$VAGRANT_HOME"
cp "$root/vagrant/smoke/Vagrantfile" "$VAGRANT_HOME"
cd "$root/vagrant"
vagrant box add --name="$MARKET_PULSE_BOX" "$box"

say 'vagrant up, with the secrets'
vagrant up --provision-with=secrets

say "site.yml --tags=$tags"
cd "$root/ansible"
"$root/.venv/bin/ansible-playbook" -i inventories/vagrant site.yml --tags="$tags"

say 'an analyst asks, over the network and over the forwarded port'
"$root/.venv/bin/ansible-playbook" -i inventories/vagrant vagrant_ask.yml

say 'vagrant destroy'
cd "$root/vagrant"
vagrant destroy --force
say 'it works'
