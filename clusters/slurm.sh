#!/usr/bin/env bash
# A study in one Slurm allocation: a Ray cluster on its nodes, for as long as it lasts, with a token of its own.
#
#   sbatch clusters/slurm.sh --grid full_study --storage /shared/studies --data /shared/data --weights /shared/weights
#
# Change the lines below for your site. What follows the script's name goes to `python -m sweep.run`. When time runs out
# Slurm sends SIGTERM two minutes ahead: the study stops cleanly, and the same line, given again, goes on.
# Checked with shellcheck and with stubbed Slurm commands; never run on a Slurm cluster by us.
#
#SBATCH --job-name=scenario-sweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=scenario-sweep-%j.log
set -euo pipefail

project="${SLURM_SUBMIT_DIR:?submit this with sbatch, from the top folder of the project}"
cd "$project"
export PATH="${VENV:-$project/.venv}/bin:$PATH" RAY_USAGE_STATS_ENABLED=0
command -v ray >/dev/null || { echo "no ray in ${VENV:-$project/.venv}: set VENV, or install as README.md says" >&2; exit 2; }

# A token for this job, on the shared disk, readable by its owner alone. Other users of the nodes cannot join.
token_folder="$(umask 077; mktemp -d "$project/.slurm-token-XXXXXX")"
RAY_AUTH_TOKEN_PATH="$token_folder/token"
(umask 077; python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${nodes[0]}"
# How the others reach the head. On some systems a host's own name stands for a loopback address: then any other of its own.
head_ip="$(srun --nodes=1 --ntasks=1 --nodelist="$head" bash -c 'hostname --ip-address; hostname --all-ip-addresses' |
  tr ' ' '\n' | grep -E '^[0-9.]+$' | grep -v '^127\.' | awk 'NR == 1')" || { echo "no address of $head found" >&2; exit 2; }
head_address="$head_ip:$((20000 + SLURM_JOB_ID % 10000))"
steps=()
study=""

# shellcheck disable=SC2317,SC2329 # reached through the trap
clean_up() {
  for step in "${steps[@]}"; do kill "$step" 2>/dev/null || true; done
  wait || true
  rm -rf "$token_folder"
}
trap clean_up EXIT
# bash runs a trap only between commands: the study runs in the background, and is passed the signal.
trap '[ -z "$study" ] || kill -TERM "$study"' TERM INT

start() { # start NODE ARGUMENT…: Ray on one node, in a step of its own, until the job ends
  local node="$1"
  shift
  srun --nodes=1 --ntasks=1 --nodelist="$node" --kill-on-bad-exit=0 \
    ray start --block --disable-usage-stats --num-cpus="${SLURM_CPUS_ON_NODE:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" "$@" &
  steps+=("$!")
}

start "$head" --head --node-ip-address="${head_address%:*}" --port="${head_address#*:}" --dashboard-host=127.0.0.1
python -m sweep.cluster wait --address "$head_address" --nodes 1 --timeout 120
for node in "${nodes[@]:1}"; do
  start "$node" --address="$head_address"
done
python -m sweep.cluster wait --address "$head_address" --nodes "${#nodes[@]}" --timeout 300

python -m sweep.run --address "$head_address" "$@" &
study="$!"
status=0
wait "$study" || status="$?"
if kill -0 "$study" 2>/dev/null; then # the first wait was cut short by a signal
  status=0
  wait "$study" || status="$?"
fi
exit "$status"
