#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-convert pack and apply on real models: what base and pack make is the file that was packed, byte for byte, whatever the two
# files are; what goes wrong says so, and an apply that is killed leaves nothing.
#   packs.sh GRAFT_CONVERT GRAFT_RUN DATA KILLS [EMULATOR...]
set -uo pipefail
export LC_ALL=C
convert=$1 run=$2 data=$3 kills=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0
check() {   # check WHAT COMMAND...
  local what=$1
  shift
  if "$@" >out 2>err; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL: $what"; sed 's/^/  | /' out err; fi
}
graft() { "${emulator[@]}" "$convert" "$@"; }
emulator=("$@")
fails_with() {   # fails_with TEXT COMMAND...: exit code 1, one line with that text, and no file left behind
  local text=$1 code
  shift
  "$@" >out 2>err
  code=$?
  [[ $code == 1 && $(wc -l <err) == 1 ]] && grep -qF -- "$text" err && [[ -z $(find . -name '*.tmp-*') && ! -e never ]]
}

model() { graft convert --base "$data/tales/base" -q "$@" || exit 1; }
for quant in int4 int8; do
  model --quant $quant -o base-$quant.graft
  model --quant $quant --adapter "$data/tales/holmes:0.1" -o mine-$quant.graft
done
graft convert --base "$data/stories260k" -q -o other.graft || exit 1

packs() {   # packs BASE FILE: there and back
  graft pack "$1" "$2" -o p.graftpack -q && graft apply "$1" p.graftpack -o made.graft -q && cmp made.graft "$2"
}
same_is_small() { packs base-int4.graft base-int4.graft && (($(stat -c %s p.graftpack) <= 2048)); }
check "int4 and back" packs base-int4.graft mine-int4.graft
check "int8 and back" packs base-int8.graft mine-int8.graft
check "back into the base" packs mine-int4.graft base-int4.graft
check "another format" packs base-int8.graft mine-int4.graft
check "another model" packs base-int4.graft other.graft
check "equal files" same_is_small

# With the base's scales where they cost little, a gentle adapter changes fewer codes.
most=75   # percent of a pack without
for quant in int4 int8; do
  graft convert --base "$data/tales/base" --adapter "$data/tales/holmes:0.03" --quant $quant -o own.graft -q || exit 1
  graft convert --base "$data/tales/base" --adapter "$data/tales/holmes:0.03" --like base-$quant.graft -o like.graft -q || exit 1
  graft convert --base "$data/tales/base" --adapter "$data/tales/holmes:0.03" --pack-for base-$quant.graft -o at-once.graftpack -q || exit 1
  graft convert --base "$data/tales/base" --like base-$quant.graft -o again.graft -q || exit 1
  graft pack base-$quant.graft own.graft -o own.graftpack -q || exit 1
  check "$quant like the base, and back" packs base-$quant.graft like.graft
  check "$quant packed at once" cmp p.graftpack at-once.graftpack
  check "$quant like the base is small" test $(($(stat -c %s p.graftpack) * 100)) -lt $(($(stat -c %s own.graftpack) * most))
  check "$quant base like itself" cmp again.graft base-$quant.graft
  most=100
done
check "a vocabulary that grew" eval 'graft convert --base "$data/adapters/base_llama" -q -o small.graft && graft convert --base "$data/adapters/base_llama" \
  --adapter "$data/adapters/embedding" --like small.graft -q -o grown.graft && packs small.graft grown.graft'
tied=(--base "$data/adapters/base_llama_tied" -q)
graft convert "${tied[@]}" -o tied.graft && graft convert "${tied[@]}" --adapter "$data/adapters/lm_head_tied" -o untied.graft || exit 1
check "a head that was untied" packs tied.graft untied.graft
check "a head that was tied" packs untied.graft tied.graft
check "no model to be like" fails_with "magic number" graft convert --base "$data/tales/base" --like p.graftpack -o never -q

graft pack base-int4.graft mine-int4.graft -o p.graftpack --json >json || exit 1
check "a report" grep -q '"changed_codes": [1-9]' json
check "the pack is much smaller" test $(($(stat -c %s p.graftpack) * 4)) -lt "$(stat -c %s mine-int4.graft)"
check "another base" fails_with "is made for the base" graft apply base-int8.graft p.graftpack -o never
head -c 5000 p.graftpack >cut.graftpack
check "a cut pack" fails_with "its preamble says" graft apply base-int4.graft cut.graftpack -o never
check "no pack" fails_with "magic number" graft apply base-int4.graft mine-int4.graft -o never
check "a missing pack" fails_with "missing.graftpack" graft apply base-int4.graft missing.graftpack -o never
check "no model to pack" fails_with "magic number" graft pack base-int4.graft p.graftpack -o never
cp base-int4.graft here.graft
cp p.graftpack here.graftpack
check "a pack in the base's place" fails_with "would be overwritten" graft pack here.graft mine-int4.graft -o here.graft
check "a pack in the file's place" fails_with "would be overwritten" graft pack mine-int4.graft here.graft -o here.graft
check "a file in the pack's place" fails_with "would be overwritten" graft apply here.graft here.graftpack -o here.graftpack
check "a file in the base's place" eval 'graft apply here.graft here.graftpack -o here.graft -q && cmp here.graft mine-int4.graft'
check "a pack with more behind it" eval 'echo >>here.graftpack && fails_with "its preamble says" graft apply base-int4.graft here.graftpack -o never'
check "no folder" fails_with "nowhere" graft pack base-int4.graft mine-int4.graft -o nowhere/p.graftpack
# On the device: what runs is the model that was packed.
says() { "${emulator[@]}" "$run" generate "$@" --prompt "Once upon a time" --max-tokens 12 --no-cache --threads 2; }
runs_alike() {
  graft pack "base-$1.graft" "mine-$1.graft" -o run.graftpack -q && says "base-$1.graft" --pack run.graftpack >a && says "mine-$1.graft" >b &&
    [[ -s a ]] && cmp a b
}
check "int4 runs alike" runs_alike int4
check "int8 runs alike" runs_alike int8
check "a pack of another base does not run" fails_with "is made for the base" says base-int4.graft --pack run.graftpack
check "a missing pack does not run" fails_with "missing.graftpack" says base-int4.graft --pack missing.graftpack
check "an estimate" "${emulator[@]}" "$run" estimate base-int8.graft --pack run.graftpack

# What a file is made of, for an inventory.
bill() {
  graft inspect "$1" --bom >bill.json && grep -qF "\"content\": \"$(sha256sum <"$1" | cut -d ' ' -f 1)\"" bill.json && grep -q '"bom-ref": "base"' bill.json
}
check "a bill of materials of a base" bill base-int4.graft
check "names no adapter" bash -c '! grep -q adapter-1 bill.json'
check "a bill of materials of an adapted model" bill mine-int4.graft
check "names the adapter and its kind" grep -q '"bom-ref": "adapter-1"' bill.json

# Weights of the base are looked at when they are used, not when the pack is opened.
cp base-int4.graft damaged.graft
printf '\x55\x55\x55\x55' | dd of=damaged.graft bs=1 seek=$(($(stat -c %s damaged.graft) - 20000)) conv=notrunc 2>/dev/null
check "a damaged base" fails_with "does not have the hash" graft apply damaged.graft p.graftpack -o never

# An apply that is killed leaves what was there, and at most a temporary file, which the next one removes.
graft pack base-int8.graft mine-int8.graft -o p.graftpack -q || exit 1
cp base-int8.graft made.graft
began=${EPOCHREALTIME/./}
graft apply base-int8.graft p.graftpack -o other-made.graft -q
window_us=$((${EPOCHREALTIME/./} - began))
killed=0 torn=0
for ((round = 0; round < kills; ++round)); do
  "$convert" apply base-int8.graft p.graftpack -o made.graft -q 2>/dev/null &
  printf -v delay '0.%06d' $((((RANDOM << 15 | RANDOM)) % (window_us < 999999 ? window_us : 999999)))
  sleep "$delay"
  kill -KILL $! 2>/dev/null
  wait $! 2>/dev/null
  (($? == 137)) && killed=$((killed + 1))
  cmp -s made.graft mine-int8.graft || cmp -s made.graft base-int8.graft || torn=$((torn + 1))
  [[ -e made.graft ]] || torn=$((torn + 1))
  cp base-int8.graft made.graft
done
check "no torn file after $killed kills" test $torn = 0
check "the next one is whole" graft apply base-int8.graft p.graftpack -o made.graft
check "nothing is left over" test -z "$(find . -name '*.tmp-*')"
check "it is what was packed" cmp made.graft mine-int8.graft
echo "$passed passed, $failed failed"
((failed == 0))
