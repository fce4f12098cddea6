#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What graft-run forward writes for a batch of token rows: logits of every token, or a text's scores.
#   forward.sh GRAFT_RUN MODELS DATA [EMULATOR...]
set -euo pipefail
run=$1 models=$2 data=$3
shift 3
emulator=("$@")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# expect NAME SHAPE
expect() {
  "${emulator[@]}" "$run" forward "$models/architecture-$1-f32.graft" --no-cache --input "$data/architectures/$1/io.safetensors" -o "$out/$1.safetensors"
  local header
  header=$(head -c 1000 "$out/$1.safetensors" | tr -d '\0')
  [[ $header == *"\"logits\":{\"dtype\":\"F32\",\"shape\":$2,"* ]] || { echo "forward of $1: logits are not of shape $2"; exit 1; }
}
expect gpt2 '[1,24,131]'
expect gpt2_seqcls '[1,3]'
