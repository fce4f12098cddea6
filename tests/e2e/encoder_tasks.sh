#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# graft-run embed and classify, from a checkpoint with a tokenizer to numbers and labels.
#   encoder_tasks.sh GRAFT_CONVERT GRAFT_RUN DATA [EMULATOR...]
set -euo pipefail
convert=$1 run=$2 data=$3
shift 3
emulator=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "encoder_tasks: $*" >&2; exit 1; }
graft_convert() { "${emulator[@]}" "$convert" "$@"; }
graft_run() { "${emulator[@]}" "$run" "$@" --no-cache; }

write_tokenizer() {  # FOLDER: a few words
  cat >"$1/tokenizer.json" <<'JSON'
{"version": "1.0", "truncation": null, "padding": null,
 "added_tokens": [
  {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
  {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
 "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
 "pre_tokenizer": {"type": "BertPreTokenizer"},
 "post_processor": {"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
  "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
           {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
  "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
 "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
  "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "good": 5, "bad": 6, "film": 7, "##s": 8, "!": 9}}}
JSON
}

for name in bert_encoder bert_seqcls bert_tokencls; do
  mkdir "$work/$name"
  cp "$data/architectures/$name"/{config.json,model.safetensors} "$work/$name"
  chmod u+w "$work/$name"/*
  write_tokenizer "$work/$name"
  graft_convert convert --base "$work/$name" --quant f32 -o "$work/$name.graft" >/dev/null
done

# Two texts at once give the lines that each gives alone, up to the last digits.
graft_run embed "$work/bert_encoder.graft" --text "A good film!" --text "bad films" >"$work/both"
graft_run embed "$work/bert_encoder.graft" --text "bad films" >"$work/alone"
[[ $(wc -l <"$work/both") == 2 && $(head -1 "$work/both" | wc -w) == 96 ]] || fail "embed: not 2 vectors of 96"
paste -d' ' <(tail -1 "$work/both") "$work/alone" | awk '{ for (i = 1; i <= 96; ++i) { d = $i - $(i + 96); if (d * d > 1e-11) exit 1; s += $i * $i } exit !(s > 0.9999 && s < 1.0001) }' ||
  fail "embed: a text beside another is another vector, or not of length 1"
graft_run embed "$work/bert_encoder.graft" --text good --json | grep -q '^{"width":96,"embeddings":\[\[.*\]\]}$' || fail "embed --json"

# A default prompt goes before every text.
for name in plain prompted; do
  mkdir -p "$work/$name/1_Pooling"
  cp "$work/bert_encoder"/* "$work/$name"
  echo '[{"type": "models.Transformer", "path": ""}, {"type": "models.Pooling", "path": "1_Pooling"}]' >"$work/$name/modules.json"
  echo '{"pooling_mode": "mean"}' >"$work/$name/1_Pooling/config.json"
done
echo '{"prompts": {"query": "a good "}, "default_prompt_name": "query"}' >"$work/prompted/config_sentence_transformers.json"
for name in plain prompted; do graft_convert convert --base "$work/$name" --quant f32 -o "$work/$name.graft" >/dev/null; done
graft_run embed "$work/prompted.graft" --text "film" --text "film!" >"$work/with_prompt"
graft_run embed "$work/plain.graft" --text "a good film" --text "a good film!" | cmp -s - "$work/with_prompt" || fail "embed: the default prompt is not there"

# Probabilities of all labels, the likeliest first; a pair is another input than its first text.
graft_run classify "$work/bert_seqcls.graft" --text "a good film" >"$work/one"
awk '{ if (NR > 1 && $1 > last) exit 1; last = $1; sum += $1 } END { exit !(NR == 3 && sum > 0.999 && sum < 1.001) }' "$work/one" || fail "classify: not 3 probabilities"
graft_run classify "$work/bert_seqcls.graft" --text "a good film" --text-pair "bad" --json >"$work/pair"
grep -q '"label": "LABEL_1"' "$work/pair" || fail "classify --json"
graft_run classify "$work/bert_seqcls.graft" --text "a good film" --json | cmp -s - "$work/pair" && fail "classify: the pair's second text does not count"

# A line for each token that stands for text, in the text's order, each with its likeliest label.
graft_run classify "$work/bert_tokencls.graft" --text "A good films!" >"$work/tokens"
[[ $(awk '{ printf "%s ", $3 }' "$work/tokens") == "a good film ##s ! " ]] || fail "classify: not a label for each token: $(cat "$work/tokens")"
awk '$1 < 0.2 || $1 > 1 || $2 !~ /^LABEL_[0-4]$/ { exit 1 }' "$work/tokens" || fail "classify: not the likeliest of five labels"
graft_run classify "$work/bert_tokencls.graft" --text "A good films!" --json | grep -q '^{"texts": \[{"tokens": \[{"token": "a", "label": "LABEL_' || fail "classify --json of tokens"

# What cannot work says why.
refused() {  # NEEDLE COMMAND...
  local needle=$1
  shift
  "$@" >"$work/out" 2>&1 && fail "accepted: $*"
  grep -q -- "$needle" "$work/out" || fail "$* said: $(cat "$work/out")"
}
refused "does not make embeddings" graft_run embed "$work/bert_seqcls.graft" --text good
refused "does not classify" graft_run classify "$work/bert_encoder.graft" --text good
refused "positions for 64" graft_run classify "$work/bert_tokencls.graft" --text "$(printf 'good %.0s' {1..80})"
refused "positions for 64" graft_run classify "$work/bert_seqcls.graft" --text "$(printf 'good %.0s' {1..80})"
refused "--text or --image is missing" graft_run embed "$work/bert_encoder.graft"
sed -i 's/"!": 9/"!": 131/' "$work/bert_seqcls/tokenizer.json"
refused "has 132 tokens, but the embedding" graft_convert convert --base "$work/bert_seqcls" --quant f32 -o "$work/no.graft"
echo "embed and classify work"
