// SPDX-License-Identifier: Apache-2.0
// Names of input embeddings and heads, and what config.json says about the tie.
#include "converter/checkpoint/tied_embeddings.h"

#include <algorithm>
#include <array>
#include <system_error>

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

}  // namespace

bool TiedEmbeddings::IsHeadModule(std::string_view module) {
  return std::any_of(std::begin(kHeads), std::end(kHeads),
                     [module](std::string_view head) { return NameEndsWith(module, head); });
}

Result<bool> TiedEmbeddings::TiedByConfig(const std::filesystem::path& config_file) {
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(config_file));
  const JsonValue root = document->root();
  if (root.Find("architectures").IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(const auto architectures, root.GetStrings("architectures"));
    if (std::none_of(architectures.begin(), architectures.end(), Generates)) return false;
  }
  // Older multimodal configs keep it one level down; a config that says nothing means transformers'
  // default, which is tied.
  GRAFT_ASSIGN_OR_RETURN(const bool inner,
                         root.Find("text_config").GetBool("tie_word_embeddings", true));
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
  found.head = input->name.starts_with("language_model.") ? "language_model.lm_head.weight"
                                                          : "lm_head.weight";
  return found;
}

Result<TiedEmbeddings> TiedEmbeddings::Find(const TensorSource& base,
                                            const std::filesystem::path& folder, bool causal) {
  TiedEmbeddings found = FindNames(base);
  if (found.has_head || found.input.empty()) return found;
  std::error_code error;
  const std::filesystem::path config = folder / "config.json";
  if (std::filesystem::exists(config, error)) {
    GRAFT_ASSIGN_OR_RETURN(found.tied, TiedByConfig(config));
  } else {
    found.tied =
        causal && (found.input.starts_with("model.") || found.input.starts_with("transformer."));
  }
  return found;
}

}  // namespace graft::converter
