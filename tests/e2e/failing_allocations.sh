#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The programs with one of their allocations failing, or all from one on: they do without, or say so and end with 1. Nothing is left
# half written. Also in address spaces that are too small.
#   failing_allocations.sh FAILING_MALLOC_SO GRAFT_CONVERT GRAFT_RUN MODELS DATA
# GRAFT_TEST_EVERY_ALLOCATION: every allocation in place of some.
set -uo pipefail
preload=$1 convert=$2 run=$3 models=$4 data=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# outcome NAME STATUS: 0 with the output there should be, or 1 and a message; and no file but whole ones.
outcome() {
  local problem=
  case $2 in
    0) [[ ! -e $work/expected ]] || cmp -s "$work/stdout" "$work/expected" || problem="another output" ;;
    1) [[ -s $work/err ]] || problem="no message" ;;
    *) problem="exit code $2" ;;
  esac
  [[ -z $(find "$work/out" -name '*.?????*' ! -name '*.graft' ! -name '*.graftcache' ! -name '*.safetensors' ! -name '*.json') ]] ||
    problem+=" leaves $(ls "$work/out")"
  if [[ -z $problem ]]; then passed=$((passed + 1)); return; fi
  failed=$((failed + 1))
  echo "FAIL $1: $problem"
  head -5 "$work/err" | sed 's/^/  | /'
}
# sweep NAME COMMAND...: it writes into $work/out
sweep() {
  local name=$1 count at step keep
  shift
  rm -rf "$work/out" "$work/expected"; mkdir "$work/out"
  LD_PRELOAD=$preload COUNT_TO=$work/count "$@" >"$work/stdout" 2>"$work/err" || { echo "FAIL $name"; cat "$work/err"; failed=$((failed + 1)); return; }
  mv "$work/stdout" "$work/expected"
  count=$(cat "$work/count")
  step=$((count / 12 + 1))
  [[ -z ${GRAFT_TEST_EVERY_ALLOCATION:-} ]] || step=1
  for keep in '' 1; do
    # The first is the C++ library's, for exceptions that find no other memory: without it and any other nothing can be said.
    for ((at = ${keep:-0} + 1; at <= count; at += step)); do
      rm -rf "$work/out"; mkdir "$work/out"
      env LD_PRELOAD="$preload" FAIL_AT="$at" ${keep:+FAIL_KEEP=1} "$@" >"$work/stdout" 2>"$work/err"
      outcome "$name, allocation $at${keep:+ and all that follow} of $count" $?
    done
  done
}

tales=$models/tales-holmes-int4.graft
sweep generate "$run" generate "$tales" --prompt "The king" --max-tokens 3 --threads 2 --temperature 0.8 --top-p 0.9 --no-cache --prompt-cache "$work/out/prompt.json"
sweep "generate, cache" "$run" generate "$tales" --prompt-ids 5,6 --max-tokens 2 --threads 2 --cache-dir "$work/out"
printf 'The king went into the forest.' >"$work/text"
sweep perplexity "$run" perplexity "$tales" --text-file "$work/text" --context 8 --threads 1 --no-cache
sweep image "$run" classify "$models/image-vit-vit-f32.graft" --image "$data/images/photo.jpg" --threads 1 --no-cache
header='{"input":{"dtype":"F32","shape":[1,100],"data_offsets":[0,400]}}'
{ printf "\\x$(printf %x ${#header})\0\0\0\0\0\0\0%s" "$header"; head -c 400 /dev/zero; } >"$work/in.safetensors"
sweep forward "$run" forward "$models/stack-mlp_100x10-f32.graft" --input "$work/in.safetensors" -o "$work/out/out.safetensors" --threads 1 --no-cache
sweep info "$run" info "$tales" --no-cache
sweep convert "$convert" convert --base "$data/stories260k" --quant int8 --threads 2 -q -o "$work/out/model.graft"

for kib in 5000 10000 20000 40000 80000; do
  rm -rf "$work/out" "$work/expected"; mkdir "$work/out"
  (ulimit -v $kib; "$run" generate "$tales" --prompt-ids 5 --max-tokens 1 --threads 2 --no-cache) >"$work/stdout" 2>"$work/err"
  code=$?; ((code != 127)) || code=1   # not even the libraries could be loaded, which the loader says
  outcome "generate in $kib KiB" $code
  ((kib > 5000)) || continue   # less than the program itself takes
  (ulimit -v $kib; "$convert" convert --base "$data/stories260k" --quant int8 --threads 2 -q -o "$work/out/model.graft") >"$work/stdout" 2>"$work/err"
  code=$?; ((code != 127)) || code=1
  outcome "convert in $kib KiB" $code
done
echo "$passed passed, $failed failed"
((failed == 0))
