// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families/family_names.h"

#include <array>

#include "converter/gguf/families/expert_names.h"
#include "converter/gguf/families/gpt_names.h"
#include "converter/gguf/families/name_parts.h"
#include "converter/gguf/families/state_names.h"

namespace graft::converter {
namespace {

constexpr GgufModule kDecoder[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

// Before each half of a layer a norm; rotary pairs of Llama's kind.
constexpr auto kLlamaLayer = JoinModules(kNorms, kPairedAttention, kGatedMlp);

// The same without pairs; Qwen 3 has norms of heads.
constexpr auto kQwenLayer = JoinModules(
    kNorms, kAttention, kHeadNorms, kGatedMlp,
    std::to_array<GgufModule>({
        {"post_attention_norm", "post_attention_layernorm"},  // Seed-OSS has it in ffn_norm's place
    }));

constexpr auto kHunyuanLayer = JoinModules(kNorms, kAttention, kGatedMlp,
                                           std::to_array<GgufModule>({
                                               {"attn_q_norm", "self_attn.query_layernorm"},
                                               {"attn_k_norm", "self_attn.key_layernorm"},
                                           }));

// Norms before and after each half.
constexpr auto kGemmaLayer = JoinModules(kFourNorms, kAttention, kHeadNorms, kGatedMlp);

// Gemma 3n: several streams of rows, narrow branches beside attention, embeddings for each layer.
// Gemma 4 has the last, and a number that each layer's result is multiplied by.
constexpr GgufModule kGemma3n[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"altup_proj", "model.altup_projections.{}", GgufChange::kEach},
    {"altup_unembd_proj", "model.altup_unembed_projections.{}", GgufChange::kEach},
    {"per_layer_token_embd", "model.embed_tokens_per_layer"},
    {"per_layer_model_proj", "model.per_layer_model_projection"},
    {"per_layer_proj_norm", "model.per_layer_projection_norm"},
};
constexpr auto kGemma3nLayer =
    JoinModules(kFourNorms, kAttention, kHeadNorms, kGatedMlp,
                std::to_array<GgufModule>({
                    {"altup_correct_scale.weight", "altup.correct_output_scale"},
                    {"altup_correct_coef", "altup.correction_coefs"},
                    {"altup_predict_coef", "altup.prediction_coefs"},
                    {"altup_router", "altup.modality_router"},
                    {"altup_router_norm", "altup.router_norm"},
                    {"laurel_l", "laurel.linear_left"},
                    {"laurel_r", "laurel.linear_right"},
                    {"laurel_post_norm", "laurel.post_laurel_norm"},
                    {"inp_gate", "per_layer_input_gate"},
                    {"proj", "per_layer_projection"},
                    {"post_norm", "post_per_layer_input_norm"},
                    {"layer_output_scale.weight", "layer_scalar"},
                }));

// Norms after each half, and of all query and key heads together.
constexpr auto kOlmo2Layer = JoinModules(kAttention, kHeadNorms, kGatedMlp,
                                         std::to_array<GgufModule>({
                                             {"post_attention_norm", "post_attention_layernorm"},
                                             {"post_ffw_norm", "post_feedforward_layernorm"},
                                         }));

// Attention and MLP beside each other behind one norm; heads turn by neighbours, as stored.
constexpr auto kCohereLayer = JoinModules(kAttention, kHeadNorms, kGatedMlp,
                                          std::to_array<GgufModule>({
                                              {"attn_norm", "input_layernorm"},
                                          }));

constexpr auto kGlm4Layer = JoinModules(kNorms, kAttention,
                                        std::to_array<GgufModule>({
                                            {"post_attention_norm", "post_self_attn_layernorm"},
                                            {"post_ffw_norm", "post_mlp_layernorm"},
                                            {"ffn_up", "mlp.gate_up_proj"},
                                            {"ffn_down", "mlp.down_proj"},
                                        }));

constexpr auto kStarcoder2Layer = JoinModules(kNorms, kAttention,
                                              std::to_array<GgufModule>({
                                                  {"ffn_up", "mlp.c_fc"},
                                                  {"ffn_down", "mlp.c_proj"},
                                              }));

// Norms of heads, each a module of its own.
constexpr auto kStableLmLayer =
    JoinModules(kNorms, kAttention, kGatedMlp,
                std::to_array<GgufModule>({
                    {"attn_q_norm", "self_attn.q_layernorm.norms.{}", GgufChange::kEach},
                    {"attn_k_norm", "self_attn.k_layernorm.norms.{}", GgufChange::kEach},
                }));

constexpr GgufModule kPhi2[] = {{"token_embd", "model.embed_tokens"},
                                {"output_norm", "model.final_layernorm"},
                                {"output", "lm_head"}};
constexpr GgufModule kPhi2Layer[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.dense"},
    {"ffn_up", "mlp.fc1"},
    {"ffn_down", "mlp.fc2"},
};

constexpr GgufModule kLfm2[] = {{"token_embd", "model.embed_tokens"},
                                {"token_embd_norm", "model.embedding_norm"},
                                {"output_norm", "model.embedding_norm"},
                                {"output", "lm_head"}};
constexpr GgufModule kLfm2Layer[] = {
    {"attn_norm", "operator_norm"},
    {"ffn_norm", "ffn_norm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_layernorm"},
    {"attn_k_norm", "self_attn.k_layernorm"},
    {"attn_output", "self_attn.out_proj"},
    {"shortconv.conv", "conv.conv", GgufChange::kOneChannel},
    {"shortconv.in_proj", "conv.in_proj"},
    {"shortconv.out_proj", "conv.out_proj"},
    {"ffn_gate", "feed_forward.w1"},
    {"ffn_up", "feed_forward.w3"},
    {"ffn_down", "feed_forward.w2"},
    {"ffn_gate_inp", "feed_forward.gate"},
    {"exp_probs_b.bias", "feed_forward.expert_bias"},
    {"ffn_gate_exps", "feed_forward.experts.{}.w1", GgufChange::kEach},
    {"ffn_up_exps", "feed_forward.experts.{}.w3", GgufChange::kEach},
    {"ffn_down_exps", "feed_forward.experts.{}.w2", GgufChange::kEach},
};

constexpr GgufModule kPhi3Layer[] = {
    {"attn_norm", "input_layernorm"},   {"ffn_norm", "post_attention_layernorm"},
    {"attn_qkv", "self_attn.qkv_proj"}, {"attn_output", "self_attn.o_proj"},
    {"ffn_up", "mlp.gate_up_proj"},     {"ffn_down", "mlp.down_proj"},
};

// Encoders: the bare model, and the head of RoBERTa's that scores texts.
constexpr GgufModule kBert[] = {{"token_embd", "embeddings.word_embeddings"},
                                {"position_embd", "embeddings.position_embeddings"},
                                {"token_types", "embeddings.token_type_embeddings"},
                                {"token_embd_norm", "embeddings.LayerNorm"},
                                {"cls", "classifier.dense"},
                                {"cls.output", "classifier.out_proj"}};
constexpr GgufModule kBertLayer[] = {
    {"attn_q", "attention.self.query"},
    {"attn_k", "attention.self.key"},
    {"attn_v", "attention.self.value"},
    {"attn_output", "attention.output.dense"},
    {"attn_output_norm", "attention.output.LayerNorm"},
    {"ffn_up", "intermediate.dense"},
    {"ffn_down", "output.dense"},
    {"layer_output_norm", "output.LayerNorm"},
};
constexpr GgufModule kDistilBertLayer[] = {
    {"attn_q", "attention.q_lin"},
    {"attn_k", "attention.k_lin"},
    {"attn_v", "attention.v_lin"},
    {"attn_output", "attention.out_lin"},
    {"attn_output_norm", "sa_layer_norm"},
    {"ffn_up", "ffn.lin1"},
    {"ffn_down", "ffn.lin2"},
    {"layer_output_norm", "output_layer_norm"},
};

// As its authors' code names them.
constexpr GgufModule kNomic[] = {{"token_embd", "embeddings.word_embeddings"},
                                 {"token_types", "embeddings.token_type_embeddings"},
                                 {"token_embd_norm", "emb_ln"}};
constexpr GgufModule kNomicLayer[] = {
    {"attn_qkv", "attn.Wqkv"},      {"attn_output", "attn.out_proj"}, {"attn_output_norm", "norm1"},
    {"ffn_up", "mlp.fc11"},         {"ffn_gate", "mlp.fc12"},         {"ffn_down", "mlp.fc2"},
    {"layer_output_norm", "norm2"},
};

// Norms before each half; the scores of its rows or texts come through a dense layer and a norm.
constexpr GgufModule kModernBert[] = {{"token_embd", "embeddings.tok_embeddings"},
                                      {"token_embd_norm", "embeddings.norm"},
                                      {"output_norm", "final_norm"},
                                      {"cls", "head.dense"},
                                      {"cls.norm", "head.norm"},
                                      {"cls.output", "classifier"}};
constexpr GgufModule kModernBertLayer[] = {
    {"attn_norm", "attn_norm"}, {"attn_qkv", "attn.Wqkv"}, {"attn_output", "attn.Wo"},
    {"ffn_norm", "mlp_norm"},   {"ffn_up", "mlp.Wi"},      {"ffn_down", "mlp.Wo"},
};

constexpr std::string_view kLayers = "model.layers.";
constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"granite", "granite", "GraniteForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"granitemoe", "granitemoe", "GraniteMoeForCausalLM", kLayers, kDecoder, kGraniteExpertsLayer},
    {"arcee", "arcee", "ArceeForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"mistral3", "ministral3", "Ministral3ForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"olmo", "olmo", "OlmoForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"seed_oss", "seed_oss", "SeedOssForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"hunyuan-dense", "hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", kLayers, kDecoder,
     kHunyuanLayer},
    {"ernie4_5", "ernie4_5", "Ernie4_5ForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"nemotron", "nemotron", "NemotronForCausalLM", kLayers, kDecoder, kQwenLayer, true},
    {"stablelm", "stablelm", "StableLmForCausalLM", kLayers, kDecoder, kStableLmLayer},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", kLayers, kDecoder, kStarcoder2Layer},
    {"phi2", "phi", "PhiForCausalLM", kLayers, kPhi2, kPhi2Layer},
    {"command-r", "cohere", "CohereForCausalLM", kLayers, kDecoder, kCohereLayer},
    {"cohere2", "cohere2", "Cohere2ForCausalLM", kLayers, kDecoder, kCohereLayer},
    {"chatglm", "glm", "GlmForCausalLM", kLayers, kDecoder, kGlm4Layer},
    {"glm4", "glm4", "Glm4ForCausalLM", kLayers, kDecoder, kGlm4Layer},
    {"exaone4", "exaone4", "Exaone4ForCausalLM", kLayers, kDecoder, kOlmo2Layer},
    {"lfm2", "lfm2", "Lfm2ForCausalLM", kLayers, kLfm2, kLfm2Layer},
    {"lfm2moe", "lfm2_moe", "Lfm2MoeForCausalLM", kLayers, kLfm2, kLfm2Layer},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", kLayers, kDecoder, kQwenExpertsLayer},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", kLayers, kDecoder, kQwenExpertsLayer},
    {"olmoe", "olmoe", "OlmoeForCausalLM", kLayers, kDecoder, kQwenExpertsLayer},
    {"phi3", "phi3", "Phi3ForCausalLM", kLayers, kDecoder, kPhi3Layer},
    {"gemma", "gemma", "GemmaForCausalLM", kLayers, kDecoder, kQwenLayer, true},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", kLayers, kDecoder, kGemmaLayer, true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", kLayers, kDecoder, kGemmaLayer, true},
    {"gemma3n", "gemma3n_text", "Gemma3nForCausalLM", kLayers, kGemma3n, kGemma3nLayer},
    {"gemma4", "gemma4_text", "Gemma4ForCausalLM", kLayers, kGemma3n, kGemma3nLayer},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", kLayers, kDecoder, kOlmo2Layer},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "transformer.h.", kGpt2, kGpt2Layer},
    {"starcoder", "gpt_bigcode", "GPTBigCodeForCausalLM", "transformer.h.", kGpt2, kBigCodeLayer},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", "gpt_neox.layers.", kGptNeoX, kGptNeoXLayer},
    {"gpt-oss", "gpt_oss", "GptOssForCausalLM", kLayers, kDecoder, kGptOssLayer},
    {"bloom", "bloom", "BloomForCausalLM", "transformer.h.", kBloom, kBloomLayer},
    {"mpt", "mpt", "MptForCausalLM", "transformer.blocks.", kMpt, kMptLayer},
    {"falcon", "falcon", "FalconForCausalLM", "transformer.h.", kFalcon, kFalconLayer},
    {"mamba", "mamba", "MambaForCausalLM", "backbone.layers.", kMamba, kMambaLayer},
    {"mamba2", "mamba2", "Mamba2ForCausalLM", "backbone.layers.", kMamba, kMamba2Layer},
    {"falcon-h1", "falcon_h1", "FalconH1ForCausalLM", kLayers, kFalconH1, kFalconH1Layer},
    {"granitehybrid", "granitemoehybrid", "GraniteMoeHybridForCausalLM", kLayers, kDecoder,
     kGraniteHybridLayer},
    {"qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", kLayers, kDecoder, kQwen35Layer, true,
     "linear_attn.norm"},
    {"nomic-bert", "nomic_bert", "NomicBertModel", "encoder.layers.", kNomic, kNomicLayer},
    {"modern-bert", "modernbert", "ModernBertModel", "layers.", kModernBert, kModernBertLayer},
    {"bert", "bert", "BertModel", "encoder.layer.", kBert, kBertLayer},
};
constexpr GgufFamily kMixtral = {"llama", "mixtral", "MixtralForCausalLM",
                                 kLayers, kDecoder,  kMixtralLayer};
constexpr GgufFamily kFalconOfTwoNorms = {"falcon",         "falcon", "FalconForCausalLM",
                                          "transformer.h.", kFalcon,  kFalconOfTwoNormsLayer};
constexpr GgufFamily kGraniteOfSharedExperts = {
    "granitemoe", "granitemoeshared", "GraniteMoeSharedForCausalLM",
    kLayers,      kDecoder,           kGraniteExpertsLayer};
constexpr GgufFamily kDistilBert = {
    "bert", "distilbert", "DistilBertModel", "transformer.layer.", kBert, kDistilBertLayer};

}  // namespace

std::span<const GgufFamily> GgufFamilies() { return kFamilies; }
const GgufFamily& MixtralFamily() { return kMixtral; }
const GgufFamily& FalconOfTwoNormsFamily() { return kFalconOfTwoNorms; }
const GgufFamily& GraniteOfSharedExpertsFamily() { return kGraniteOfSharedExperts; }
const GgufFamily& DistilBertFamily() { return kDistilBert; }

}  // namespace graft::converter
