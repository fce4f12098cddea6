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
  [[ " $* " == *" --max-tokens "* ]] || set -- --max-tokens 8 "$@"
  "${graft_run[@]}" chat "$work/$model.graft" --no-cache "$@" >"$work/out" 2>"$work/err"
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

# Functions that the model may call: an answer is a call of one, or the JSON that was asked for.
folder tools
cp "$data/chat/tools_lfm.jinja" "$work/tools/chat_template.jinja"
make tools
echo '[{"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"], "additionalProperties": false}}]' >"$work/tools.json"
echo '{"const": 7}' >"$work/seven.json"
seven=$("${graft_run[@]}" tokenize "$work/tools.graft" --text 7 --no-special --json 2>/dev/null | sed -nE 's/.*"ids": \[(.*)\].*/\1/p')
ask() { printf 'hi\n/tool 21 degrees\n' | chat tools --tools "$work/tools.json" --reply-format llama --json-schema "$work/seven.json" --json --max-tokens 150 "$@"; }
ask --logit-bias "${seven##*,}=-inf"
check "an answer that is a call" grep -qF '{"text": "", "thinking": "", "tool_calls": [{"id": "call00000", "name": "f", "arguments": {"a":"x"}}], ' "$work/out"
check "is answered when its result is there" test "$(wc -l <"$work/out")" = 2
ask --logit-bias "${seven##*,}=50"
check "or is the JSON that was asked for" grep -qF '{"text": "7", "thinking": "", "tool_calls": [], ' "$work/out"
check "a result without a call is an error" grep -q "no call waits" "$work/err"
printf 'hi\n' | chat tools --tools "$work/tools.json" --reply-format llama --json-schema "$work/seven.json" --max-tokens 150 --logit-bias "${seven##*,}=-inf"
check "a call is shown on a line" test "$(cat "$work/out")" = '-> f {"a":"x"}'
echo hi | chat tools --tools "$work/seven.json"
check "tools that are none are refused" grep -q "the list of tools is not one of objects" "$work/err"
check "a template that shows tools is not spoken of" test "$(grep -c "does not show the tools" "$work/err")" = 0
printf 'hi\nhi\n' | chat config --tools "$work/tools.json" --max-tokens 2
check "one that does not is, once" test "$(grep -c "does not show the tools" "$work/err")" = 1
chat tools --tool-choice required </dev/null
check "a choice of tools without tools is wrong usage" test $? = 2
echo hi | chat tools --reply-format none
check "a format that is none is refused" grep -q "known: hermes, llama" "$work/err"

# Several answers, prompts from a file, and how likely tokens were.
generate() { "${graft_run[@]}" generate "$work/plain.graft" --no-cache "$@" >"$work/out" 2>"$work/err"; }
printf '{"prompt": "The \\u006bing", "id": "a\\"b", "seed": 3}\n\n{"prompt": "Once", "max_tokens": 2, "id": 7}\n' >"$work/prompts.jsonl"
generate --prompts "$work/prompts.jsonl" --max-tokens 4 --n 2 --temperature 1
check "prompts from a file, two answers to each" test "$(sed 's/, "text".*//' "$work/out" | tr '\n' '|')" = '{"prompt_index": 0, "id": "a\"b", "index": 0|{"prompt_index": 0, "id": "a\"b", "index": 1|{"prompt_index": 1, "id": 7, "index": 0|{"prompt_index": 1, "id": 7, "index": 1|'
"${graft_run[@]}" generate "$work/plain.graft" --no-cache --prompt "The king" --ignore-eos --max-tokens 400 --n 10000 --json >"$work/answers" 2>"$work/err" &
until [[ -s $work/answers ]] || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
kill -INT $!
wait $!
check "Ctrl-C" test $? = 130
check "still tells in JSON what there is" python3 -c 'import json, sys; r = json.loads(open(sys.argv[1]).readlines()[-1]); assert r["stop_reason"] == "cancelled" and len(r["ids"]) == r["generated_tokens"] < 400' "$work/answers"
for wrong in --json-schema=$work/prompts.jsonl --grammar=$work/seven.json '--regex=(('; do
  generate --prompt a "${wrong%%=*}" "${wrong#*=}"
  subject=${wrong#*=}
  [[ $wrong != --regex* ]] || subject=--regex
  check "what is wrong with ${wrong%%=*} is said of that" grep -qF "graft-run: $subject: " "$work/err"
done
second=$(sed -n '2s/.*"ids": \(\[[^]]*\]\).*/\1/p' "$work/out")
generate --prompt "The king" --max-tokens 4 --temperature 1 --seed 4 --json
check "the second answer is that of the next seed" grep -qF "\"ids\": $second" "$work/out"
generate --prompt "The king" --max-tokens 2 --json
plain=$(sed 's/.*"ids": \(\[[^]]*\]\).*/\1/' "$work/out")
generate --prompt "The king" --max-tokens 2 --json --logprobs 1
check "with log-probabilities the answer is the same" grep -qF "\"ids\": $plain" "$work/out"
check "the likeliest token is the one taken" python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert len(r["logprobs"]) == 2 and all(t["id"] == t["top"][0]["id"] and t["logprob"] < 0 for t in r["logprobs"])' "$work/out"
first=${plain#[}
generate --prompt "The king" --max-tokens 2 --json --logit-bias "${first%%,*}=-inf"
check "a token that is forbidden does not come" grep -qvF "\"ids\": [${first%%,*}," "$work/out"
generate --prompt "The king" --max-tokens 2 --logprobs 0
check "as text, a line for each token" test "$(wc -l <"$work/out")" = 3
for wrong in "--logit-bias 5" "--logit-bias x=1" "--logit-bias 5=nan" "--presence-penalty 101" "--n 0"; do
  # shellcheck disable=SC2086
  generate --prompt x $wrong
  check "$wrong is a wrong usage" test $? = 2
done
for wrong in '{"prompt": 1}' '{}' '[]' '{"prompt": "x"} 1' '{"prompt": "\ud800"}' '{"prompt": "x", "n": 1}' '{"prompt": "x'; do
  printf '%s\n' "$wrong" >"$work/wrong.jsonl"
  generate --prompts "$work/wrong.jsonl"
  check "$wrong is refused" grep -q "wrong.jsonl: line 1: " "$work/err"
done

echo "$passed passed, $failed failed"
((failed == 0))
