// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families.h"

#include <algorithm>
#include <iterator>

#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

using Change = GgufChange;

constexpr GgufModule kDecoder[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

// Before each half of a layer a norm; rotary pairs of Llama's kind.
constexpr GgufModule kLlamaLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj", Change::kQueryPairs},
    {"attn_k", "self_attn.k_proj", Change::kKeyPairs},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// The same without pairs; Qwen 3 has norms of heads.
constexpr GgufModule kQwenLayer[] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// Norms before and after each half.
constexpr GgufModule kGemmaLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// Norms after each half, and of all query and key heads together.
constexpr GgufModule kOlmo2Layer[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

constexpr GgufModule kPhi3Layer[] = {
    {"attn_norm", "input_layernorm"},   {"ffn_norm", "post_attention_layernorm"},
    {"attn_qkv", "self_attn.qkv_proj"}, {"attn_output", "self_attn.o_proj"},
    {"ffn_up", "mlp.gate_up_proj"},     {"ffn_down", "mlp.down_proj"},
};

constexpr GgufModule kGpt2[] = {{"token_embd", "transformer.wte"},
                                {"position_embd", "transformer.wpe"},
                                {"output_norm", "transformer.ln_f"},
                                {"output", "lm_head"}};
constexpr GgufModule kGpt2Layer[] = {
    {"attn_norm", "ln_1"},
    {"ffn_norm", "ln_2"},
    {"attn_qkv", "attn.c_attn", Change::kTransposed},
    {"attn_output", "attn.c_proj", Change::kTransposed},
    {"ffn_up", "mlp.c_fc", Change::kTransposed},
    {"ffn_down", "mlp.c_proj", Change::kTransposed},
};

constexpr GgufModule kGptNeoX[] = {{"token_embd", "gpt_neox.embed_in"},
                                   {"output_norm", "gpt_neox.final_layer_norm"},
                                   {"output", "embed_out"}};
constexpr GgufModule kGptNeoXLayer[] = {
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
    {"attn_qkv", "attention.query_key_value", Change::kSplitHeads},
    {"attn_output", "attention.dense"},
    {"ffn_up", "mlp.dense_h_to_4h"},
    {"ffn_down", "mlp.dense_4h_to_h"},
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

constexpr std::string_view kLayers = "model.layers.";
constexpr GgufFamily kFamilies[] = {
    {"llama", "llama", "LlamaForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", kLayers, kDecoder, kQwenLayer},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"granite", "granite", "GraniteForCausalLM", kLayers, kDecoder, kLlamaLayer},
    {"phi3", "phi3", "Phi3ForCausalLM", kLayers, kDecoder, kPhi3Layer},
    {"gemma", "gemma", "GemmaForCausalLM", kLayers, kDecoder, kQwenLayer, true},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", kLayers, kDecoder, kGemmaLayer, true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", kLayers, kDecoder, kGemmaLayer, true},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", kLayers, kDecoder, kOlmo2Layer},
    {"gpt2", "gpt2", "GPT2LMHeadModel", "transformer.h.", kGpt2, kGpt2Layer},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", "gpt_neox.layers.", kGptNeoX, kGptNeoXLayer},
    {"bert", "bert", "BertModel", "encoder.layer.", kBert, kBertLayer},
};
constexpr GgufFamily kDistilBert = {
    "bert", "distilbert", "DistilBertModel", "transformer.layer.", kBert, kDistilBertLayer};

// One architecture stands for BERT and those like it.
Result<GgufFamily> BertKind(const GgufParts& parts, GgufFamily family) {
  const GgufHeader& header = parts.header();
  if (parts.Find("token_types.weight") == nullptr) return kDistilBert;
  if (!header.Has("tokenizer.ggml.model")) return family;
  GRAFT_ASSIGN_OR_RETURN(const std::string_view tokenizer,
                         header.GetString("tokenizer.ggml.model"));
  const bool classifies = parts.Find("cls.output.weight") != nullptr;
  if (tokenizer == "gpt2" || tokenizer == "t5") {
    const bool is_multilingual = tokenizer == "t5";
    family.model_type = is_multilingual ? "xlm-roberta" : "roberta";
    family.model_class = is_multilingual ? "XLMRobertaModel" : "RobertaModel";
    if (classifies) {
      family.model_class = is_multilingual ? "XLMRobertaForSequenceClassification"
                                           : "RobertaForSequenceClassification";
    }
  } else if (classifies) {
    return Error(StatusCode::kUnsupported,
                 "%s: is a BERT that scores texts without its pooler, which GGUF files leave out; "
                 "start from the checkpoint that it was made from",
                 header.path().c_str());
  }
  return family;
}

const GgufModule* FindModule(std::span<const GgufModule> modules, std::string_view stored) {
  const auto found = std::find_if(modules.begin(), modules.end(),
                                  [stored](const GgufModule& m) { return m.stored == stored; });
  return found != modules.end() ? &*found : nullptr;
}

Result<GgufFamily> FamilyByName(const GgufHeader& header) {
  GRAFT_ASSIGN_OR_RETURN(const std::string_view architecture,
                         header.GetString("general.architecture"));
  std::string known;
  for (const GgufFamily& family : kFamilies) {
    if (family.architecture == architecture) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return header.Fail("general.architecture",
                     "is \"" + Sanitize(architecture) + "\"; of GGUF files graft reads " + known,
                     StatusCode::kUnsupported);
}

}  // namespace

Result<GgufFamily> FindGgufFamily(const GgufParts& parts) {
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family, FamilyByName(parts.header()));
  return family.architecture == "bert" ? BertKind(parts, family) : Result<GgufFamily>(family);
}

Result<GgufFamily> FindGgufFamilyOfAdapter(const GgufHeader& header, std::string_view base_type) {
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family, FamilyByName(header));
  const bool is_distilled = family.architecture == "bert" && base_type == kDistilBert.model_type;
  return is_distilled ? kDistilBert : family;
}

std::string GgufNameInModel(const GgufFamily& family, std::string_view name, GgufChange* change) {
  *change = GgufChange::kNone;
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view ending = name.substr(dot);  // ".weight"
  std::string_view stored = name.substr(0, dot);
  std::span<const GgufModule> modules = family.modules;
  std::string before;
  constexpr std::string_view kBlock = "blk.";
  if (stored.starts_with(kBlock)) {
    stored.remove_prefix(kBlock.size());
    const size_t end = stored.find('.');
    const std::string_view layer = stored.substr(0, end);
    const bool is_number = !layer.empty() && layer.size() < 8 &&
                           layer.find_first_not_of("0123456789") == std::string_view::npos;
    if (end == std::string_view::npos || !is_number) return {};
    stored.remove_prefix(end + 1);
    modules = family.layer_modules;
    before = std::string(family.layers) + std::string(layer) + ".";
  }
  const GgufModule* module = FindModule(modules, stored);
  if (module == nullptr) return {};
  *change = module->change;
  if (module->change == GgufChange::kTransposed && ending != ".weight") *change = GgufChange::kNone;
  std::string model_name = before + std::string(module->name) + std::string(ending);
  // A task's model has the encoder in a module of its own.
  const bool is_head = model_name.starts_with("classifier.");
  if (family.model_class.ends_with("ForSequenceClassification") && !is_head)
    model_name.insert(0, "roberta.");
  return model_name;
}

}  // namespace graft::converter
