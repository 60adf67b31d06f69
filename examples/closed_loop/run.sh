#!/usr/bin/env bash
# Train a world model of the push task, then plan and evaluate policies in it. A second call continues.
# Smaller numbers try it out: SCENES=12 TOKENIZER_STEPS=4 STEPS=4 EPISODES=2 examples/closed_loop/run.sh DIR
set -euo pipefail
out=${1:?usage: run.sh FOLDER}
recipe=$(dirname "$0")/../../stages/recipes/simulation.py
size=32 # px
window=6 # frames of a clip

[ -e "$out/films/list.csv" ] || clipmill simulate action --out "$out/films" --scenes "${SCENES:-1200}" --frames 41 --size $size
clipmill train tokenizer --data "$out/films" --out "$out/tokenizer" \
  stride=1,4,4 width=64 encoder_blocks=1 decoder_blocks=2 size_px=$size frames=5 frames_short_side_px=$size \
  perceptual_weight=0 steps="${TOKENIZER_STEPS:-700}" warmup_steps=2 lr=2e-3 lr_schedule=cosine batch_size=8

clipmill run "$recipe" footage="$out/films/list.csv" store="$out/store" conditions=action latent_px=$size \
  latent_video_frames=$window min_window_frames=$window tokenizer="$out/tokenizer/tokenizer.safetensors"
clipmill train --data "$(echo "$out"/store/pack_latents-*)" --out "$out/model" model=unet3d-nano given_residual=true \
  conditions=action action_dropout=0 conditional_frames=0,0.4,0.6 condition_timestep=0.001 text_encoder=none \
  high_noise_share=1 batch_size=16 lr=2e-3 lr_schedule=cosine warmup_steps=2 steps="${STEPS:-3700}"

plan() { clipmill plan-actions --model "$out/model" --tokenizer "$out/tokenizer/tokenizer.safetensors" "$@"; }
plan --episodes "${EPISODES:-30}" --horizon 8 | tee "$out/planning.txt"
plan --evaluate-policies --episodes "${EPISODES:-50}" | tee "$out/policies.txt"
