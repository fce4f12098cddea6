#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run generate --prompt-cache: the same text with and without, less computed, and no file but the model's own taken.
#   prompt_cache.sh GRAFT_RUN MODELS [EMULATOR...]
set -uo pipefail
run=$1 models=$2
shift 2
graft_run=("$@" "$run")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$work/cache
passed=0 failed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; sed 's/^/  | /' "$work/err"; failed=$((failed + 1)); fi
}
# generate MODEL PROMPT [OPTION...]: JSON in $report
generate() {
  local model=$1 prompt=$2
  shift 2
  report=$("${graft_run[@]}" generate "$models/$model.graft" --prompt "$prompt" --max-tokens 12 --json "$@" 2>"$work/err")
}
field() { sed -nE "s/.*\"$1\": \[?([^],]*(,[0-9]+)*).*/\1/p" <<<"$report"; }
ids() { sed -nE 's/.*"ids": \[([0-9,]*)\].*/\1/p' <<<"$report"; }

short="The king said to his daughter:"
long="$short go into the forest and bring me"
for kv in f16 int8; do
  rm -f "$cache"
  generate tales-base-int4 "$long" --kv $kv
  expected=$(ids)
  check "$kv: there are ids to compare" test -n "$expected"

  generate tales-base-int4 "$short" --kv $kv --prompt-cache "$cache"
  check "$kv: the first run computes all" test "$(field reused_tokens)" = 0
  short_tokens=$(field prompt_tokens)
  check "$kv: and keeps it" test -s "$cache"
  generate tales-base-int4 "$long" --kv $kv --prompt-cache "$cache"
  check "$kv: a longer prompt reuses the shorter one's tokens" test "$(field reused_tokens)" -ge $((short_tokens - 1))
  check "$kv: and goes on as without a cache" test "$(ids)" = "$expected"
  generate tales-base-int4 "$long" --kv $kv --prompt-cache "$cache"
  check "$kv: the same prompt reuses all but its last token" test "$(field reused_tokens)" = $(($(field prompt_tokens) - 1))
  check "$kv: with the same ids" test "$(ids)" = "$expected"
done

before=$(sha256sum <"$cache")
generate tales-holmes-int4 "$long" --kv int8 --prompt-cache "$cache"
check "another adapter's cache is refused" test $? = 1
check "by name, with the reason" grep -q "$cache.*another model" "$work/err"
generate tales-base-int4 "$long" --kv f16 --prompt-cache "$cache"
check "another format's cache is refused" grep -q "int8.*f16" "$work/err"
check "and neither is replaced" test "$(sha256sum <"$cache")" = "$before"
truncate -s -1 "$cache"
generate tales-base-int4 "$long" --kv int8 --prompt-cache "$cache"
check "a cut cache is refused" grep -q "$cache.*bytes" "$work/err"
generate tales-base-int4 "$long" --prompt-cache "$work/absent/cache"
check "a folder that is not there is an error" grep -q "absent" "$work/err"
check "no temporary files are left" test "$(ls -A "$work" | sort | tr '\n' ' ')" = "cache err "

echo "$passed passed, $failed failed"
((failed == 0))
