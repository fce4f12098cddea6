// SPDX-License-Identifier: Apache-2.0
// Each module has two factors: "blk.0.attn_q.weight.lora_a" [rank, in] and "....lora_b" [out, rank].
#include "converter/gguf/gguf_adapter.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/base/sanitize.h"
#include "converter/formats/gguf/gguf_file.h"
#include "converter/gguf/families/families.h"
#include "converter/gguf/model_heads.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

/// What is needed of the base.
struct BaseFacts {
  std::string model_type;
  ModelHeads heads;
};

Result<BaseFacts> ReadBase(const fs::path& base) {
  BaseFacts facts;
  const fs::path file = base / "config.json";
  if (base.empty() || !Exists(file)) return facts;
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  GRAFT_ASSIGN_OR_RETURN(facts.model_type, document->root().GetString("model_type", ""));
  GRAFT_ASSIGN_OR_RETURN(facts.heads, ReadModelHeads(base));
  return facts;
}

// The changes of which a LoRA's factors have their part: rows are the second's, columns the first's.
bool MovesRows(GgufChange change) {
  switch (change) {
    case GgufChange::kQueryPairs:
    case GgufChange::kKeyPairs:
    case GgufChange::kSplitHeads:
    case GgufChange::kGroups:
    case GgufChange::kTiled:
    case GgufChange::kTiledBehindKeys:
      return true;
    default:
      return false;
  }
}

Status CheckKind(const GgufHeader& header) {
  const auto type_of = [&header](const char* key) -> Result<std::string> {
    if (!header.Has(key)) return std::string("of no type");
    GRAFT_ASSIGN_OR_RETURN(const std::string_view type, header.GetString(key));
    return std::string(type);
  };
  GRAFT_ASSIGN_OR_RETURN(const std::string type, type_of("general.type"));
  if (type != "adapter") {
    return Error(StatusCode::kUnsupported,
                 "%s: is a GGUF file of a model and no adapter (general.type is \"%s\"); name it "
                 "as --base",
                 header.path().c_str(), Sanitize(type).c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string kind, type_of("adapter.type"));
  if (kind != "lora") {
    return header.Fail("adapter.type", "is \"" + Sanitize(kind) + "\"; graft reads lora",
                       StatusCode::kUnsupported);
  }
  constexpr const char* kActivated = "adapter.alora.invocation_tokens";
  if (!header.Has(kActivated)) return OkStatus();
  return header.Fail(
      kActivated,
      "makes this an activated LoRA, which holds only behind these tokens and cannot "
      "be merged",
      StatusCode::kUnsupported);
}

/// A tensor's name in PEFT's files, and how it is to be shown.
Result<GgufFile::View> ViewOf(const GgufHeader& header, const GgufFamily& family,
                              const BaseFacts& base, size_t tensor) {
  constexpr std::string_view kFactors[] = {".lora_a", ".lora_b"};
  const std::string& name = header.tensors()[tensor].name;
  const auto fail = [&](const char* what) {
    return Error(StatusCode::kUnsupported, "%s: tensor '%s' %s", header.path().c_str(),
                 Sanitize(name).c_str(), what);
  };
  const bool is_second = name.ends_with(kFactors[1]);
  if (!is_second && !name.ends_with(kFactors[0]))
    return fail("is neither of a LoRA's two factors, and llama.cpp leaves it aside");
  const std::string_view weight =
      std::string_view(name).substr(0, name.size() - kFactors[0].size());
  GgufChange change = GgufChange::kNone;
  std::string module = GgufNameInModel(family, weight, &change);
  if (change == GgufChange::kEach || weight.ends_with("_exps.weight"))
    return fail("is a LoRA of all experts in one, which graft does not take apart");
  if (change == GgufChange::kGatesAndUps || IsJoinedToAnother(family, weight))
    return fail("is a LoRA of half a matrix, which graft does not put together");
  constexpr std::string_view kWeight = ".weight";
  if (!module.ends_with(kWeight)) return fail("belongs to no module that graft knows");
  module.resize(module.size() - kWeight.size());
  GgufFile::View view;
  view.tensor = tensor;
  const bool is_embedding = weight == "token_embd.weight";
  const std::string role = std::string(is_embedding ? ".lora_embedding_" : ".lora_") +
                           (is_second ? "B" : "A") + (is_embedding ? "" : ".weight");
  view.name = "base_model.model." + module + role;
  using Order = GgufLayout::Order;
  // Of an embedding the first factor is stored as a table of its tokens.
  if (is_embedding && !is_second) view.layout.order = Order::kColumns;
  if (is_second ? !MovesRows(change) : change != GgufChange::kTiledColumns) return view;
  const bool is_delta = change >= GgufChange::kTiled;
  if ((is_delta ? base.heads.delta_keys : base.heads.queries) == 0) {
    return fail(
        "has its rows in the order of llama.cpp, and only config.json of the base says how many "
        "heads they belong to; it is missing");
  }
  view.layout = LayoutOf(change, base.heads, header.tensors()[tensor].shape.size());
  return view;
}

}  // namespace

Result<std::unique_ptr<WeightFile>> OpenGgufAdapter(const fs::path& path, const fs::path& base) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  const GgufHeader& header = file->header();
  GRAFT_RETURN_IF_ERROR(CheckKind(header));
  GRAFT_ASSIGN_OR_RETURN(const BaseFacts facts, ReadBase(base));
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family,
                         FindGgufFamilyOfAdapter(header, facts.model_type));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, header.GetNumber("adapter.lora.alpha"));
  std::vector<GgufFile::View> views;
  for (size_t i = 0; i < header.tensors().size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(GgufFile::View view, ViewOf(header, family, facts, i));
    views.push_back(std::move(view));
  }
  GRAFT_RETURN_IF_ERROR(file->Show(std::move(views)));
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), alpha);
  file->SetMetadata({{"alpha", std::string(digits.data(), end.ptr)}});
  file->ForgetSettings();
  return std::unique_ptr<WeightFile>(std::move(file));
}

}  // namespace graft::converter
