#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What graft-run says of the machine fits together, kernels follow from features, and threads go where they are told.
#   machine.sh GRAFT_RUN MODELS GOLDEN [EMULATOR...]
set -uo pipefail
run=$1 models=$2 golden=$3
shift 3
graft_run=("$@" "$run")
failed=0 passed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; failed=$((failed + 1)); fi
}
model=$models/stories260k-f32.graft

fits_together() {
  python3 - "$1" <<'PYTHON'
import json, sys
m = json.loads(sys.argv[1])["machine"]
assert 1 <= m["default_threads"] <= m["cpus"]
assert m["groups"] and m["groups"][0]["big"]
kernels = {k["weights"]: k for k in m["kernels"]}
assert list(kernels) == ["f32", "int8", "int4-block", "int4-channel"], kernels
features = m["features"].split()
if "neon" in features:
    columns = 8 if "i8mm" in features else 4 if "dotprod" in features else None
    for weights in "int8", "int4-block", "int4-channel":
        assert columns in (None, kernels[weights]["tile_columns"]), (features, kernels)
PYTHON
}
machine=$("${graft_run[@]}" info --json)
check "the machine alone" fits_together "$machine"
both=$("${graft_run[@]}" info "$model" --json --no-cache)
check "the machine beside a model" fits_together "$both"
check "with the model" bash -c '[[ $1 == *\"architecture\":\ \"llama\"* ]]' - "$both"
text=$("${graft_run[@]}" info)
for word in cpus features threads kernels int4-channel "other ops"; do
  check "the text says $word" bash -c 'grep -q "$2" <<<"$1"' - "$text" "$word"
done

# One CPU that is allowed here, by number.
cpu=$(python3 -c 'import os; print(max(os.sched_getaffinity(0)))')
ids=$(python3 - "$golden" <<'PYTHON'
import json, sys
g = json.load(open(sys.argv[1]))
print(",".join(map(str, g["ids"][len(g["prompt_ids"]):][:32])))
PYTHON
)
for threads in 1 3; do
  on_cpu=$("${graft_run[@]}" generate "$model" --no-cache --prompt-ids 1 --max-tokens 32 --threads $threads --cpus "$cpu" --json)
  check "the same tokens on CPU $cpu, $threads threads" bash -c '[[ $1 == *"[$2]"* ]]' - "${on_cpu// /}" "$ids"
done
refused() {
  local code=0 message
  message=$("${graft_run[@]}" generate "$model" --no-cache --prompt-ids 1 --max-tokens 1 --cpus "$1" 2>&1) || code=$?
  ((code == 1)) && [[ $message == *"$2"* && $(wc -l <<<"$message") == 1 ]]
}
check "a CPU that does not exist" refused 1000 "CPU 1000 does not exist"
check "no list" refused "big" "big"
echo "$passed passed, $failed failed"
((failed == 0))
