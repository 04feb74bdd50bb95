#!/usr/bin/env bash
# The first process of one machine: its own name, address, /tmp, home, users and ssh server; the file system of the
# machine below is otherwise the same. FOLDER/shared is seen by all machines, as a share would be.
#
#   host.sh FOLDER VENV PROJECT NAME=ADDRESS… NAME
set -euo pipefail
folder="$1" shared=("$1/shared" "$2" "$3")
name="${*: -1}"
own="$folder/$name"

until ip link set eth0 up 2>/dev/null; do sleep 0.02; done # the cable comes from outside
ip link set lo up
hostname "$name"
printf '127.0.0.1 localhost\n' >"$own/hosts"
for machine in "${@:4:$#-4}"; do
  echo "${machine#*=} ${machine%=*}" >>"$own/hosts"
  [ "${machine%=*}" != "$name" ] || ip address add "${machine#*=}/24" dev eth0
done

# What is looked up below a covered folder is held elsewhere first.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/held
for place in "${shared[@]}" "$own"; do
  mkdir -p "/run/held$place"
  mount --rbind "$place" "/run/held$place"
done
own="/run/held$own"
mount --bind "$own/tmp" /tmp
for place in "${shared[@]}"; do
  mkdir -p "$place"
  mountpoint -q "$place" || mount --rbind "/run/held$place" "$place"
done
mkdir -p "$folder/home"
mount --bind "$own/home" "$folder/home"
mount -t tmpfs -o mode=1777,size=2g tmpfs /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx

user=root
[ "$(id -u)" -eq 0 ] || user=sweep # as hosts.py has it
printf '%s:x:%s:%s::%s:/bin/bash\nsshd:x:74:65534::/run/sshd:/usr/sbin/nologin\n' \
  "$user" "$(id -u)" "$(id -g)" "$folder/home" >"$own/passwd"
printf '%s:*:19000::::::\n' "$user" >"$own/shadow"
printf '%s:x:%s:\n' "$user" "$(id -g)" >"$own/group" # without tty, to which a user may not give a terminal
: >"$own/resolv.conf" # no name server: each look-up would wait for one
for file in hosts passwd shadow group resolv.conf; do
  mount --bind "$own/$file" "/etc/$file"
done

cat >"$own/sshd_config" <<CONFIG
ListenAddress 0.0.0.0:22
HostKey $own/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
StrictModes no
UseDNS no
CONFIG
[ -f "$own/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$own/host_key"
cd /
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$own/sshd_config" &
while :; do
  wait
  sleep 1
done
