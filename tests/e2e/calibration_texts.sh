#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Texts of one's own for calibration: files of either kind give the ids that the tokenizer and the chat template make of them, the
# same bytes each time; what cannot be used is refused by file and line.
#   calibration_texts.sh GRAFT_CONVERT DATA all|readers [EMULATOR...]
# readers: what reads the files only, where calibrating takes long.
set -uo pipefail
convert=$1 data=$2 extent=$3
shift 3
graft_convert=("$@" "$convert")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { printf 'FAIL %s\n' "$*"; failures=$((failures + 1)); }

# weights FILE NAME [OPTION...]: the hashes of what is calibrated on FILE, into $work/NAME
weights() {
  local file=$1 name=$2
  shift 2
  "${graft_convert[@]}" convert -q --no-probe --base "$work/base" --calibrate "$file" --calibration-texts 2 --calibration-tokens 12 "$@" \
    -o "$work/model.graft" 2>"$work/stderr" || { fail "$name: $(cat "$work/stderr")"; return; }
  "${graft_convert[@]}" inspect --json "$work/model.graft" | grep content_hash >"$work/$name"
}
same() { cmp -s "$work/$1" "$work/$2" || fail "$1 and $2 give other weights"; }
differ() { cmp -s "$work/$1" "$work/$2" && fail "$1 and $2 give the same weights"; }
# refused NAME FILE NEEDLE...
refused() {
  local name=$1 file=$2 needle
  shift 2
  "${graft_convert[@]}" convert -q --no-probe --base "$work/base" --calibrate "$file" -o "$work/refused.graft" 2>"$work/stderr" && fail "$name: exit 0"
  for needle; do grep -qF -- "$needle" "$work/stderr" || fail "$name does not say '$needle': $(cat "$work/stderr")"; done
  [[ $(wc -l <"$work/stderr") == 1 && ! -e $work/refused.graft ]] || fail "$name: not one line, or a file is left"
}

cp -r "$data/tales/base" "$work/base"
chmod -R u+w "$work/base"
template='{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if tools %}{{ tools | length }} tools\n{% endif %}{% if add_generation_prompt %}[assistant] {% endif %}'
printf '{"messages": [{"role": "user", "content": "Who is there?"}]}\n' >"$work/chat.jsonl"
refused 'a chat for a model without a template' "$work/chat.jsonl" 'chat.jsonl, line 1' 'no chat template'
[[ $extent == readers ]] || weights self self
printf '%b' "$template" >"$work/base/chat_template.jinja"

calibrates() {
  # A text is the same in either kind of file; lines of the file are cut where they are in the text.
  text='The man went down to the river, and there he saw that the boat was gone. Nobody answered him.'
  printf '%s' "$text" >"$work/plain.txt"
  printf '\n{"text": "%s"}\n\n' "$text" >"$work/text.jsonl"
  { head -c 400000 /dev/zero | tr '\0' '\n'; cat "$work/text.jsonl"; } >"$work/late.jsonl"   # further on than one read
  weights "$work/late.jsonl" late
  weights "$work/plain.txt" plain
  weights "$work/text.jsonl" text --threads 2
  same plain text
  same plain late
  differ plain self

  # Conversations are what the template makes of them.
  printf '{"messages": [{"role": "user", "content": "Who is there?"}, {"role": "assistant", "content": "It was the wind and nothing more."}]}\r\n' >"$work/chat.jsonl"
  printf '{"text": "[user] Who is there?\\n[assistant] It was the wind and nothing more.\\n"}' >"$work/rendered.jsonl"
  printf '{"prompt": "Who is there?", "completion": "It was the wind and nothing more."}\n' >"$work/pair.jsonl"
  printf '{"prompt": [{"role": "user", "content": "Who is there?"}], "completion": [{"role": "assistant", "content": "It was the wind and nothing more."}]}\n' >"$work/lists.jsonl"
  printf '{"messages": [{"role": "user", "content": "Who is there?"}], "tools": [{"type": "function", "function": {"name": "f"}}]}' >"$work/tools.jsonl"
  printf '{"text": "[user] Who is there?\\n1 tools\\n"}' >"$work/rendered_tools.jsonl"
  for name in chat rendered pair lists tools rendered_tools; do weights "$work/$name.jsonl" $name; done
  same chat rendered
  same chat pair
  same chat lists
  same tools rendered_tools
  differ chat tools
  # Where there is a template, the model writes conversations itself.
  weights self self_chat
  differ self self_chat

  # Characters of several bytes are not cut where a large file is.
  for ((i = 0; i < 400; ++i)); do printf 'Übermäßig schöne Grüße – %d. ' $i; done >"$work/large.txt"
  weights "$work/large.txt" large
  weights "$work/large.txt" large_again --threads 2
  same large large_again

  # Twice the same bytes, weights mixed.
  for i in 1 2; do
    "${graft_convert[@]}" convert -q --no-probe --base "$work/base" --bits 5.5 --calibrate "$work/chat.jsonl" --threads $i -o "$work/$i.graft" || fail "--bits with texts"
  done
  cmp "$work/1.graft" "$work/2.graft" || fail "--bits with texts: other bytes with another number of threads"
  "${graft_convert[@]}" inspect "$work/1.graft" | grep -q 'bits a weight.*5\.25: 0\..*of chat.jsonl' || fail "inspect does not show the bits and their curve"
}
[[ $extent == readers ]] || calibrates

printf '{"text": "fine"}\n{"text": 3}\n' >"$work/bad.jsonl"
refused 'a text that is none' "$work/bad.jsonl" 'bad.jsonl, line 2' '"messages"'
printf '\n[1]\n' >"$work/bad.jsonl"
refused 'no object' "$work/bad.jsonl" 'bad.jsonl, line 2' 'an object'
printf '{"text": "cut' >"$work/bad.jsonl"
refused 'JSON cut short' "$work/bad.jsonl" 'bad.jsonl, line 1'
printf '{"messages": [3]}\n' >"$work/bad.jsonl"
refused 'messages that are none' "$work/bad.jsonl" 'bad.jsonl, line 1'
{ printf '{"text": "'; head -c 1100000 /dev/zero | tr '\0' a; printf '"}\n'; } >"$work/bad.jsonl"
refused 'a line without end' "$work/bad.jsonl" 'line 1' '1048576 bytes'
head -c 4000000 /dev/zero | tr '\0' '\n' >"$work/lines.jsonl"
refused 'a file of empty lines' "$work/lines.jsonl" lines.jsonl 'two tokens'
: >"$work/empty.txt"
refused 'an empty file' "$work/empty.txt" empty.txt 'two tokens'
printf 'a\0b' >"$work/zero.txt"
refused 'bytes that are no text' "$work/zero.txt" zero.txt 'no text'
refused 'a file that is not there' "$work/none.txt" none.txt

((failures == 0)) && echo "texts of one's own: as they should be"
exit $((failures > 0))
