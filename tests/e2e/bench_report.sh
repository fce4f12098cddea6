#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What graft-run bench reports adds up: as JSON, with and without a profile, and as text.
#   bench_report.sh GRAFT_RUN MODEL [EMULATOR...]
set -uo pipefail
run=$1 model=$2
shift 2
graft_run=("$@" "$run")
failed=0 passed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; failed=$((failed + 1)); fi
}

report=$("${graft_run[@]}" bench "$model" -p 40 -n 6 -d 9 -r 3 -t 2 --profile --json) || { echo "FAIL bench does not run"; exit 1; }
adds_up() {
  python3 - "$report" "$(stat -c %s "$model")" <<'PYTHON'
import json, sys
r = json.loads(sys.argv[1])
assert r["file_bytes"] == int(sys.argv[2])
assert (r["prompt_tokens"], r["generated_tokens"], r["depth"], r["threads"], r["repetitions"]) == (40, 6, 9, 2, 3)
for kind in "prefill", "decode":
    assert 0 < r[kind + "_lowest"] <= r[kind + "_tokens_per_second"] <= r[kind + "_highest"]
    p = r[kind + "_profile"]
    steps = p["steps"]
    assert sum(s["wall_ns"] for s in steps) + p["between_steps_ns"] <= p["elapsed_ns"] + 1
    assert [s["wall_ns"] for s in steps] == sorted((s["wall_ns"] for s in steps), reverse=True)
    assert {"linears", "attention", "rope", "rms_norm"} <= {s["kind"] for s in steps}
assert r["prefill_profile"]["tokens"] == 40 and r["decode_profile"]["tokens"] == 6
linears = next(s for s in r["decode_profile"]["steps"] if s["kind"] == "linears")
assert linears["weight_bytes"] == 6 * r["weight_bytes_per_token"] > 0
assert abs(r["bytes_read_per_token"] - r["weight_bytes_per_token"] - (9 + 3.5) * r["cache_bytes_per_position"]) < 1
assert r["read_bandwidth_bytes_per_second"] > 0
rounds = r["decode_rounds"]
assert len(rounds) == 3
shares = [x["tokens_per_second"] * r["bytes_read_per_token"] / x["read_bandwidth_bytes_per_second"] for x in rounds]
assert abs(sorted(shares)[1] - r["read_bandwidth_share"]) < 1e-6 * sorted(shares)[1]
assert sorted(x["tokens_per_second"] for x in rounds)[1] == r["decode_tokens_per_second"]
assert r["peak_rss_kib"] >= r["rss_anonymous_kib"] > 0
PYTHON
}
check "the JSON report adds up" adds_up
plain=$("${graft_run[@]}" bench "$model" -p 8 -n 0 -r 1 --json)
check "without a profile there is none" bash -c '[[ $1 != *profile* && $1 == *prefill_tokens* ]]' - "$plain"
text=$("${graft_run[@]}" bench "$model" -p 8 -n 2 -r 1 --profile)
for word in threads load prefill decode read memory Prefill Decode linears "between steps"; do
  check "the text says '$word'" grep -q "$word" <<<"$text"
done
echo "$passed passed, $failed failed"
((failed == 0))
