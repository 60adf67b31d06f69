#!/usr/bin/env bash
# Train a world model of the push task, then plan and evaluate policies in it. A second call continues.
# Smaller numbers try it out: SCENES=12 STEPS=4 EPISODES=2 examples/closed_loop/run.sh DIR
set -euo pipefail
out=${1:?usage: run.sh FOLDER}
recipe=$(dirname "$0")/../../stages/recipes/simulation.py
size=32 # px
window=6 # frames of a clip
steps=${STEPS:-4000}
warmup=$((steps > 100 ? 50 : 2)) # steps; with 2, the loss was 24 times as high at the fourth step

[ -e "$out/films/list.csv" ] || clipmill simulate action --out "$out/films" --scenes "${SCENES:-4000}" --frames 41 --size $size --lossless
clipmill run "$recipe" footage="$out/films/list.csv" store="$out/store" conditions=action latent_px=$size \
  latent_video_frames=$window min_window_frames=$window tokenizer=pixels-4
clipmill train --data "$(echo "$out"/store/pack_latents-*)" --out "$out/model" model=convrnn-nano given_residual=true \
  conditions=action action_dropout=0 conditional_frames=0,0.2,0.8 condition_timestep=0.001 text_encoder=none \
  high_noise_share=1 batch_size=24 lr=2e-3 lr_schedule=cosine warmup_steps="$warmup" ema_sigma_rel=0.05 steps="$steps"

clipmill plan-actions --model "$out/model" --episodes "${EPISODES:-30}" --horizon 8 --planner mppi | tee "$out/planning.txt"
clipmill plan-actions --model "$out/model" --evaluate-policies --episodes "${EPISODES:-50}" | tee "$out/policies.txt"
