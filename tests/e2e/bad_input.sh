#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bad input through the real commands: each case must exit non-zero, say one line that names what is wrong, and leave no file behind.
#   bad_input.sh GRAFT_CONVERT GRAFT_RUN DATA [EMULATOR...]
set -uo pipefail
export GRAFT_CACHE_DIR=   # no cache of packed weights
convert=$1 run=$2 data=$3
shift 3
emulator=("$@")
work=$(mktemp -d)
mounted=
cleanup() {
  [[ -n $mounted ]] && umount "$work/full" 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
passed=0 failed=0

graft_convert=("${emulator[@]}" "$convert")
graft_run=("${emulator[@]}" "$run")

fail() { printf 'FAIL %s: %s\n' "$name" "$1"; sed 's/^/     | /' "$work/stderr" | head -5; failed=$((failed + 1)); }

# expect_error NAME NEEDLE... -- COMMAND...   ($work/out must stay empty)
expect_error() {
  name=$1; shift
  local needles=() needle status
  while [[ $1 != -- ]]; do needles+=("$1"); shift; done
  shift
  rm -rf "$work/out"; mkdir "$work/out"
  timeout 120 "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
  status=$?
  if ((status == 0)); then fail "exit 0"; return; fi
  if ((status > 125)); then fail "died with status $status"; return; fi
  if (($(wc -l <"$work/stderr") != 1)); then fail "not one line on standard error"; return; fi
  for needle in "${needles[@]}"; do
    grep -qF -- "$needle" "$work/stderr" || { fail "does not say '$needle'"; return; }
  done
  if [[ -n $(ls -A "$work/out") ]]; then fail "left $(ls -A "$work/out")"; return; fi
  passed=$((passed + 1))
}

# copy_base NAME: a writable copy of the tales base at $work/NAME
copy_base() { rm -rf "$work/$1"; cp -r "$data/tales/base" "$work/$1"; chmod -R u+w "$work/$1"; }
copy_adapter() { rm -rf "$work/$1"; cp -r "$data/tales/holmes" "$work/$1"; chmod -R u+w "$work/$1"; }
out=$work/out/model.graft

# ---- outputs ----
# expect_kept NAME FILE NEEDLE -- COMMAND...: an error, and FILE stays as it was.
expect_kept() {
  local kept=$2 before
  before=$(sha256sum <"$kept")
  expect_error "$1" "$3" "${@:4}"
  [[ $(sha256sum <"$kept") == "$before" ]] || fail "wrote over $kept"
}
copy_base overwritten
copy_adapter overwriting
small=$work/small.graft
"${graft_convert[@]}" convert --base "$data/architectures/llama" --quant f32 --no-probe -q -o "$small" 2>/dev/null
for file in "$work/overwritten/model.safetensors" "$work/overwriting/adapter_model.safetensors" "$work/overwriting/adapter_config.json"; do
  expect_kept "output that is an input, ${file##*/}" "$file" "no file of graft's" -- \
    "${graft_convert[@]}" convert --base "$work/overwritten" --adapter "$work/overwriting" --no-probe -o "$file"
done
expect_kept "output that is --like's file" "$small" "is read here" -- \
  "${graft_convert[@]}" convert --base "$data/architectures/llama" --like "$small" --no-probe -o "$small"
expect_kept "pack over its base" "$small" "is read here" -- "${graft_convert[@]}" pack "$small" "$small" -o "$small"
expect_kept "forward over its model" "$small" "is read here" -- "${graft_run[@]}" forward "$small" --input "$small" -o "$small"
expect_kept "page over a compared model" "$small" "is read here" -- \
  "${graft_run[@]}" compare "$small" --reference "$small" --text-file "$data/tales/base/config.json" --html "$small"
if [[ -w /dev/full ]]; then
  for command in "convert inspect $small" "convert inspect $small --json" "convert kinds" "convert --help" "run info $small" "run tokenize --help" "run estimate $small --json"; do
    program=graft_${command%% *}[@]
    read -ra arguments <<<"${command#* }"
    expect_error "$command, whose output is lost" "standard output: cannot be written" -- bash -c '"$@" >/dev/full' - "${!program}" "${arguments[@]}"
  done
fi
for command in generate chat tokenize selftest; do
  name="help of $command"
  "${graft_run[@]}" $command --help >"$work/stdout" 2>"$work/stderr"
  if (($(grep -c '^  graft-run [a-z]* FILE' "$work/stdout") == 1)) && grep -q "^  graft-run $command FILE" "$work/stdout"; then passed=$((passed + 1)); else fail "is not its own"; fi
done
expect_error "command that is none" "no command 'glue'" -- "${graft_convert[@]}" glue "$small"
expect_error "arguments too many, in their order" "take: --first second --third " -- "${graft_convert[@]}" verify "$small" --first second --third
printf '\x89GRFPK\r\n%0200d' 0 >"$work/a.graftpack"
expect_error "pack in a model's place" "it is a pack" -- "${graft_run[@]}" info "$work/a.graftpack"
expect_error "model in a pack's place" "it is a .graft file" -- "${graft_convert[@]}" apply "$small" "$small" -o "$out"
expect_error "two packs" "--pack is given twice" -- "${graft_run[@]}" generate "$small" --pack a --pack b --prompt x
expect_error "a number twice" "--max-tokens is given twice" -- "${graft_run[@]}" generate "$small" --max-tokens 1 --prompt x --max-tokens=2
expect_error "a short name, then the long one" "--threads is given twice" -- "${graft_run[@]}" bench "$small" -t 1 --threads 2
expect_error "two outputs" --output -- "${graft_convert[@]}" pack "$small" "$small" -o "$out" --output "$work/b.graftpack"
expect_error "GGUF file in a model's place" "graft-convert" -- "${graft_run[@]}" info "$data/gguf/llama.gguf"

# ---- bases ----
expect_error "base folder that does not exist" "$work/nothing" -- "${graft_convert[@]}" convert --base "$work/nothing" -o "$out"

copy_base unknown
sed -i 's/"model_type": *"llama"/"model_type": "zebra"/' "$work/unknown/config.json"
expect_error "unknown model_type" config.json model_type zebra -- "${graft_convert[@]}" convert --base "$work/unknown" -o "$out"

copy_base broken
printf '{ "model_type": ' >"$work/broken/config.json"
expect_error "config.json cut short" config.json -- "${graft_convert[@]}" convert --base "$work/broken" -o "$out"

copy_base rope
sed -i 's/"rope_type": *"default"/"rope_type": "mystery"/' "$work/rope/config.json"
expect_error "unknown rope type" config.json mystery -- "${graft_convert[@]}" convert --base "$work/rope" -o "$out"

copy_base heads
sed -i 's/"num_attention_heads": *6/"num_attention_heads": 4/' "$work/heads/config.json"
expect_error "head count that contradicts the weights" q_proj -- "${graft_convert[@]}" convert --base "$work/heads" -o "$out"

copy_base short
size=$(stat -c %s "$work/short/model.safetensors")
truncate -s $((size - 100)) "$work/short/model.safetensors"
expect_error "truncated safetensors" model.safetensors -- "${graft_convert[@]}" convert --base "$work/short" -o "$out"

copy_base shards
mv "$work/shards/model.safetensors" "$work/shards/model-00001-of-00002.safetensors"
cat >"$work/shards/model.safetensors.index.json" <<'JSON'
{"metadata": {}, "weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors",
 "model.norm.weight": "model-00002-of-00002.safetensors"}}
JSON
expect_error "missing shard" model-00002-of-00002.safetensors -- "${graft_convert[@]}" convert --base "$work/shards" -o "$out"

# ---- tokenizers ----
copy_base morse
sed -i 's/"type": *"BPE"/"type": "Morse"/' "$work/morse/tokenizer.json"
expect_error "tokenizer of a kind that there is none of" morse/tokenizer.json Morse -- "${graft_convert[@]}" convert --base "$work/morse" -o "$out"
copy_base class
rm "$work/class/tokenizer.json"
printf '{"<|endoftext|>": 0}' >"$work/class/vocab.json"
printf '#version: 0.2\n' >"$work/class/merges.txt"
printf '{"tokenizer_class": "MorseTokenizer"}' >"$work/class/tokenizer_config.json"
expect_error "tokenizer files of an unknown class" class/vocab.json MorseTokenizer -- "${graft_convert[@]}" convert --base "$work/class" -o "$out"
copy_base larger
sed -i 's/"added_tokens": *\[/"added_tokens": [{"id": 2048, "content": "<new>", "special": true},/' "$work/larger/tokenizer.json"
expect_error "vocabulary larger than the embedding" larger/tokenizer.json 2049 2048 -- "${graft_convert[@]}" convert --base "$work/larger" -o "$out"

# ---- stacks of layers ----
mkdir "$work/stack"
cp "$data/adapters/base_conv/model.safetensors" "$work/stack"
stack() { sed "$1" "$data/adapters/base_conv/graft.json" >"$work/stack/graft.json"; }
stack 's/"padding": 1/"paddign": 1/'
expect_error "misspelt member of a layer" stack/graft.json "layers[0].paddign" -- "${graft_convert[@]}" convert --base "$work/stack" -o "$out"
stack 's/\[3, 8, 8\]/[3, 9, 8]/'
expect_error "layers that do not fit the image" lin.weight 256 320 -- "${graft_convert[@]}" convert --base "$work/stack" -o "$out"
stack 's/"conv2.weight"/"conv4.weight"/'
expect_error "layer without its tensor" conv4.weight graft.json -- "${graft_convert[@]}" convert --base "$work/stack" -o "$out"

# ---- adapters ----
expect_error "adapter of another base" adapter_model.safetensors lora_ -- \
  "${graft_convert[@]}" convert --base "$data/stories260k" --adapter "$data/tales/holmes" -o "$out"

expect_error "adapter as base" adapter_config.json --base -- \
  "${graft_convert[@]}" convert --base "$data/tales/holmes" --adapter "$data/tales/base" -o "$out"
mkdir "$work/config"
cp "$data/tales/holmes/adapter_config.json" "$work/config"
expect_error "adapter without its weights" "$work/config" adapter_model.safetensors adapter_model.bin -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/config" -o "$out"
expect_error "ties without a density" --density -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$data/tales/holmes" --combine ties -o "$out"

for option in --bits --density; do
  expect_error "$option that is no number" "$option" "no number from" -- \
    "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$data/tales/holmes" --combine ties "$option" nan -o "$out"
done
expect_error "bits of a file that a pack is for" --bits --pack-for -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --bits 5 --pack-for "$work/base.graft" -o "$out"

copy_adapter stray
sed -i 's/layers\.3\.self_attn\.q_proj/layers.3.self_attn.z_proj/g' "$work/stray/adapter_model.safetensors"
expect_error "adapter key that matches nothing" z_proj -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/stray" -o "$out"

copy_adapter nan
header=$(od -An -tu8 -N8 "$work/nan/adapter_model.safetensors" | tr -d ' ')
printf '\000\000\300\177' | dd of="$work/nan/adapter_model.safetensors" bs=1 seek=$((8 + header)) conv=notrunc status=none
expect_error "NaN in an adapter" adapter_model.safetensors lora_ -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/nan" -o "$out"

copy_adapter kind
sed -i 's/"peft_type": *"LORA"/"peft_type": "XYZ"/' "$work/kind/adapter_config.json"
expect_error "unknown adapter kind" adapter_config.json XYZ -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/kind" -o "$out"

copy_adapter bare
rm "$work/bare/adapter_config.json"
expect_error "adapter without its config" adapter_config.json -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/bare" -o "$out"

copy_adapter replicated
sed -i 's/"layer_replication": *null/"layer_replication": [[0, 9]]/' "$work/replicated/adapter_config.json"
expect_error "adapter that replicates layers the base does not have" adapter_config.json "up to 9" -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/replicated" -o "$out"

copy_adapter grown
sed 's/"added_tokens": \[/"added_tokens": [{"id": 2048, "content": "<new>", "special": true},/' "$data/tales/base/tokenizer.json" >"$work/grown/tokenizer.json"
expect_error "adapter whose tokenizer has outgrown the embeddings" grown/tokenizer.json 2049 2048 -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$work/grown" -o "$out"
expect_error "weight that is not finite" nan -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" --adapter "$data/tales/holmes:nan" -o "$out"
expect_error "ties without a density" --density -- \
  "${graft_convert[@]}" merge --base "$data/tales/base" --adapter "$data/tales/holmes" --combine ties -o "$work/out/merged"
expect_error "NF4 base of transposed layers" NF4 -- \
  "${graft_convert[@]}" merge --base "$data/adapters/base_gpt2" --adapter "$data/adapters/gpt2_conv1d" --nf4-base -o "$work/out/merged"

# ---- outputs ----
touch "$work/file"
expect_error "output below something that is not a folder" "$work/file" -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" -o "$work/file/model.graft"
expect_error "output folder that does not exist" "$work/absent" -- \
  "${graft_convert[@]}" convert --base "$data/tales/base" -o "$work/absent/model.graft"

mkfifo "$work/out.pipe"
expect_error "pipe as output" out.pipe "not a regular file" -- "${graft_convert[@]}" convert --base "$data/tales/base" -o "$work/out.pipe"
expect_error "device as output" /dev/null "not a regular file" -- "${graft_convert[@]}" convert --base "$data/tales/base" -o /dev/null
copy_base piped
rm "$work/piped/model.safetensors"; mkfifo "$work/piped/model.safetensors"
expect_error "pipe as weights" model.safetensors "not a regular file" -- "${graft_convert[@]}" convert --base "$work/piped" -o "$out"
copy_base piped
rm "$work/piped/config.json"; mkfifo "$work/piped/config.json"
expect_error "pipe as config" config.json "not a regular file" -- "${graft_convert[@]}" convert --base "$work/piped" -o "$out"
limited=(bash -c 'ulimit -f "$0"; exec "$@"')   # KIB COMMAND...
expect_error "limit on the size of files" model.graft -- "${limited[@]}" 100 "${graft_convert[@]}" convert --base "$data/tales/base" -o "$out"
expect_error "limit on the size of files while merging" merged -- \
  "${limited[@]}" 100 "${graft_convert[@]}" merge --base "$data/tales/base" --adapter "$data/tales/holmes" -o "$work/out/merged"
for left in model.graft.tmp-1-0 merged.tmp-1; do touch "$work/$left"; done
name="leftovers of runs that were killed"
"${graft_convert[@]}" convert --base "$data/stories260k" -o "$work/model.graft" >/dev/null 2>"$work/stderr" &&
  "${graft_convert[@]}" merge --base "$data/tales/base" --adapter "$data/tales/holmes" -o "$work/merged" >/dev/null 2>>"$work/stderr"
if [[ -z $(ls "$work" | grep tmp-) ]]; then passed=$((passed + 1)); else fail "left $(ls "$work" | grep tmp-)"; fi

mkdir "$work/full"
if mount -t tmpfs -o size=1m tmpfs "$work/full" 2>/dev/null; then
  mounted=1
  expect_error "disk full" "$work/full" -- "${graft_convert[@]}" convert --base "$data/tales/base" --quant int8 -o "$work/full/model.graft"
  [[ -z $(ls -A "$work/full") ]] || { name="disk full"; fail "left $(ls -A "$work/full")"; }
  expect_error "disk full while merging" "$work/full" -- \
    "${graft_convert[@]}" merge --base "$data/tales/base" --adapter "$data/tales/holmes" -o "$work/full/merged"
  [[ -z $(ls -A "$work/full") ]] || { name="disk full while merging"; fail "left $(ls -A "$work/full")"; }
else
  echo "skip disk full: mounting a tmpfs is not permitted here"
fi

# ---- model files ----
good=$work/good.graft
"${graft_convert[@]}" convert --base "$data/tales/base" --quant int4 -o "$good" >/dev/null 2>&1 || { name=good; echo "FAIL cannot convert tales"; exit 1; }
ids=1,2,3
expect_error "model that does not exist" "$work/absent.graft" -- "${graft_run[@]}" generate "$work/absent.graft" --prompt-ids $ids
expect_error "folder as a model" "$work" -- "${graft_run[@]}" generate "$work" --prompt-ids $ids
: >"$work/empty.graft"
expect_error "empty model file" empty.graft -- "${graft_run[@]}" generate "$work/empty.graft" --prompt-ids $ids
head -c 4096 /dev/urandom >"$work/random.graft"
expect_error "random bytes" random.graft "magic" -- "${graft_run[@]}" generate "$work/random.graft" --prompt-ids $ids
expect_error "random bytes to verify" random.graft "magic" -- "${graft_convert[@]}" verify "$work/random.graft"
head -c 100000 "$good" >"$work/cut.graft"
expect_error "truncated model file" cut.graft 100000 -- "${graft_run[@]}" generate "$work/cut.graft" --prompt-ids $ids
cp "$good" "$work/flip.graft"
size=$(stat -c %s "$good")
printf '\377\377\377\377' | dd of="$work/flip.graft" bs=1 seek=$((size - 400000)) conv=notrunc status=none
expect_error "changed weights to verify" flip.graft checksum -- "${graft_convert[@]}" verify "$work/flip.graft"

name="limit on the size of files while saving"
mkdir -p "$work/out"; rm -f "$work/out"/*
"${limited[@]}" 8 "${graft_run[@]}" generate "$good" --prompt-ids $ids --ignore-eos --max-tokens 200 --prompt-cache "$work/out/saved" \
  >"$work/stdout" 2>"$work/stderr"
status=$?
if ((status == 1)) && tail -1 "$work/stderr" | grep -q "out/saved: cannot be written" && [[ -z $(ls -A "$work/out") ]]; then
  passed=$((passed + 1))
else
  fail "exit $status, left $(ls -A "$work/out")"
fi
expect_error "pipe to save to" out.pipe -- timeout 20 "${graft_run[@]}" generate "$good" --prompt-ids $ids --max-tokens 1 --prompt-cache "$work/out.pipe"
long=$(seq -s, 1 700)
expect_error "prompt longer than the context" 700 512 -- "${graft_run[@]}" generate "$good" --prompt-ids "$long"
expect_error "token id outside the vocabulary" 5000 2048 -- "${graft_run[@]}" generate "$good" --prompt-ids 1,5000
little_endian() { local shift; for shift in 0 8 16 24; do printf "\\x$(printf %02x $(($1 >> shift & 255)))"; done; }
ids_file() {  # ID: a file of input_ids [1, 2]
  local header='{"input_ids":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]}}'
  little_endian ${#header}; little_endian 0; printf '%s' "$header"; little_endian 1; little_endian "$1"
}
ids_file 2048 >"$work/ids.safetensors"
expect_error "token id outside the vocabulary, by forward" 2048 -- "${graft_run[@]}" forward "$good" --input "$work/ids.safetensors" -o "$out"
ids_file -1 >"$work/ids.safetensors"
expect_error "token id below 0, by forward" -1 -- "${graft_run[@]}" forward "$good" --input "$work/ids.safetensors" -o "$out"
expect_error "cache format that there is none of" kv int7 -- "${graft_run[@]}" generate "$good" --prompt-ids 1 --kv int7
ids_file 5 >"$work/ids.safetensors"
expect_error "device as output of forward" /dev/null "plain file" -- "${graft_run[@]}" forward "$good" --input "$work/ids.safetensors" -o /dev/null
expect_error "input file that is no safetensors" random.graft -- "${graft_run[@]}" forward "$good" --input "$work/random.graft" -o "$out"

# Not an error: a matrix that int4 cannot hold falls back to int8 and the report says so.
name="int4 with in_features that no block divides"
if "${graft_convert[@]}" convert --base "$data/stories260k" --quant int4 -o "$work/fallback.graft" >"$work/stdout" 2>"$work/stderr" &&
  cat "$work/stdout" "$work/stderr" | grep -q 'int8'; then
  passed=$((passed + 1))
else
  fail "does not fall back to int8 with a word about it"
fi

echo "$passed passed, $failed failed"
((failed == 0))
