// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families/families.h"

#include <algorithm>

#include "converter/base/sanitize.h"
#include "converter/gguf/families/family_names.h"

namespace graft::converter {
namespace {

constexpr std::string_view kBlock = "blk.";

// "attn_q.weight" of "blk.7.attn_q.weight".
std::string_view WithoutLayer(std::string_view name) {
  name.remove_prefix(kBlock.size());
  return name.substr(name.find('.') + 1);
}

bool JoinsGatesAndUps(GgufChange change) {
  return change == GgufChange::kGatesAndUps || change == GgufChange::kGatesAndUpsInTurn;
}

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
  if (family.architecture == "modern-bert" && parts.Find("cls.output.weight") != nullptr) {
    GgufFamily scoring = family;
    scoring.model_class = "ModernBertForSequenceClassification";
    return scoring;
  }
  const GgufHeader& header = parts.header();
  if (family.architecture == "falcon" && parts.Find("blk.0.attn_norm_2.weight") != nullptr)
    return FalconOfTwoNormsFamily();
  if (family.architecture == "granitemoe" && parts.Find("blk.0.ffn_up_shexp.weight") != nullptr)
    return GraniteOfSharedExpertsFamily();
  if (family.architecture != "llama" || !header.Has("llama.expert_count")) return family;
  GRAFT_ASSIGN_OR_RETURN(const int64_t experts, header.GetInt("llama.expert_count"));
  return experts > 0 ? MixtralFamily() : family;
}

Result<GgufFamily> FindGgufFamilyOfAdapter(const GgufHeader& header, std::string_view base_type) {
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family, FamilyByName(header));
  if (base_type == MixtralFamily().model_type && family.architecture == "llama")
    return MixtralFamily();
  if (base_type == GraniteOfSharedExpertsFamily().model_type) return GraniteOfSharedExpertsFamily();
  const bool is_distilled =
      family.architecture == "bert" && base_type == DistilBertFamily().model_type;
  return is_distilled ? DistilBertFamily() : family;
}

int64_t GgufLayerOf(std::string_view name) {
  if (!name.starts_with(kBlock)) return -1;
  name.remove_prefix(kBlock.size());
  const size_t end = name.find('.');
  const std::string_view layer = name.substr(0, end);
  const bool is_number = !layer.empty() && layer.size() < 8 &&
                         layer.find_first_not_of("0123456789") == std::string_view::npos;
  if (end == std::string_view::npos || !is_number) return -1;
  int64_t number = 0;
  for (const char digit : layer) number = number * 10 + (digit - '0');
  return number;
}

bool IsJoinedToAnother(const GgufFamily& family, std::string_view name) {
  if (GgufLayerOf(name) < 0) return false;
  const std::string_view stored = WithoutLayer(name);
  constexpr std::string_view kGate = "gate", kUp = "up";
  for (const GgufModule& module : family.layer_modules) {
    if (!JoinsGatesAndUps(module.change)) continue;
    std::string up(module.stored);
    up.replace(up.find(kGate), kGate.size(), kUp);
    if (stored == up || (stored.starts_with(up) && stored[up.size()] == '.')) return true;
  }
  return false;
}

std::string GgufNameInModel(const GgufFamily& family, std::string_view name, GgufChange* change) {
  *change = GgufChange::kNone;
  std::string_view stored = name;
  std::span<const GgufModule> modules = family.modules;
  std::string model_name;
  if (name.starts_with(kBlock)) {
    if (GgufLayerOf(name) < 0) return {};
    stored = WithoutLayer(name);
    modules = family.layer_modules;
    const size_t digits = name.size() - kBlock.size() - stored.size() - 1;
    model_name = std::string(family.layers) + std::string(name.substr(kBlock.size(), digits)) + ".";
  }
  const GgufModule* module = FindModule(modules, stored);
  std::string_view ending;  // ".weight"
  if (module == nullptr) {
    const size_t dot = stored.rfind('.');
    if (dot == std::string_view::npos) return {};
    ending = stored.substr(dot);
    module = FindModule(modules, stored.substr(0, dot));
  }
  if (module == nullptr) return {};
  *change = module->change;
  if (module->change == GgufChange::kTransposed && ending != ".weight") *change = GgufChange::kNone;
  model_name += module->name;
  model_name += ending;
  // A task's model has the encoder in a module of its own.
  const bool is_head = model_name.starts_with("classifier.") || model_name.starts_with("head.");
  if (family.model_class.ends_with("ForSequenceClassification") && !is_head)
    model_name.insert(0, family.model_type == "modernbert" ? "model." : "roberta.");
  return model_name;
}

}  // namespace graft::converter
