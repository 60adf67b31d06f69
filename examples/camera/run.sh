#!/usr/bin/env bash
# Train a world model that a camera moves through, and measure whether it follows. A second call continues.
# Smaller numbers try it out: SCENES=16 STEPS=4 examples/camera/run.sh DIR
set -euo pipefail
out=${1:?usage: run.sh FOLDER}
here=$(dirname "$0")

[ -e "$out/films/list.csv" ] || clipmill simulate camera --out "$out/films" --scenes "${SCENES:-800}" \
  --frames 33 --fps 12 --width 128 --height 128 --lossless --validation-share 0.05
clipmill run "$here/../../stages/recipes/simulation.py" footage="$out/films/list.csv" store="$out/store" \
  tokenizer=pixels-4 latent_px=64 latent_fps=12 latent_video_frames=9 min_window_frames=9 conditions=camera
clipmill train --data "$(echo "$out"/store/pack_latents-*)" --out "$out/model" model=unet3d-nano conditions=camera \
  camera_scale=1 camera_dropout=0 conditional_frames=0,1 given_residual=true given_planes=16 nearest_plane=0.6 \
  sigma_data=0.2 text_encoder=none high_noise_share=1 batch_size=8 lr=2e-3 lr_schedule=cosine warmup_steps=2 \
  ema_sigma_rel=0.05 steps="${STEPS:-1200}"

python "$here/sample.py" "$out/model" "$out/films" "$out/sampled"
clipmill evaluate world --videos "$out/sampled/right" --reference "$out/sampled/truth" \
  --shuffled "$out/sampled/shuffled" --metrics sampson,psnr,poses --max-pairs 4 \
  --html "$out/world.html" --json "$out/world.json" | tee "$out/world.txt"
