#!/usr/bin/env bash
# A network of machines on one machine: a bridge, and for each machine a cable to it and namespaces of its own (network,
# processes, mounts, name, shared memory). Started by hosts.py as the first process of namespaces of its own: when it
# ends, all that was started in it ends, and every mount, cable and name goes with it. It reads lines (start NAME, cut
# NAME, mend NAME), and ends with its standard input.
#
#   network.sh FOLDER VENV PROJECT NAME=ADDRESS…
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
folder="$1"

ip link set lo up
ip link add bridge type bridge
ip link set bridge up
start() {
  local name="$1"
  ip link delete "v-$name" 2>/dev/null || true # it was on before
  unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc \
    bash "$here/host.sh" "${@:2}" "$name" >"$folder/$name/log.txt" 2>&1 </dev/null &
  until [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
  ip link add "v-$name" type veth peer name eth0 netns "$!"
  ip link set "v-$name" master bridge up
}

while read -r verb name; do # at the end of the input bash ends, and with it all
  case "$verb" in
    start) start "$name" "$@" ;;
    cut) ip link set "v-$name" down ;;
    mend) ip link set "v-$name" up ;;
  esac
done
