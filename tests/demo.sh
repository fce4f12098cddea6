#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What graft does, on a small real model: a Llama trained on fairy tales, and a LoRA adapter trained on Sherlock Holmes stories.
#   demo.sh PROGRAMS DATA WORK      (normally through ./run demo)
set -euo pipefail
export GRAFT_CACHE_DIR=   # no cache of packed weights
programs=$1 data=$2 work=$3
mkdir -p "$work"
prompt="The man opened the door and"
width=100

# field NAME FILE: one value out of a flat JSON report.
field() { sed -nE "s/.*\"$1\": *\"?([^,\"}]*).*/\1/p" "$2"; }
bytes() { stat -c %s "$1"; }

echo "Converting $data/base ($(bytes "$data/base/model.safetensors") bytes of bf16 weights) to int4:"
"$programs/graft-convert" convert --base "$data/base" --quant int4 -o "$work/base.graft" | sed 's/^/  /'
echo "Converting the same with $data/holmes ($(bytes "$data/holmes/adapter_model.safetensors") bytes of LoRA adapter) merged in:"
"$programs/graft-convert" convert --base "$data/base" --adapter "$data/holmes" --quant int4 -o "$work/holmes.graft" | sed 's/^/  /'

for model in base holmes; do
  file=$work/$model.graft
  "$programs/graft-run" generate "$file" --prompt "$prompt" --max-tokens 100 --temperature 0.8 --top-k 40 --seed 7 --threads 2 \
    >"$work/$model.txt" 2>"$work/$model.log"
  "$programs/graft-run" perplexity "$file" --text-file "$data/heldout.txt" --context 256 --json >"$work/$model.perplexity.json"
  "$programs/graft-run" bench "$file" -p 128 -n 64 -t 2 -r 5 --json >"$work/$model.bench.json"
done

# column TITLE FILE: the text as one half of the page.
column() {
  printf '%s\n\n' "$1"
  { printf '%s' "$prompt"; cat "$2"; } | fold -s -w $((width / 2 - 3))
  echo
}
printf '\nOne prompt, sampled with temperature 0.8, top-k 40, seed 7:\n\n'
column "BASE (fairy tales)" "$work/base.txt" >"$work/left"
column "BASE + HOLMES" "$work/holmes.txt" >"$work/right"
pr -m -t -w $width "$work/left" "$work/right" | expand | sed 's/[[:space:]]*$//'

printf '\n%-44s %14s %14s\n' "" base "base + holmes"
# row TITLE FORMAT FIELD REPORT [DIVISOR]
row() {
  local model values=()
  for model in base holmes; do
    values+=("$(field "$3" "$work/$model.$4.json" | awk -v d="${5:-1}" -v f="$2" '{ printf f, $1 / d }')")
  done
  printf '%-44s %14s %14s\n' "$1" "${values[@]}"
}
row "perplexity on unseen Sherlock Holmes text" %.2f perplexity perplexity
row "file, bytes" %d file_bytes bench
row "prefill of 128 tokens, 2 threads, tok/s" %.0f prefill_tokens_per_second bench
row "decode, 2 threads, tok/s" %.0f decode_tokens_per_second bench
row "load, ms" %.1f load_ms bench
row "peak RSS, MiB" %.1f peak_rss_kib bench 1024
echo

# The demo claims two things, and checks them.
if cmp -s "$work/base.txt" "$work/holmes.txt"; then
  echo "demo: the adapter changed nothing in the text" >&2
  exit 1
fi
awk -v b="$(field perplexity "$work/base.perplexity.json")" -v h="$(field perplexity "$work/holmes.perplexity.json")" 'BEGIN {
  if (h + 0 <= 0 || h + 0 >= b + 0) { print "demo: the adapter does not lower the perplexity" > "/dev/stderr"; exit 1 }
  printf "The adapter lowers the perplexity by %.0f %%, and the device pays nothing for it: merged, the model is as large and as fast as before.\n", 100 * (1 - h / b) }'
