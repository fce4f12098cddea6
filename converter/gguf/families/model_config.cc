// SPDX-License-Identifier: Apache-2.0
// What all families say is set first, then what each has of its own.
#include "converter/gguf/families/model_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/gguf/families/family_settings.h"
#include "converter/gguf/families/gguf_settings.h"
#include "converter/gguf/families/rope_config.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxSize = int64_t{1} << 24;
constexpr int64_t kMaxHeads = 65536;

class ConfigMaker {
 public:
  ConfigMaker(const GgufParts& parts, const GgufFamily& family)
      : parts_(parts),
        family_(family),
        settings_(parts.header(), std::string(family.architecture)) {}

  Result<std::string> Make() {
    config_["architectures"] = Json::array({std::string(family_.model_class)});
    config_["model_type"] = std::string(family_.model_type);
    GRAFT_RETURN_IF_ERROR(SetSizes());
    GRAFT_RETURN_IF_ERROR(RefuseOthers());
    GRAFT_RETURN_IF_ERROR(SetTokens());
    SetType();
    const std::string_view kind = family_.architecture;
    if (kind == "bert") {
      GRAFT_RETURN_IF_ERROR(SetBert());
    } else if (kind == "modern-bert") {
      GRAFT_RETURN_IF_ERROR(SetModernBert());
    } else if (kind == "nomic-bert") {
      GRAFT_RETURN_IF_ERROR(SetNomic());
    } else if (kind == "gpt2" || kind == "starcoder") {
      GRAFT_RETURN_IF_ERROR(SetGpt2());
    } else if (!HasAttention(family_)) {
      config_["hidden_size"] = hidden_;
      config_["num_hidden_layers"] = layers_;
      config_["max_position_embeddings"] = positions_;
      GRAFT_RETURN_IF_ERROR(AddFamilySettings(parts_, settings_, family_, &config_));
    } else if (kind == "gptneox") {
      GRAFT_RETURN_IF_ERROR(SetGptNeoX());
    } else {
      GRAFT_RETURN_IF_ERROR(SetGatedDecoder());
    }
    return config_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }

 private:
  const GgufTensor* FindTensor(std::string_view name) const { return parts_.Find(name); }
  Status SetSizes();
  Status RefuseOthers() const;
  Status SetTokens();
  void SetType();
  Status SetBert();
  Status SetDistilBert();
  Status SetNomic();
  void SetUsualSizes();
  Status SetModernBert();
  Status SetLabels();
  Status SetGpt2();
  Status SetGptNeoX();
  Status SetGatedDecoder();
  Status SetGemma();
  Status SetGranite();
  Status SetNumber(const char* key, const char* name, double usual);

  const GgufParts& parts_;
  const GgufFamily& family_;
  const GgufSettings settings_;
  Json config_ = Json::object();
  int64_t hidden_ = 0;
  int64_t layers_ = 0;
  int64_t heads_ = 0;
  int64_t head_dim_ = 0;
  int64_t mlp_hidden_ = 0;
  int64_t positions_ = 0;
};

Status ConfigMaker::SetSizes() {
  GRAFT_ASSIGN_OR_RETURN(hidden_, settings_.GetIntIn("embedding_length", 1, kMaxSize));
  GRAFT_ASSIGN_OR_RETURN(layers_, ModelLayers(settings_));
  GRAFT_ASSIGN_OR_RETURN(positions_, settings_.GetIntIn("context_length", 1, kMaxSize));
  const GgufTensor* embedding = FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return Error(StatusCode::kCorrupt, "%s: has no matrix 'token_embd.weight'",
                 parts_.path().c_str());
  }
  config_["vocab_size"] = embedding->shape[0];
  if (!HasAttention(family_)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(heads_, settings_.GetForAllLayers("attention.head_count", 1, kMaxHeads));
  // Gemma 4's layers differ in it, in a way that its other settings tell.
  GRAFT_ASSIGN_OR_RETURN(mlp_hidden_,
                         family_.architecture == "gemma4"
                             ? settings_.GetFirst("feed_forward_length", 1, kMaxSize)
                             : settings_.GetForAllLayers("feed_forward_length", 1, kMaxSize));
  GRAFT_ASSIGN_OR_RETURN(head_dim_,
                         settings_.GetIntIn("attention.key_length", 1, kMaxSize, hidden_ / heads_));
  GRAFT_ASSIGN_OR_RETURN(const int64_t value_dim,
                         settings_.GetIntIn("attention.value_length", 1, kMaxSize, head_dim_));
  if (head_dim_ == value_dim && head_dim_ > 0) return OkStatus();
  return settings_.Fail("attention.value_length", "is not that of keys");
}

// What changes a model and is no part of these families as graft knows them.
Status ConfigMaker::RefuseOthers() const {
  constexpr const char* kOthers[] = {"expert_count", "attention.clamp_kqv",
                                     "attention.max_alibi_bias"};
  const bool are_known[] = {HasExperts(family_), ClipsAttention(family_),
                            family_.architecture == "mpt"};
  for (size_t i = 0; i < std::size(kOthers); ++i) {
    if (are_known[i]) continue;
    const char* key = kOthers[i];
    GRAFT_ASSIGN_OR_RETURN(const double value, settings_.GetNumber(key, 0.0));
    if (value != 0.0) return settings_.Fail(key, "is not 0, which graft does not convert");
  }
  const bool looks_back = !IsEncoder(family_);
  GRAFT_ASSIGN_OR_RETURN(const bool causal, settings_.GetBool("attention.causal", looks_back));
  if (causal == looks_back) return OkStatus();
  return settings_.Fail("attention.causal", causal ? "is true, of an encoder"
                                                   : "is false, which graft does not convert");
}

Status ConfigMaker::SetTokens() {
  constexpr std::pair<const char*, const char*> kTokens[] = {
      {"tokenizer.ggml.bos_token_id", "bos_token_id"},
      {"tokenizer.ggml.eos_token_id", "eos_token_id"},
      {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
  for (const auto& [key, name] : kTokens) {
    if (!parts_.header().Has(key)) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, parts_.header().GetInt(key));
    // Some files say -1, as a u32, where there is none.
    if (id >= 0 && id < config_["vocab_size"].get<int64_t>()) config_[name] = id;
  }
  return OkStatus();
}

// The type that the weights had, where it can be told.
void ConfigMaker::SetType() {
  const DType type = FindTensor("token_embd.weight")->type->plain;
  config_["torch_dtype"] = type == DType::kBFloat16  ? "bfloat16"
                           : type == DType::kFloat16 ? "float16"
                                                     : "float32";
}

Status ConfigMaker::SetNumber(const char* key, const char* name, double usual) {
  GRAFT_ASSIGN_OR_RETURN(const double number, settings_.GetNumber(key, usual));
  config_[name] = number;
  return OkStatus();
}

Status ConfigMaker::SetBert() {
  GRAFT_RETURN_IF_ERROR(SetNumber("attention.layer_norm_epsilon", "layer_norm_eps", 1e-12));
  const GgufTensor* table = FindTensor("position_embd.weight");
  if (table == nullptr || table->shape.size() != 2)
    return Error(StatusCode::kCorrupt, "%s: has no matrix 'position_embd.weight'",
                 parts_.path().c_str());
  int64_t rows = table->shape[0];
  // RoBERTa's first rows, which no text reads, are left out of the file.
  if (family_.model_type.ends_with("roberta")) {
    if (!config_.contains("pad_token_id")) config_["pad_token_id"] = 1;
    rows += config_["pad_token_id"].get<int64_t>() + 1;
  }
  config_["max_position_embeddings"] = rows;
  if (family_.model_type == "distilbert") return SetDistilBert();
  config_["hidden_size"] = hidden_;
  config_["intermediate_size"] = mlp_hidden_;
  config_["num_hidden_layers"] = layers_;
  config_["num_attention_heads"] = heads_;
  config_["hidden_act"] = "gelu";
  const GgufTensor* types = FindTensor("token_types.weight");
  config_["type_vocab_size"] = types->shape.size() == 2 ? types->shape[0] : 1;
  return SetLabels();
}

// The names of a head's scores.
Status ConfigMaker::SetLabels() {
  if (!family_.model_class.ends_with("ForSequenceClassification")) return OkStatus();
  std::vector<std::string_view> labels;
  if (settings_.Has("classifier.output_labels")) {
    GRAFT_ASSIGN_OR_RETURN(labels,
                           parts_.header().GetStrings(settings_.Key("classifier.output_labels")));
  }
  const GgufTensor* scores = FindTensor("cls.output.weight");
  const int64_t count = scores->shape.empty() ? 0 : scores->shape[0];
  Json names = Json::object();
  for (int64_t i = 0; i < std::min<int64_t>(count, kMaxHeads); ++i) {
    const auto at = static_cast<size_t>(i);
    names[std::to_string(i)] =
        at < labels.size() ? std::string(labels[at]) : "LABEL_" + std::to_string(i);
  }
  config_["id2label"] = std::move(names);
  return OkStatus();
}

Status ConfigMaker::SetDistilBert() {
  config_.erase("layer_norm_eps");
  config_["dim"] = hidden_;
  config_["hidden_dim"] = mlp_hidden_;
  config_["n_layers"] = layers_;
  config_["n_heads"] = heads_;
  config_["activation"] = "gelu";
  return OkStatus();
}

// Under the names that most families have for them.
void ConfigMaker::SetUsualSizes() {
  config_["hidden_size"] = hidden_;
  config_["intermediate_size"] = mlp_hidden_;
  config_["num_hidden_layers"] = layers_;
  config_["num_attention_heads"] = heads_;
  config_["max_position_embeddings"] = positions_;
}

Status ConfigMaker::SetNomic() {
  SetUsualSizes();
  config_["hidden_act"] = "silu";
  const GgufTensor* types = FindTensor("token_types.weight");
  config_["type_vocab_size"] = types != nullptr && types->shape.size() == 2 ? types->shape[0] : 1;
  GRAFT_RETURN_IF_ERROR(DescribeRope(parts_, settings_, head_dim_, &config_));
  return SetNumber("attention.layer_norm_epsilon", "layer_norm_eps", 1e-12);
}

Status ConfigMaker::SetModernBert() {
  SetUsualSizes();
  GRAFT_RETURN_IF_ERROR(AddFamilySettings(parts_, settings_, family_, &config_));
  return SetLabels();
}

Status ConfigMaker::SetGpt2() {
  config_["n_embd"] = hidden_;
  config_["n_inner"] = mlp_hidden_;
  config_["n_layer"] = layers_;
  config_["n_head"] = heads_;
  config_["n_positions"] = positions_;
  const bool is_big_code = family_.architecture == "starcoder";
  config_["activation_function"] = is_big_code ? "gelu_pytorch_tanh" : "gelu_new";
  if (is_big_code) config_["multi_query"] = true;
  config_["tie_word_embeddings"] = FindTensor("output.weight") == nullptr;
  return SetNumber("attention.layer_norm_epsilon", "layer_norm_epsilon", 1e-5);
}

Status ConfigMaker::SetGptNeoX() {
  SetUsualSizes();
  config_["hidden_act"] = "gelu";
  config_["tie_word_embeddings"] = FindTensor("output.weight") == nullptr;
  GRAFT_ASSIGN_OR_RETURN(const bool parallel, settings_.GetBool("use_parallel_residual", true));
  config_["use_parallel_residual"] = parallel;
  GRAFT_ASSIGN_OR_RETURN(const int64_t rotated,
                         settings_.GetIntIn("rope.dimension_count", 2, head_dim_, head_dim_));
  // A share that gives this many elements back, however it is rounded.
  config_["rotary_pct"] = static_cast<double>(rotated) / static_cast<double>(head_dim_);
  GRAFT_RETURN_IF_ERROR(SetNumber("rope.freq_base", "rotary_emb_base", 10000.0));
  return SetNumber("attention.layer_norm_epsilon", "layer_norm_eps", 1e-5);
}

Status ConfigMaker::SetGatedDecoder() {
  config_["hidden_size"] = hidden_;
  config_["intermediate_size"] = mlp_hidden_;
  config_["num_hidden_layers"] = layers_;
  config_["num_attention_heads"] = heads_;
  int64_t kv_heads = heads_;
  const bool is_gemma4 = family_.architecture == "gemma4";
  if (settings_.Has("attention.head_count_kv") && !is_gemma4) {
    GRAFT_ASSIGN_OR_RETURN(kv_heads,
                           settings_.GetForSomeLayers("attention.head_count_kv", kMaxHeads));
  }
  config_["num_key_value_heads"] = kv_heads;
  config_["head_dim"] = head_dim_;
  config_["max_position_embeddings"] = positions_;
  config_["tie_word_embeddings"] = FindTensor("output.weight") == nullptr;
  config_["hidden_act"] = "silu";
  config_["attention_bias"] =
      FindTensor("blk.0.attn_q.bias") != nullptr && family_.model_type != "qwen2";
  config_["mlp_bias"] = FindTensor("blk.0.ffn_down.bias") != nullptr;
  GRAFT_RETURN_IF_ERROR(SetNumber("attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-6));
  if (!is_gemma4) GRAFT_RETURN_IF_ERROR(DescribeRope(parts_, settings_, head_dim_, &config_));
  const bool is_later_gemma = family_.architecture == "gemma3n" || is_gemma4;
  if (family_.architecture.starts_with("gemma") && !is_later_gemma) return SetGemma();
  if (family_.architecture.starts_with("granite")) GRAFT_RETURN_IF_ERROR(SetGranite());
  if (family_.architecture == "smollm3") config_["no_rope_layer_interval"] = 4;
  // Phi 3's files say 0 for none. Those of others that have the setting are none of these families.
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         settings_.GetIntIn("attention.sliding_window", 0, kMaxSize, 0));
  if (family_.architecture == "phi3" && window > 0) config_["sliding_window"] = window;
  GRAFT_RETURN_IF_ERROR(AddFamilySettings(parts_, settings_, family_, &config_));
  if (window == 0 || config_.contains("sliding_window")) return OkStatus();
  return settings_.Fail("attention.sliding_window", "is set, which graft does not convert");
}

Status ConfigMaker::SetGemma() {
  config_.erase("hidden_act");
  config_.erase("mlp_bias");
  config_["hidden_activation"] = "gelu_pytorch_tanh";
  if (family_.architecture == "gemma") {
    config_["hidden_act"] = "gelu_pytorch_tanh";
    return OkStatus();
  }
  // The largest of each generation scales by its width; that is not in the file.
  const int64_t largest = family_.architecture == "gemma2" ? 46 : 62;
  config_["query_pre_attn_scalar"] = layers_ == largest ? hidden_ / heads_ : head_dim_;
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         settings_.GetIntIn("attention.sliding_window", 0, kMaxSize, 0));
  if (window > 0) config_["sliding_window"] = window;
  if (family_.architecture == "gemma2") {
    GRAFT_RETURN_IF_ERROR(SetNumber("attn_logit_softcapping", "attn_logit_softcapping", 50.0));
    return SetNumber("final_logit_softcapping", "final_logit_softcapping", 30.0);
  }
  // Every sixth layer sees all; the others have a rope of their own.
  config_["sliding_window_pattern"] = 6;
  if (window == 0)
    config_["layer_types"] =
        std::vector<std::string>(static_cast<size_t>(layers_), "full_attention");
  if (settings_.Has("final_logit_softcapping"))
    GRAFT_RETURN_IF_ERROR(SetNumber("final_logit_softcapping", "final_logit_softcapping", 0.0));
  return SetNumber("rope.freq_base_swa", "rope_local_base_freq", 10000.0);
}

Status ConfigMaker::SetGranite() {
  GRAFT_RETURN_IF_ERROR(SetNumber("embedding_scale", "embedding_multiplier", 1.0));
  GRAFT_RETURN_IF_ERROR(SetNumber("residual_scale", "residual_multiplier", 1.0));
  GRAFT_RETURN_IF_ERROR(SetNumber("logit_scale", "logits_scaling", 1.0));
  GRAFT_ASSIGN_OR_RETURN(const auto scale, settings_.FindNumber("attention.scale"));
  // Without it llama.cpp scales as Llama does.
  config_["attention_multiplier"] =
      scale && *scale != 0.0 ? *scale : 1.0 / std::sqrt(static_cast<double>(head_dim_));
  return OkStatus();
}

}  // namespace

Result<std::string> GgufModelConfig(const GgufParts& parts, const GgufFamily& family) {
  return ConfigMaker(parts, family).Make();
}

}  // namespace graft::converter
