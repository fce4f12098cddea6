#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run, killed at random moments while it packs weights and stores them: the next start must give the outputs that a run without
# a cache gives, byte for byte, and leave one whole file and nothing else in the folder.
#   killed_writers.sh GRAFT_CONVERT GRAFT_RUN DATA KILLS [MODEL.graft [SEED]]
# MODEL: a text model to use in place of the stack of 25 million weights that is made here.
set -uo pipefail
export LC_ALL=C   # of EPOCHREALTIME
convert=$1 run=$2 data=$3 kills=$4 model=${5:-} seed=${6:-$RANDOM}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$work/cache
mkdir "$cache"

# u64 N: its eight bytes, the lowest first
u64() {
  local byte n=$1
  for _ in 1 2 3 4 5 6 7 8; do
    printf -v byte '\\x%02x' $((n & 255))
    printf '%b' "$byte"
    n=$((n >> 8))
  done
}
# safetensors HEADER: a file of that header and the data on standard input
safetensors() { u64 ${#1}; printf '%s' "$1"; cat; }
# numbers BYTES: weights of the fairy tales model, again and again
numbers() {
  local file=$data/tales/base/model.safetensors skip
  skip=$((8 + $(od -An -tu8 -N8 "$file")))
  while :; do tail -c +$((skip + 1)) "$file" || break; done 2>/dev/null | head -c "$1"
}
if [[ -z $model ]]; then
  model=$work/stack.graft
  mkdir "$work/base"
  matrix=$((2048 * 4096 * 2))
  numbers $((3 * matrix)) | safetensors "{\"A\":{\"dtype\":\"BF16\",\"shape\":[4096,2048],\"data_offsets\":[0,$matrix]},\"B\":{\"dtype\":\"BF16\",\"shape\":[2048,4096],\"data_offsets\":[$matrix,$((2 * matrix))]},\"C\":{\"dtype\":\"BF16\",\"shape\":[4096,2048],\"data_offsets\":[$((2 * matrix)),$((3 * matrix))]}}" >"$work/base/model.safetensors"
  echo '{"kind": "linear-stack", "layers": [{"weight": "A", "activation": "relu"}, {"weight": "B", "activation": "relu"}, {"weight": "C"}]}' \
    >"$work/base/graft.json"
  "$convert" convert --base "$work/base" --quant int8 -o "$model" >/dev/null || exit 1
  # Small weights of bf16 are small numbers of f32 too, two at a time.
  numbers $((5 * 2048 * 4)) | safetensors '{"input":{"dtype":"F32","shape":[5,2048],"data_offsets":[0,40960]}}' >"$work/in"
else
  for ((id = 1; id <= 16; ++id)); do u64 $((id << 32 | id)); done | safetensors '{"input_ids":{"dtype":"I32","shape":[32],"data_offsets":[0,128]}}' >"$work/in"
fi

# forward OPTION...: replaces the shell, so that its process id is the program's
forward() { exec "$run" forward "$model" --threads 2 --input "$work/in" -o "$work/out" "$@" 2>"$work/err"; }
stored() { find "$cache" -name '*.graftcache' "$@"; }
temporary() { find "$cache" -name '*.graftcache-tmp'; }
failed=0
fail() { echo "FAIL kill $round, seed $seed: $1"; sed 's/^/  | /' "$work/err"; failed=$((failed + 1)); }

(forward --no-cache) || { cat "$work/err"; exit 1; }
mv "$work/out" "$work/expected"
# The delays are spread over what a start takes that packs and stores.
start_us() {
  local began=${EPOCHREALTIME/./}
  rm -f "$work/out"
  (forward --cache-dir "$cache") || fail "the next start fails"
  took_us=$((${EPOCHREALTIME/./} - began))
}
round=0
start_us
window_us=$took_us
echo "seed $seed: $kills kills within $((window_us / 1000)) ms; a stored file has $(stored -printf '%s') bytes"

RANDOM=$seed
early=0 writing=0 late=0 finished=0 hits=0
for ((round = 1; round <= kills; ++round)); do
  stored -delete
  delay_us=$(((RANDOM << 15 | RANDOM) % (window_us + window_us / 8)))
  forward --cache-dir "$cache" &
  writer=$!
  printf -v delay '%d.%06d' $((delay_us / 1000000)) $((delay_us % 1000000))
  sleep "$delay"
  # Stopped, it can be looked at where it will die.
  if kill -STOP $writer 2>/dev/null; then
    while read -r _ _ state _ </proc/$writer/stat 2>/dev/null && [[ $state == [RSD] ]]; do :; done
    left=$(temporary) whole=$(stored)
    kill -KILL $writer 2>/dev/null
    wait $writer 2>/dev/null
    status=$?
  else
    wait $writer 2>/dev/null
    status=$?
  fi
  if ((status != 137)); then
    finished=$((finished + 1))
  elif [[ -n $left ]]; then
    writing=$((writing + 1))
  elif [[ -n $whole ]]; then
    late=$((late + 1))
  else
    early=$((early + 1))
  fi
  [[ -n $(stored) ]] && hits=$((hits + 1))
  is_cold=$([[ -z $(stored) ]] && echo 1)
  start_us
  if [[ -n $is_cold ]]; then window_us=$took_us; fi
  cmp -s "$work/out" "$work/expected" || fail "the next start gives other outputs"
  [[ -z $(temporary) ]] || fail "the next start leaves $(temporary)"
  [[ $(stored | wc -l) == 1 ]] || fail "the next start leaves $(stored | wc -l) files"
  start_us   # from that file
  cmp -s "$work/out" "$work/expected" || fail "the start after the next gives other outputs"
  ((failed > 3)) && break
done
echo "killed before a temporary file was there $early, while it was written $writing, after it was renamed $late; finished first $finished"
echo "$hits of the next starts found a whole file"
if ((writing == 0)); then echo "FAIL: no kill came while a file was written"; failed=$((failed + 1)); fi
echo "$((failed == 0)) passed, $failed failed"
((failed == 0))
