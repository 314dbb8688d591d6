#!/bin/sh
# Makes a Vagrant box for libvirt out of Debian's packages, where none can be downloaded, and prints its name: build.sh.
# Debian 13, or what MARKET_PULSE_DEBIAN says; a box is made once.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export MARKET_PULSE_CACHE="${MARKET_PULSE_CACHE:-$HOME/.cache/market-pulse}"
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=MARKET_PULSE_CACHE,MARKET_PULSE_DEBIAN "$here/${0##*/}"

codename=$("$root/.venv/bin/python" -c 'import sys, yaml; print(yaml.safe_load(sys.stdin)["debian_releases"][sys.argv[1]]["codename"])' \
    "${MARKET_PULSE_DEBIAN:-13}" <"$root/ansible/group_vars/all/versions.yml")
box=$MARKET_PULSE_CACHE/vagrant/$codename.box
[ ! "$box" -nt "$here/${0##*/}" ] || { echo "$box"; exit; }

disk_gibibytes=20
packages=ca-certificates,dbus,initramfs-tools,iproute2,libnss-myhostname,linux-image-cloud-amd64,openssh-server,python3,python3-apt,sudo,systemd-resolved,systemd-sysv
# With this key Vagrant enters every new machine, to change it at once.
key=$(dpkg -L vagrant | grep '/keys/vagrant\.pub$')
grub=/usr/lib/grub/i386-pc

echo "==> making a Vagrant box of Debian $codename" >&2
mkdir -p "${box%/*}"
work=$(mktemp -d "$box.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
tree=$work/tree

mmdebstrap --quiet --variant=minbase --include="$packages" "$codename" "$tree"

echo 'LABEL=root / ext4 defaults 0 1' >"$tree/etc/fstab"
echo debian >"$tree/etc/hostname"
: >"$tree/etc/machine-id"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"
printf '%s\n' '[Match]' Name=eth0 '[Network]' DHCP=ipv4 >"$tree/etc/systemd/network/50-eth0.network"
# Nothing here goes online at a moment of its choice: whoever deploys would wait for its lock.
systemctl --root="$tree" --quiet mask apt-daily.timer apt-daily-upgrade.timer
systemctl --root="$tree" --quiet enable systemd-networkd
# Ansible takes lists of packages from today for new enough, even where there are none.
touch --date=@0 "$tree/var/lib/apt/lists"
# Every machine makes host keys of its own.
rm -f "$tree"/etc/ssh/ssh_host_*
install -d "$tree/etc/systemd/system/ssh.service.d"
printf '%s\n' '[Service]' ExecStartPre= 'ExecStartPre=/usr/bin/ssh-keygen -A' 'ExecStartPre=/usr/sbin/sshd -t' \
    >"$tree/etc/systemd/system/ssh.service.d/host-keys.conf"
chroot "$tree" useradd --create-home --shell=/bin/bash --password='*' vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$tree/etc/sudoers.d/vagrant"
chmod 0440 "$tree/etc/sudoers.d/vagrant"
install -D -m 600 "$key" "$tree/home/vagrant/.ssh/authorized_keys"
chroot "$tree" chown -R vagrant: /home/vagrant

# One partition, and before it GRUB, which starts what Debian's links call the newest kernel. GRUB 2.06 reads no ext4 with
# the two features.
truncate --size="${disk_gibibytes}G" "$work/disk"
echo 'start=1MiB, type=83, bootable' | sfdisk --quiet "$work/disk"
mke2fs -q -t ext4 -L root -O ^metadata_csum_seed,^orphan_file -E offset=1048576 -d "$tree" "$work/disk" $((disk_gibibytes * 1024 - 1))M
cat >"$work/grub.cfg" <<'GRUB'
linux (hd0,msdos1)/vmlinuz root=LABEL=root rw net.ifnames=0 console=tty0 console=ttyS0
initrd (hd0,msdos1)/initrd.img
boot
GRUB
grub-mkimage --format=i386-pc --prefix=/boot/grub --config="$work/grub.cfg" --output="$work/core.img" biosdisk part_msdos ext2 linux boot
dd if="$grub/boot.img" of="$work/disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk" bs=512 seek=1 conv=notrunc status=none

qemu-img convert -c -O qcow2 -o compression_type=zstd "$work/disk" "$work/box.img"
echo "{\"provider\": \"libvirt\", \"format\": \"qcow2\", \"virtual_size\": $disk_gibibytes}" >"$work/metadata.json"
tar -C "$work" -cf "$work/box" metadata.json box.img
mv "$work/box" "$box"
echo "$box"
