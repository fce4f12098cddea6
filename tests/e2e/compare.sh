#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run compare on real files: its figures agree with perplexity's, its limits become exit codes, its files appear whole.
#   compare.sh GRAFT_RUN MODELS TEXT_FILE [EMULATOR...]
set -uo pipefail
run=$1 models=$2 text=$3
shift 3
graft_run=("$@" "$run")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 passed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; failed=$((failed + 1)); fi
}
refused() {   # refused CODE TEXT ARGS...: exits with CODE and says TEXT
  local code=$1 says=$2
  shift 2
  "${graft_run[@]}" compare "$@" >"$work/out" 2>"$work/err"
  [[ $? == "$code" ]] && grep -qF -- "$says" "$work/err"
}

head -c 1000 "$text" >"$work/text"
printf 'The man opened the door\n\nOnce upon a time\n' >"$work/prompts"
reference=$models/tales-holmes-f32.graft
files=("$models/tales-holmes-int4.graft" "$reference")
"${graft_run[@]}" compare "${files[@]}" --reference "$reference" --text-file "$work/text" --context 64 --prompts "$work/prompts" --max-tokens 12 \
  --html "$work/page.html" --svg "$work/plot.svg" --json >"$work/compare.json" || { echo "FAIL compare does not run"; exit 1; }
"${graft_run[@]}" perplexity "${files[0]}" --text-file "$work/text" --context 64 --json >"$work/int4.json"
adds_up() {
  python3 - "$work" <<'PYTHON'
import json, sys, xml.dom.minidom
work = sys.argv[1]
r = json.load(open(work + "/compare.json"))
p = json.load(open(work + "/int4.json"))
int4, same = r["files"]
assert (int4["predicted_tokens"], r["context"], r["windows"]) == (p["scored_tokens"], 64, p["windows"])
assert abs(int4["perplexity"] / p["perplexity"] - 1) < 1e-6
assert 0.005 < int4["mean_kl"] < 0.2 and int4["median_kl"] < int4["mean_kl"] < int4["kl_99"] <= int4["max_kl"]
assert 0.7 < int4["same_top"] < 1 and int4["file_bytes"] < r["reference_bytes"]
assert sum(x["tokens"] for x in int4["positions"]) == int4["predicted_tokens"]
assert abs(sum(x["tokens"] * x["mean_kl"] for x in int4["positions"]) / int4["predicted_tokens"] - int4["mean_kl"]) < 1e-8
assert same["mean_kl"] < 1e-12 and same["same_top"] == 1 and same["perplexity"] == same["reference_perplexity"]
assert [x["prompt"] for x in same["prompts"]] == ["The man opened the door", "Once upon a time"]
assert all(x["equal"] and x["equal_tokens"] == 12 == len(x["answer"]["ids"]) for x in same["prompts"])
assert same["gate"]["passes"] and same["gate"]["equal"] == 2
xml.dom.minidom.parse(work + "/plot.svg")
assert "tales-holmes-int4.graft" in open(work + "/page.html").read()
PYTHON
}
check "the figures add up" adds_up
shown=$("${graft_run[@]}" compare "${files[0]}" --reference "$reference" --text-file "$work/text" --windows 1)
for word in KL "same token" perplexity position; do check "the text says '$word'" grep -q "$word" <<<"$shown"; done
common=("${files[0]}" --reference "$reference" --text-file "$work/text" --windows 1)
check "a limit that is kept" "${graft_run[@]}" compare "${common[@]}" --max-kl 1 --json >/dev/null
check "a limit that is not" refused 1 "--max-kl allows" "${common[@]}" --max-kl 1e-9
check "a gate needs prompts" refused 2 "--gate needs --prompts" "${common[@]}" --gate
check "a reference is needed" refused 2 "--reference is missing" "${files[0]}" --text-file "$work/text"
check "a file is needed" refused 2 "no model FILE" --reference "$reference" --text-file "$work/text"
check "other tokens" refused 1 "its tokenizer is another" "$models/stories260k-f32.graft" --reference "$reference" --text-file "$work/text"
mkdir "$work/folder"
check "a page in the place of a folder" refused 1 "is not a plain file" "${common[@]}" --html "$work/folder"
check "nothing is left over" bash -c '! compgen -G "$1/*.tmp" >/dev/null' - "$work"
echo "$passed passed, $failed failed"
((failed == 0))
