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

# Inputs that do not fit each other: one text beside two rows, in either order, and rows of two lengths.
# refuse SHAPE_OF_IDS BYTES SHAPE_OF_TYPES BYTES
refuse() {
  local header="{\"input_ids\":{\"dtype\":\"I32\",\"shape\":$1,\"data_offsets\":[0,$2]},\"token_type_ids\":{\"dtype\":\"I32\",\"shape\":$3,\"data_offsets\":[$2,$(($2 + $4))]}}"
  { printf "\\x$(printf %02x ${#header})\0\0\0\0\0\0\0%s" "$header"; head -c $(($2 + $4)) /dev/zero; } >"$out/rows.safetensors"
  local status=0
  "${emulator[@]}" "$run" forward "$models/architecture-bert_seqcls-f32.graft" --no-cache --input "$out/rows.safetensors" -o "$out/rows.out" 2>"$out/rows.err" || status=$?
  [[ $status == 1 && -s $out/rows.err && ! -e $out/rows.out ]] || { echo "input_ids $1 beside token_type_ids $3: exit $status, $(cat "$out/rows.err")"; exit 1; }
}
refuse '[5000]' 20000 '[2,1]' 8
refuse '[2,1]' 8 '[5000]' 20000
refuse '[2,3]' 24 '[2,5]' 40
