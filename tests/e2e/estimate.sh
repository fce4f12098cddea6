#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run estimate against what a process of its own takes with a full context: packing, storing in the cache, and from the cache.
#   estimate.sh GRAFT_RUN MODELS
set -uo pipefail
run=$1 models=$2
# Memory that nobody asked for is not foreseen.
if grep -qs '\[always\]' /sys/kernel/mm/transparent_hugepage/enabled; then
  echo "0 passed, 0 failed: this system gives huge pages unasked"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What is promised, of the measured peak. The kernel counts resident pages in batches of 32 for each CPU that a process ran on, and tells the sum
# without those that are not full: below, each side may be off by a batch for each CPU it used, of which two threads use few.
percent=5
slack=$((2 * 32 * $(getconf PAGESIZE)))
passed=0 failed=0
field() { sed -nE "s/.*\"$1\": ([0-9]+).*/\1/p" <<<"$2"; }
# compare NAME ESTIMATED MEASURED
compare() {
  local name=$1 estimated=$2 measured=$3
  local difference=$((estimated - measured))
  if [[ -n $estimated && -n $measured ]] && ((${difference#-} <= measured * percent / 100 + slack)); then
    passed=$((passed + 1))
  else
    echo "FAIL $name: estimated $estimated, measured $measured"
    failed=$((failed + 1))
  fi
}

for model in tales-holmes-int4 tales-base-int8 tales-base-f32; do
  for context in 256 2048; do
    [[ $context == 256 || $model == *-int4 ]] || continue   # floats of a long context take minutes, and say the same
    file=$models/$model.graft
    cache=$work/$model-$context
    estimate=$("$run" estimate "$file" --context $context --threads 2 --json)
    # The prompt is the whole context; a token is generated over it, and nothing else.
    measure() {
      local report
      report=$("$run" bench "$file" -p $context -n 1 -r 1 -t 2 --json "$@")
      echo $(($(field peak_rss_kib "$report") * 1024))
    }
    compare "$model, $context tokens, packing" "$(field peak_bytes "$estimate")" "$(measure --no-cache)"
    compare "$model, $context tokens, storing" "$(field storing_peak_bytes "$estimate")" "$(measure --cache-dir "$cache")"
    compare "$model, $context tokens, from the cache" "$(field cached_peak_bytes "$estimate")" "$(measure --cache-dir "$cache")"
  done
done

echo "$passed passed, $failed failed"
((failed == 0))
