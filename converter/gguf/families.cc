// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families.h"

#include <algorithm>

#include "converter/base/sanitize.h"
#include "converter/gguf/family_names.h"

namespace graft::converter {
namespace {

// One architecture stands for BERT and those like it.
Result<GgufFamily> BertKind(const GgufParts& parts, GgufFamily family) {
  const GgufHeader& header = parts.header();
  if (parts.Find("token_types.weight") == nullptr) return DistilBertFamily();
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
  for (const GgufFamily& family : GgufFamilies()) {
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
  if (family.architecture == "bert") return BertKind(parts, family);
  const GgufHeader& header = parts.header();
  if (family.architecture != "llama" || !header.Has("llama.expert_count")) return family;
  GRAFT_ASSIGN_OR_RETURN(const int64_t experts, header.GetInt("llama.expert_count"));
  return experts > 0 ? MixtralFamily() : family;
}

Result<GgufFamily> FindGgufFamilyOfAdapter(const GgufHeader& header, std::string_view base_type) {
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family, FamilyByName(header));
  if (base_type == MixtralFamily().model_type && family.architecture == "llama")
    return MixtralFamily();
  const bool is_distilled =
      family.architecture == "bert" && base_type == DistilBertFamily().model_type;
  return is_distilled ? DistilBertFamily() : family;
}

bool IsJoinedToAnother(const GgufFamily& family, std::string_view name) {
  const GgufModule* gates = FindModule(family.layer_modules, "ffn_gate_exps");
  return gates != nullptr && gates->change == GgufChange::kGatesAndUps &&
         name.ends_with(".ffn_up_exps.weight");
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
  std::string model_name = before + std::string(module->name);
  if (module->change != GgufChange::kWithoutEnding) model_name += ending;
  // A task's model has the encoder in a module of its own.
  const bool is_head = model_name.starts_with("classifier.");
  if (family.model_class.ends_with("ForSequenceClassification") && !is_head)
    model_name.insert(0, "roberta.");
  return model_name;
}

}  // namespace graft::converter
