#!/usr/bin/env bash
# One run on the nodes of a Slurm job: sbatch slurm.sh RECIPE knob=value … store=…
#SBATCH --job-name=clipmill
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
# Uncomment for GPU stages:
# #SBATCH --gpus-per-node=4
set -euo pipefail

if [ "$#" -lt 2 ]; then
  echo "usage: sbatch slurm.sh RECIPE knob=value … store=…" >&2
  exit 2
fi

# The environment in which clipmill is installed, at the same path on all nodes.
if [ -n "${CLIPMILL_VENV:-}" ]; then
  # shellcheck disable=SC1091
  source "$CLIPMILL_VENV/bin/activate"
fi

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # jobs that share a node do not meet

# All nodes of this job have one token; no other user can send work to this Ray.
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0

# Ray starts on each node; on the first one the run follows, and at its end Ray stops everywhere. A job that
# is requeued, or submitted again with the same words, goes on where it was.
exec srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=1 \
  ray symmetric-run --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --disable-usage-stats \
  -- clipmill run "$@" --ray-address "$address:$port"
