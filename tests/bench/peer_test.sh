#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peer.py on stand-ins for both programs whose rates are known: right medians, ratios and order, and a word about what cannot run.
# half_taken.py on one whose rate falls while its parent has another child: one that is pinned takes from a CPU in every second measurement.
#   peer_test.sh PEER_PY HALF_TAKEN_PY
set -uo pipefail
peer=$1 half_taken=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; sed 's/^/  | /' "$work/out"; failed=$((failed + 1)); fi
}

# Each call takes the next rate of a list: 10 20 90 for graft, 5 10 15 for the other, once for every measurement.
cat >"$work/graft-run" <<'SCRIPT'
#!/usr/bin/env bash
echo "graft $*" >>"$0.calls"
rates=(10 20 90)
count=$(grep -cxF "graft $*" "$0.calls")
rate=${rates[$(((count - 1) % 3))]}
echo "{\"decode_tokens_per_second\": $rate, \"prefill_tokens_per_second\": $rate, \"read_bandwidth_share\": 0.5}"
SCRIPT
cat >"$work/llama-bench" <<'SCRIPT'
#!/usr/bin/env bash
echo "llama $*" >>"${0%/*}/graft-run.calls"
rates=(5 10 15)
count=$(grep -cxF "llama $*" "${0%/*}/graft-run.calls")
echo "[{\"avg_ts\": ${rates[$(((count - 1) % 3))]}}]"
SCRIPT
chmod +x "$work/graft-run" "$work/llama-bench"
touch "$work/m.graft" "$work/m.gguf"
run_peer() { python3 "$peer" --graft-run "$work/graft-run" "$@" >"$work/out" 2>&1; }

check "runs" run_peer --llama-bench "env STAND_IN=1 $work/llama-bench" --rounds 3 --threads 1,2 --prompt 128 --depth 64 --json "$work/log" "$work/m.graft=$work/m.gguf"
for row in "decode 64 +1 " "decode 64 +2 " "prefill 128 +1 " "prefill 128 +2 " "decode after 64 +1 " "decode after 64 +2 "; do
  check "$row: medians and their ratio" grep -qE "^$row +20\.0 \(10\.0 to 90\.0\) +10\.0 \(5\.0 to 15\.0\) +2\.00 +50 %$" "$work/out"
done
check "every measurement is kept" test "$(grep -c tokens_per_second\" "$work/log")" -ge 36
check "the other program goes first in the second round" \
  test "$(cut -d' ' -f1 "$work/graft-run.calls" | sed -n '1p;2p;13p;14p' | tr '\n' ' ')" = "graft llama llama graft "
check "a pair without a file is refused" bash -c '! "$@"' - python3 "$peer" --graft-run "$work/graft-run" "$work/m.graft=$work/none.gguf" 2>/dev/null
run_peer --llama-bench "$work/absent" "$work/m.graft=$work/m.gguf"
check "a program that is not there is named" grep -q "cannot run $work/absent" "$work/out"
run_peer --llama-bench "false" "$work/m.graft=$work/m.gguf"
check "a program that fails is named" grep -q "false .*m.gguf.* failed" "$work/out"

cat >"$work/disturbed" <<'SCRIPT'
#!/usr/bin/env bash
rate=100
for child in $(cat "/proc/$PPID/task/$PPID/children"); do
  [[ $child == "$$" ]] && continue
  rate=60
  sed -n 's/^Cpus_allowed_list:\t/cpus /p' "/proc/$child/status" >>"$0.takers"
done
echo "{\"decode_tokens_per_second\": $rate, \"prefill_tokens_per_second\": $rate}"
SCRIPT
chmod +x "$work/disturbed"
check "half_taken runs" bash -c '"$@" >"$0" 2>&1' "$work/out" python3 "$half_taken" --graft-run "$work/disturbed" --rounds 2 --threads 1 "$work/m.graft"
check "decode: share, and of what is possible" grep -qE '^graft, decode +100\.0 +60\.0 +0\.60 +1\.20$' "$work/out"
check "prefill: share, and of what is possible" grep -qE '^graft, prefill +100\.0 +60\.0 +0\.60 +1\.20$' "$work/out"
check "it takes from one CPU in every second measurement" test "$(grep -cE '^cpus [0-9]+$' "$work/disturbed.takers")" = 4

echo "$passed passed, $failed failed"
((failed == 0))
