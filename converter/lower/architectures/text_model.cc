// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/text_model.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace graft::converter {
namespace {

// Causal everywhere while no picture is among the tokens.
constexpr std::string_view kWithOtherParts[] = {"gemma3",   "gemma3n", "mistral3",      "smolvlm",
                                                "idefics3", "llava",   "llava_next",    "lfm2_vl",
                                                "qwen3_5",  "gemma4",  "gemma4_unified"};
// Where releases and transformers 4 and 5 put the text model, and its head.
constexpr std::string_view kModels[] = {"language_model.model.", "model.language_model.",
                                        "model.text_model."};
constexpr std::string_view kHeads[] = {"lm_head.", "language_model.lm_head."};

}  // namespace

Result<TextModel> FindTextModel(const JsonValue& config, GraphBuilder& graph) {
  GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("model_type"));
  const bool known = std::find(std::begin(kWithOtherParts), std::end(kWithOtherParts), type) !=
                     std::end(kWithOtherParts);
  if (!known || !config.Find("text_config").IsObject()) return TextModel{config, std::nullopt};
  if (const JsonValue architectures = config.Find("architectures"); architectures.size() > 0) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view name, architectures.at(0).AsString());
    if (!name.ends_with("ForConditionalGeneration")) {
      return architectures.at(0).Fail("is " + architectures.at(0).Text() +
                                          "; of models with parts that see this version converts "
                                          "ForConditionalGeneration, for its text",
                                      StatusCode::kUnsupported);
    }
  }
  for (const std::string_view model : kModels) {
    if (graph.Has(std::string(model) + "embed_tokens.weight")) graph.Rename("model.", model);
  }
  bool has_head = false;
  for (const std::string_view head : kHeads) {
    if (has_head || !graph.Has(std::string(head) + "weight")) continue;
    graph.Rename("lm_head.", head);
    has_head = true;
  }
  GRAFT_ASSIGN_OR_RETURN(const bool tied, config.GetBool("tie_word_embeddings", !has_head));
  return TextModel{config.Find("text_config"), tied};
}

}  // namespace graft::converter
