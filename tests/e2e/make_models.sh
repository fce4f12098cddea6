#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Converts the fixtures that the end-to-end tests run, with the real command.
#   make_models.sh GRAFT_CONVERT DATA OUT [EMULATOR...]
# GRAFT_TEST_ONLY_MODELS: a regular expression of the names to make; the others lie in OUT already.
set -euo pipefail
convert=$1 data=$2 out=$3
shift 3
emulator=("$@")
mkdir -p "$out"
only=${GRAFT_TEST_ONLY_MODELS:-} made=0

# make NAME ARGUMENTS...: OUT/NAME.graft
make() {
  local name=$1
  shift
  [[ -z $only || $name =~ ^($only)$ ]] || return 0
  "${emulator[@]}" "$convert" convert "$@" -o "$out/$name.graft" >"$out/$name.log" 2>&1 || { cat "$out/$name.log"; echo "cannot make $name"; exit 1; }
  made=$((made + 1))
}

for quant in f32 f16 int8 int4 int4-channel; do
  make "tales-base-$quant" --base "$data/tales/base" --quant "$quant"
  make "tales-holmes-$quant" --base "$data/tales/base" --adapter "$data/tales/holmes" --quant "$quant"
done
for quant in int8 int4; do
  make "tales-half-$quant" --base "$data/tales/base" --adapter "$data/tales/holmes:0.5" --quant "$quant"
done
# Changes that are small beside what rounding costs, each the other's opposite.
for weight in 0.1 -0.1; do
  make "tales-holmes-$weight-int4" --base "$data/tales/base" --adapter "$data/tales/holmes:$weight" --quant int4
done
rm -rf "$out/with_chat"
cp -r "$data/tales/base" "$out/with_chat"
chmod u+w "$out/with_chat"
echo '{% for message in messages %}{{ message.role }} says: {{ message.content }} {% endfor %}Answer:' >"$out/with_chat/chat_template.jinja"
make tales-chat-int4 --base "$out/with_chat" --quant int4
rm -rf "$out/with_chat"
make tales-holmes-for-base-int8 --base "$data/tales/base" --adapter "$data/tales/holmes" --like "$out/tales-base-int8.graft"
[[ -n $only ]] || "${emulator[@]}" "$convert" pack "$out/tales-base-int8.graft" "$out/tales-holmes-for-base-int8.graft" -o "$out/tales-holmes-int8.graftpack" -q ||
  { echo "cannot pack tales-holmes-int8"; exit 1; }
make tales-holmes-calibrated --base "$data/tales/base" --adapter "$data/tales/holmes" --head int8 --calibrate --calibration-texts 4 --calibration-tokens 48
make architecture-llama-calibrated --base "$data/architectures/llama" --head int8 --calibrate --calibration-texts 2 --calibration-tokens 16
make tales-holmes_dora-f32 --base "$data/tales/base" --adapter "$data/tales/holmes_dora" --quant f32
make stories260k-f32 --base "$data/stories260k" --quant f32
make lora_layer-f32 --base "$data/lora_layer" --quant f32
for name in llama llama_rope_llama3 mistral_sliding qwen2 qwen2_yarn qwen3 smollm3 olmo2 granite phi3 phi3_longrope gemma2 gemma3 gpt2 gpt2_seqcls gpt_neox gpt_neox_sequential opt opt_post_norm; do
  for quant in f32 int8 int4; do
    make "architecture-$name-$quant" --base "$data/architectures/$name" --quant "$quant"
  done
done
for name in bert_encoder bert_seqcls bert_tokencls distilbert_seqcls roberta_seqcls vit \
  electra_seqcls electra_tokencls roberta_tokencls distilbert_tokencls xlm_roberta_seqcls deit deit_teacher minilm_mean minilm_cls minilm_max; do
  make "architecture-$name-f32" --base "$data/architectures/$name" --quant f32
  make "architecture-$name-int8" --base "$data/architectures/$name" --quant int8
done
for name in llama_seqcls opt_seqcls qwen3_seqcls qwen3_embedding mistral_embedding; do
  make "architecture-$name-f32" --base "$data/architectures/$name" --quant f32
done
make architecture-qwen3_embedding_lora-f32 --base "$data/architectures/qwen3_embedding" --adapter "$data/architectures/qwen3_embedding_lora" --quant f32
for name in llama llama3 qwen2 qwen3 smollm3 granite phi3 olmo2 gemma2 gemma3 gpt2 gptneox bert distilbert roberta xlmroberta; do
  make "gguf-$name-f32" --base "$data/gguf/$name.gguf" --quant f32
done
for name in arcee cohere cohere2 ernie4_5 exaone4 gemma3n gemma4 glm glm4 gpt_bigcode granitemoe hunyuan lfm2 lfm2_moe ministral3 mixtral nemotron nomic_bert olmo olmo3 olmoe \
  phi qwen2_moe qwen3_moe seed_oss stablelm starcoder2 qwen3_5 gpt_oss mamba mamba2 falcon_h1 granite_hybrid granite_dense_hybrid granitemoeshared falcon falcon40 bloom mpt \
  modernbert modernbert_seqcls; do
  make "gguf-$name-f32" --base "$data/gguf/families/$name.gguf" --quant f32 --no-probe
done
# Adapters through conversion and the runtime: case:base
for pair in lora_qv:llama embedding:llama embedding_tied:llama_tied lm_head_tied:llama_tied bias_all:qwen2 lora_bias:qwen2 gpt2_conv1d:gpt2 bias_lora_only:bert modules_to_save_classifier:bert vit_qkv:vit; do
  for quant in f32 int8; do
    make "adapter-${pair%:*}-$quant" --base "$data/adapters/base_${pair#*:}" --adapter "$data/adapters/${pair%:*}" --quant "$quant"
  done
done
# Stacks of layers, as they are or with an adapter: case[:base]
for pair in classifier residual sequence conv2d:conv conv2d_dora:conv loha_conv:conv mlp_100x10:mlp; do
  for quant in f32 int8 int4; do
    case $pair in
      *:*) make "stack-${pair%:*}-$quant" --base "$data/adapters/base_${pair#*:}" --adapter "$data/adapters/${pair%:*}" --quant "$quant" ;;
      *) make "stack-$pair-$quant" --base "$data/layer_stacks/$pair" --quant "$quant" ;;
    esac
  done
done
# With a preprocessor_config.json: how images become what the model takes.
with_images() {  # NAME BASE PREPARATION ARGUMENTS...
  local name=$1 base=$2 preparation=$3
  shift 3
  rm -rf "$out/with_images"
  cp -r "$base" "$out/with_images"
  chmod u+w "$out/with_images"
  cp "$data/images/$preparation.json" "$out/with_images/preprocessor_config.json"
  make "$name" --base "$out/with_images" "$@" --quant f32
  rm -rf "$out/with_images"
}
for preparation in vit deit shortest extractor; do
  with_images "image-vit-$preparation-f32" "$data/architectures/vit" "$preparation"
done
with_images image-vit_qkv-f32 "$data/adapters/base_vit" vit --adapter "$data/adapters/vit_qkv"
make image-embedder-f32 --base "$data/images/embedder" --quant f32
make pictures-smolvlm-f32 --base "$data/pictures/smolvlm" --quant f32

# The same input gives the same bytes, whatever the number of threads.
if [[ -z $only ]]; then
  make again-1 --base "$data/tales/base" --adapter "$data/tales/holmes" --quant int4 --threads 1
  make again-2 --base "$data/tales/base" --adapter "$data/tales/holmes" --quant int4 --threads 2
  cmp "$out/again-1.graft" "$out/again-2.graft"
  cmp "$out/again-1.graft" "$out/tales-holmes-int4.graft"
  rm "$out"/again-*
fi
((made > 0)) || { echo "no model is called $only"; exit 1; }
(cd "$out" && sha256sum ./*.graft >checksums.txt)
