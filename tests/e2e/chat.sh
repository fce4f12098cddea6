#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run chat: the template of the model's folder, messages from a pipe, commands, stop tokens, limits, and what is refused.
#   chat.sh GRAFT_CONVERT GRAFT_RUN DATA [EMULATOR...]
set -uo pipefail
convert=$1 run=$2 data=$3
shift 3
graft_convert=("$@" "$convert")
graft_run=("$@" "$run")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else echo "FAIL $name"; sed 's/^/  | /' "$work/err" "$work/out"; failed=$((failed + 1)); fi
}
# make NAME: NAME.graft of the folder NAME
make() { "${graft_convert[@]}" convert --base "$work/$1" --quant int8 -o "$work/$1.graft" >"$work/out" 2>"$work/err" || { cat "$work/err"; exit 1; }; }
chat() {
  local model=$1
  shift
  "${graft_run[@]}" chat "$work/$model.graft" --no-cache --max-tokens 8 "$@" >"$work/out" 2>"$work/err"
}
folder() { mkdir "$work/$1"; cp "$data"/tales/base/* "$work/$1/"; rm -f "$work/$1"/{chat_template*,tokenizer_config.json}; }
template="{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}{{ eos_token }}assistant:{% endif %}"

folder plain
make plain
echo hello | chat plain
check "a model without a template is refused" test $? = 1
check "and told how to go on" grep -q -- "--template" "$work/err"
printf '{%% for m in messages %%}{{ m.content }} {%% endfor %%}' >"$work/own.jinja"
echo "The king" | chat plain --template "$work/own.jinja"
check "a template from a file serves" test $? = 0
own=$(cat "$work/out")
check "it answers" test -n "$own"
expected=$("${graft_run[@]}" generate "$work/plain.graft" --no-cache --prompt "The king " --max-tokens 8 2>/dev/null)
check "as generate does with the text that it renders" test "$own" = "$expected"

# The three places of a template, each with its tokens.
folder config
printf '{"bos_token": {"content": "<"}, "eos_token": "^", "chat_template": "%s"}' "$template" >"$work/config/tokenizer_config.json"
make config
folder json
printf '{"chat_template": "%s"}' "$template" >"$work/json/chat_template.json"
printf '{"bos_token": "<", "eos_token": "^"}' >"$work/json/special_tokens_map.json"
make json
folder jinja
printf '%b' "$template" >"$work/jinja/chat_template.jinja"
printf '{"bos_token": "<", "eos_token": "^", "chat_template": "not this one"}' >"$work/jinja/tokenizer_config.json"
make jinja
rendered='<user: Once upon a time
^assistant:'
expected=$("${graft_run[@]}" generate "$work/plain.graft" --no-cache --prompt "$rendered" --max-tokens 8 2>/dev/null)
for place in config json jinja; do
  echo "Once upon a time" | chat $place
  check "$place: the template is found" test $? = 0
  check "$place: and gives the prompt it should" test "$(cat "$work/out")" = "$expected"
done

# /pack goes on with the adapted model, and with the base again; one that fails leaves things as they are.
if "${graft_convert[@]}" convert --base "$work/jinja" --adapter "$data/tales/holmes" --pack-for "$work/jinja.graft" -o "$work/holmes.graftpack" >"$work/out" 2>"$work/err" &&
  "${graft_convert[@]}" apply "$work/jinja.graft" "$work/holmes.graftpack" -o "$work/holmes.graft" >"$work/out" 2>"$work/err"; then
  of_base=$(echo "A wolf" | chat jinja && cat "$work/out")
  of_pack=$(echo "A wolf" | chat holmes && cat "$work/out")
  printf '%s\n' "A wolf" "/pack $work/holmes.graftpack" /reset "A wolf" "/pack $work/none" /reset "A wolf" /pack /reset "A wolf" | chat jinja
  check "a missing pack is a failure" test $? = 1
  check "and is named" grep -q "$work/none" "$work/err"
  check "/pack swaps there and back" test "$(cat "$work/out")" = "$of_base"$'\n'"$of_pack"$'\n'"$of_pack"$'\n'"$of_base"
  check "the adapter says something else" test "$of_base" != "$of_pack"
else
  check "a pack is made" false
fi

# History: what was said is part of the next prompt, /reset forgets it.
printf 'A wolf\nA wolf\n/reset\nA wolf\n' | chat config --temperature 0
check "three messages are answered" test $? = 0
printf 'A wolf\n' | chat config
first=$(cat "$work/out")
printf 'A wolf\n/reset\nA wolf\n' | chat config
check "after /reset the answer is the first one again" test "$(cat "$work/out")" = "$first"$'\n'"$first"
printf 'A\\\nwolf\n' | chat config
check "a line may go on" test $? = 0
printf 'A wolf\n' | chat config --system "Once there was a poor tailor who had three sons and a goat."
with_system=$(cat "$work/out")
check "an instruction changes the answer" test "$with_system" != "$first"
printf '/system Once there was a poor tailor who had three sons and a goat.\nA wolf\n' | chat config
check "/system is --system" test "$(cat "$work/out")" = "$with_system"
printf '/exit\nA wolf\n' | chat config
check "/exit ends" test ! -s "$work/out"
printf '/nonsense\n' | chat config
check "an unknown command is an error" test $? = 1
printf '/help\n' | chat config
check "/help lists the commands" grep -q /reset "$work/err"
for _ in $(seq 40); do echo "and then the king said to the wolf that he was not at all afraid"; done | chat config --context 96
check "when the context is full the oldest turns go" grep -q "forgotten" "$work/err"
check "and the talk goes on" test "$(grep -c . "$work/out")" -ge 20
printf 'A wolf\n' | chat config --stop "$(cut -c1-6 <<<"$first")"
check "--stop ends the answer" test "$(head -c 6 "$work/out")" != "$(head -c 6 <<<"$first")"

# What a template refuses, and one that would never end.
folder strict
printf "{%% if messages[0].role == 'system' %%}{{ raise_exception('no instructions') }}{%% endif %%}x" >"$work/strict/chat_template.jinja"
make strict
echo hi | chat strict --system be
check "what the template refuses is an error" test $? = 1
check "in its words" grep -q "no instructions" "$work/err"
echo hi | chat strict
check "else it serves" test $? = 0
folder endless
printf '{%% set r = range(3000) %%}{%% for a in r %%}{%% for b in r %%}{%% endfor %%}{%% endfor %%}' >"$work/endless/chat_template.jinja"
make endless
echo hi | chat endless
check "an endless template is stopped" grep -qE "steps|memory" "$work/err"
folder deep
python3 -c "print('{{ ' + '(' * 100000 + ')' * 100000 + ' }}')" >"$work/deep/chat_template.jinja" 2>/dev/null || { head -c 100000 /dev/zero | tr '\0' '(' | sed 's/^/{{ /'; } >"$work/deep/chat_template.jinja"
make deep
echo hi | chat deep
check "a deep template is an error" grep -q "line 1: nested too deeply" "$work/err"
folder huge
printf "{{ 'x' * 100000000000 }}" >"$work/huge/chat_template.jinja"
make huge
echo hi | chat huge
check "a huge output is an error" grep -q "memory" "$work/err"

# End tokens from generation_config.json, a list: the first token of the answer ends it.
folder ends
cp "$work/config/tokenizer_config.json" "$work/ends/"
first_id=$("${graft_run[@]}" generate "$work/config.graft" --no-cache --prompt $'<user: A wolf\n^assistant:' --max-tokens 1 --json 2>/dev/null | sed -nE 's/.*"ids": \[([0-9]+)\].*/\1/p')
printf '{"eos_token_id": [2047, %s]}' "$first_id" >"$work/ends/generation_config.json"
make ends
printf 'A wolf\n' | chat ends
check "any of the listed end tokens ends an answer" test ! -s "$work/out"

chat config --set nonsense </dev/null
check "--set without a value is a wrong usage" test $? = 2
chat config --set name=value </dev/null
check "no message is no error" test $? = 0

echo "$passed passed, $failed failed"
((failed == 0))
