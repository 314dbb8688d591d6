#!/bin/sh
# Makes a Vagrant box for libvirt out of Debian's packages, where no public box can be downloaded: build.sh CODENAME BOX.
set -eu

codename=$1 box=$2
here=$(cd "$(dirname "$0")" && pwd)
disk_gibibytes=20
packages=ca-certificates,dbus,initramfs-tools,iproute2,libnss-myhostname,linux-image-cloud-amd64,openssh-server,python3,python3-apt,sudo,systemd-resolved,systemd-sysv
# With this key Vagrant enters every new machine, to change it at once.
key=$(dpkg -L vagrant | grep '/keys/vagrant\.pub$')

mkdir -p "${box%/*}"
work=$(mktemp -d "$box.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root

mmdebstrap --quiet --variant=minbase --include="$packages" "$codename" "$root"

echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
echo debian >"$root/etc/hostname"
: >"$root/etc/machine-id"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
printf '%s\n' '[Match]' Name=eth0 '[Network]' DHCP=ipv4 >"$root/etc/systemd/network/50-eth0.network"
# Nothing here goes online at a moment of its choice: whoever deploys would wait for its lock.
systemctl --root="$root" --quiet mask apt-daily.timer apt-daily-upgrade.timer
systemctl --root="$root" --quiet enable systemd-networkd
# Every machine makes host keys of its own.
rm -f "$root"/etc/ssh/ssh_host_*
install -d "$root/etc/systemd/system/ssh.service.d"
printf '%s\n' '[Service]' ExecStartPre= 'ExecStartPre=/usr/bin/ssh-keygen -A' 'ExecStartPre=/usr/sbin/sshd -t' \
    >"$root/etc/systemd/system/ssh.service.d/host-keys.conf"
chroot "$root" useradd --create-home --shell=/bin/bash --password='*' vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 0440 "$root/etc/sudoers.d/vagrant"
install -D -m 600 "$key" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant: /home/vagrant

cp -L "$root/vmlinuz" "$root/initrd.img" "$here/Vagrantfile" "$work"
truncate --size="${disk_gibibytes}G" "$work/disk"
mke2fs -q -t ext4 -d "$root" "$work/disk"
qemu-img convert -c -O qcow2 -o compression_type=zstd "$work/disk" "$work/box.img"
echo "{\"provider\": \"libvirt\", \"format\": \"qcow2\", \"virtual_size\": $disk_gibibytes}" >"$work/metadata.json"
tar -C "$work" -cf "$work/box" metadata.json Vagrantfile vmlinuz initrd.img box.img
mv "$work/box" "$box"
