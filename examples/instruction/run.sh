#!/usr/bin/env bash
# Train a world model that follows instructions, and measure whether it does. A second call continues.
# Smaller numbers try it out: SCENES=80 STEPS=4 examples/instruction/run.sh DIR
set -euo pipefail
out=${1:?usage: run.sh FOLDER}
here=$(dirname "$0")
size=32 # px
window=6 # frames of a clip

[ -e "$out/films/list.csv" ] || clipmill simulate instruction --out "$out/films" --scenes "${SCENES:-4000}" \
  --frames 19 --fps 6 --size $size --validation-share 0.0125
clipmill run "$here/../../stages/recipes/simulation.py" footage="$out/films/list.csv" store="$out/store" \
  tokenizer=pixels-4 latent_px=$size latent_fps=6 latent_video_frames=$window min_window_frames=$window
clipmill train --data "$(echo "$out"/store/pack_latents-*)" --out "$out/model" model=convrnn-nano given_residual=true \
  text_encoder=byte_level text_dropout=0 conditional_frames=0,0.3,0.7 condition_timestep=0.001 \
  high_noise_share=1 batch_size=16 lr=2e-3 lr_schedule=cosine warmup_steps=2 steps="${STEPS:-3800}"

python "$here/sample.py" "$out/model" "$out/films" "$out/sampled"
clipmill evaluate world --videos "$out/sampled/right" --reference "$out/films" --shuffled "$out/sampled/wrong" \
  --metrics instruction,objects,psnr --object puck=196,60,50 --object pusher=50,80,170 \
  --html "$out/world.html" --json "$out/world.json" | tee "$out/world.txt"
