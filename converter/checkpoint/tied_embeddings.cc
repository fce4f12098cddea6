// SPDX-License-Identifier: Apache-2.0
// Names of input embeddings and heads, and what config.json says about the tie.
#include "converter/checkpoint/tied_embeddings.h"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "converter/json/json.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {
namespace {

constexpr std::string_view kInputEndings[] = {"embed_tokens.weight",    "wte.weight",
                                              "word_embeddings.weight", "embed_in.weight",
                                              "tok_embeddings.weight",  "shared.weight"};
constexpr std::string_view kHeads[] = {"lm_head", "embed_out", "output_projection"};

// Class names of models that turn hidden states back into tokens.
bool Generates(std::string_view architecture) {
  return architecture.ends_with("ForCausalLM") || architecture.ends_with("LMHeadModel") ||
         architecture.ends_with("ForConditionalGeneration") ||
         architecture.ends_with("ForImageTextToText");
}

// The model types that transformers ties unless their config.json says otherwise.
bool IsUsuallyTied(std::string_view model_type) {
  constexpr std::string_view kTypes[] = {"bloom",        "cohere",      "cohere2",
                                         "ctrl",         "ernie4_5",    "falcon",
                                         "falcon_mamba", "gemma",       "gemma2",
                                         "gemma3",       "gemma3_text", "gemma3n",
                                         "gemma3n_text", "gemma4",      "gemma4_text",
                                         "gpt-sw3",      "gpt2",        "gpt_bigcode",
                                         "gpt_neo",      "jetmoe",      "lfm2",
                                         "lfm2_moe",     "mamba",       "mpt",
                                         "openai-gpt",   "opt",         "recurrent_gemma",
                                         "smollm3",      "starcoder2",  "vaultgemma",
                                         "xglm",         "youtu",       "zamba",
                                         "zamba2",       "bart",        "mbart",
                                         "marian",       "pegasus",     "blenderbot",
                                         "whisper",      "t5",          "mt5"};
  return std::find(std::begin(kTypes), std::end(kTypes), model_type) != std::end(kTypes);
}

}  // namespace

bool TiedEmbeddings::IsHeadModule(std::string_view module) {
  return std::any_of(std::begin(kHeads), std::end(kHeads),
                     [module](std::string_view head) { return NameEndsWith(module, head); });
}

Result<bool> TiedEmbeddings::TiedByConfig(const std::filesystem::path& config_file, bool has_head) {
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(config_file));
  const JsonValue root = document->root();
  if (root.Find("architectures").IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(const auto architectures, root.GetStrings("architectures"));
    if (std::none_of(architectures.begin(), architectures.end(), Generates)) return false;
  }
  bool unsaid = true;
  if (has_head) {
    GRAFT_ASSIGN_OR_RETURN(const std::string model, root.GetString("model_type", ""));
    unsaid = IsUsuallyTied(model);
  }
  // Older multimodal configs keep it one level down.
  GRAFT_ASSIGN_OR_RETURN(const bool inner,
                         root.Find("text_config").GetBool("tie_word_embeddings", unsaid));
  return root.GetBool("tie_word_embeddings", inner);
}

TiedEmbeddings TiedEmbeddings::FindNames(const TensorSource& base) {
  TiedEmbeddings found;
  const TensorInfo* input = nullptr;
  for (const TensorInfo& info : base.tensors()) {
    const std::string_view name = info.name;
    if (IsHeadModule(ModuleOfWeight(name))) {
      found.has_head = true;
      found.head = name;
    }
    const bool named =
        std::any_of(std::begin(kInputEndings), std::end(kInputEndings),
                    [name](std::string_view ending) { return NameEndsWith(name, ending); });
    // Of several, as encoder-decoder models have them, the largest vocabulary is the one a head
    // would share.
    if (named && info.shape.size() == 2 && (input == nullptr || info.shape[0] > input->shape[0]))
      input = &info;
  }
  if (input == nullptr) return found;
  found.input = input->name;
  if (found.has_head) return found;
  if (input->name.starts_with("language_model.")) {
    found.head = "language_model.lm_head.weight";
  } else {
    found.head = NameEndsWith(input->name, "embed_in.weight") ? "embed_out.weight"  // GPT-NeoX
                                                              : "lm_head.weight";
  }
  return found;
}

std::string TiedEmbeddings::InputName(const TensorSource& base) {
  for (const TensorInfo& info : base.tensors()) {
    const std::string_view name = info.name;
    if (name.starts_with("gpt_neox.layers.0.")) return "gpt_neox.embed_in.weight";
    for (const auto& [layer, input] :
         {std::pair<std::string_view, std::string_view>{"layers.0.", "embed_tokens.weight"},
          {"h.0.", "wte.weight"}}) {
      const size_t at = name.find(layer);
      if (at == std::string_view::npos || (at > 0 && name[at - 1] != '.')) continue;
      return std::string(name.substr(0, at)) + std::string(input);
    }
  }
  return {};
}

Result<TiedEmbeddings> TiedEmbeddings::Find(const TensorSource& base,
                                            const std::filesystem::path& folder, bool causal) {
  TiedEmbeddings found = FindNames(base);
  if (found.input.empty()) return found;
  std::error_code error;
  const std::filesystem::path config = folder / "config.json";
  if (std::filesystem::exists(config, error)) {
    GRAFT_ASSIGN_OR_RETURN(found.tied, TiedByConfig(config, found.has_head));
  } else {
    found.tied = causal && !found.has_head &&
                 (found.input.starts_with("model.") || found.input.starts_with("transformer."));
  }
  return found;
}

}  // namespace graft::converter
