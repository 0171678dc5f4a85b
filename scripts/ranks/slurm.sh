#!/usr/bin/env bash
# Starts Slurm on this machine alone (Debian's slurm-wlm, as root), runs a sweep of two rates as an array, and ends Slurm.
#   bash scripts/ranks/slurm.sh DATA [CLI]     after npm run build; DATA as for train, CLI dist/cli.js unless given
set -euo pipefail
data=$(realpath "${1:?usage: slurm.sh DATA [CLI]}")
cli=$(realpath "${2:-dist/cli.js}")
model=$(realpath models/demo)
work=$(mktemp -d)
name=$(hostname -s)
export SLURM_CONF=$work/slurm.conf
cat >"$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
NodeName=$name NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=$name Default=YES State=UP
CONF
mkdir -p "$work/state" "$work/spool"
finish() {
  scancel --state=RUNNING 2>/dev/null || true
  kill "$(cat "$work/slurmd.pid")" "$(cat "$work/slurmctld.pid")" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
pgrep -x munged >/dev/null || { mkdir -p /run/munge && chown munge /run/munge && runuser -u munge -- munged; }
slurmctld
slurmd
sweep="node $cli sweep --grid learning_rate=1e-4,1e-3 --output-dir $work/search"
train="--model $model --data $data --max-steps 6 --eval-steps 0"
sbatch --wait --array=0-1 --output="$work/%a.log" --wrap "$sweep -- $train" || { cat "$work"/*.log; exit 1; }
cat "$work"/*.log
$sweep --list -- $train
