// SPDX-License-Identifier: Apache-2.0
// Names of GPT-2 and those like it: the tensors of llama.cpp's files, and transformers'.
#pragma once

#include "converter/gguf/families/families.h"

namespace graft::converter {

inline constexpr GgufModule kGpt2[] = {{"token_embd", "transformer.wte"},
                                       {"position_embd", "transformer.wpe"},
                                       {"output_norm", "transformer.ln_f"},
                                       {"output", "lm_head"}};
inline constexpr GgufModule kGpt2Layer[] = {
    {"attn_norm", "ln_1"},
    {"ffn_norm", "ln_2"},
    {"attn_qkv", "attn.c_attn", GgufChange::kTransposed},
    {"attn_output", "attn.c_proj", GgufChange::kTransposed},
    {"ffn_up", "mlp.c_fc", GgufChange::kTransposed},
    {"ffn_down", "mlp.c_proj", GgufChange::kTransposed},
};

inline constexpr GgufModule kBigCodeLayer[] = {
    {"attn_norm", "ln_1"},          {"ffn_norm", "ln_2"},   {"attn_qkv", "attn.c_attn"},
    {"attn_output", "attn.c_proj"}, {"ffn_up", "mlp.c_fc"}, {"ffn_down", "mlp.c_proj"},
};

inline constexpr GgufModule kGptNeoX[] = {{"token_embd", "gpt_neox.embed_in"},
                                          {"output_norm", "gpt_neox.final_layer_norm"},
                                          {"output", "embed_out"}};
inline constexpr GgufModule kGptNeoXLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_qkv", "attention.query_key_value", GgufChange::kSplitHeads},
    {"attn_output", "attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};

inline constexpr GgufModule kBloom[] = {
    {"token_embd", "transformer.word_embeddings"},
    {"token_embd_norm", "transformer.word_embeddings_layernorm"},
    {"output_norm", "transformer.ln_f"},
    {"output", "lm_head"}};
inline constexpr GgufModule kBloomLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_qkv", "self_attention.query_key_value", GgufChange::kSplitHeads},
    {"attn_output", "self_attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};

inline constexpr GgufModule kMpt[] = {{"token_embd", "transformer.wte"},
                                      {"output_norm", "transformer.norm_f"},
                                      {"output", "lm_head"}};
inline constexpr GgufModule kMptLayer[] = {
    {"attn_norm", "norm_1"},          {"ffn_norm", "norm_2"},    {"attn_qkv", "attn.Wqkv"},
    {"attn_output", "attn.out_proj"}, {"ffn_up", "ffn.up_proj"}, {"ffn_down", "ffn.down_proj"},
};

inline constexpr GgufModule kFalcon[] = {{"token_embd", "transformer.word_embeddings"},
                                         {"output_norm", "transformer.ln_f"},
                                         {"output", "lm_head"}};
inline constexpr GgufModule kFalconLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_qkv", "self_attention.query_key_value", GgufChange::kGroups},
    {"attn_output", "self_attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};
inline constexpr GgufModule kFalconOfTwoNormsLayer[] = {
    {"attn_norm", "ln_mlp"},
    {"attn_norm_2", "ln_attn"},
    {"attn_qkv", "self_attention.query_key_value", GgufChange::kGroups},
    {"attn_output", "self_attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
};

}  // namespace graft::converter
