// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/gguf_model.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "converter/base/sanitize.h"
#include "converter/gguf/families/families.h"
#include "converter/gguf/families/gguf_parts.h"
#include "converter/gguf/families/gguf_settings.h"
#include "converter/gguf/families/model_config.h"
#include "converter/gguf/families/rope_config.h"
#include "converter/gguf/model_heads.h"
#include "converter/gguf/tokenizer_facts.h"
#include "converter/gguf/tokenizer_text.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxExperts = 4096;
constexpr size_t kMaxShown = size_t{1} << 20;  // tensors, those of single experts among them
constexpr int64_t kMaxPadding = 4096;

Status CheckKind(const GgufParts& parts) {
  const GgufHeader& header = parts.header();
  if (!header.Has("general.type")) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string_view type, header.GetString("general.type"));
  if (type == "model") return OkStatus();
  if (type == "adapter") {
    return Error(StatusCode::kUnsupported,
                 "%s: is an adapter; name the model it was trained on as --base and this file as "
                 "--adapter",
                 parts.path().c_str());
  }
  return header.Fail("general.type",
                     "is \"" + Sanitize(type) + "\"; a base must be a \"model\" of texts",
                     StatusCode::kUnsupported);
}

// Rows that RoBERTa's table of positions has before those that texts read, which its file leaves out.
Result<int64_t> PaddingRows(const GgufHeader& header, const GgufFamily& family) {
  if (!family.model_type.ends_with("roberta")) return int64_t{0};
  int64_t padding = 1;
  if (header.Has("tokenizer.ggml.padding_token_id")) {
    GRAFT_ASSIGN_OR_RETURN(padding, header.GetInt("tokenizer.ggml.padding_token_id"));
  }
  if (padding >= 0 && padding <= kMaxPadding) return padding + 1;
  return header.Fail("tokenizer.ggml.padding_token_id",
                     "must be at most " + std::to_string(kMaxPadding));
}

// Each along the first axis as a tensor of its own, with its number where the name has "{}".
Status ShowEach(const GgufFile& file, size_t tensor, const std::string& name,
                std::vector<GgufFile::View>* views) {
  const GgufTensor& stored = file.header().tensors()[tensor];
  const int64_t count = stored.shape.empty() ? 0 : stored.shape[0];
  const bool fits = views->size() < kMaxShown - kMaxExperts;
  if (stored.shape.size() < 2 || count > kMaxExperts || !fits) {
    return Error(StatusCode::kCorrupt, "%s: tensor '%s' of shape %s is not one of several experts",
                 file.path().c_str(), Sanitize(stored.name).c_str(),
                 ShapeText(stored.shape).c_str());
  }
  constexpr std::string_view kPlace = "{}";
  const size_t place = name.find(kPlace);
  for (int64_t i = 0; i < count; ++i) {
    std::string own = name;
    own.replace(place, kPlace.size(), std::to_string(i));
    views->push_back({std::move(own), tensor, {.slice = i}});
  }
  return OkStatus();
}

/// Shows the files of a model under its own names.
class Showing {
 public:
  Showing(const GgufFamily& family, const GgufParts& parts) : family_(family), parts_(parts) {
    for (const auto& file : parts.files()) {
      const auto& tensors = file->header().tensors();
      for (size_t i = 0; i < tensors.size(); ++i)
        places_.emplace(tensors[i].name, Place{file.get(), static_cast<int64_t>(i)});
    }
  }

  Status Prepare() {
    const GgufSettings settings(parts_.header(), std::string(family_.architecture));
    GRAFT_ASSIGN_OR_RETURN(heads_, ReadModelHeads(parts_.header(), family_));
    GRAFT_ASSIGN_OR_RETURN(padding_rows_, PaddingRows(parts_.header(), family_));
    GRAFT_ASSIGN_OR_RETURN(layers_, ModelLayers(settings));
    return OkStatus();
  }

  Status Show(GgufFile* file) const {
    std::vector<GgufFile::View> views;
    const auto& tensors = file->header().tensors();
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::string& stored = tensors[i].name;
      if (IsRopeTensor(stored)) continue;  // config.json has them
      // What guesses tokens ahead lies behind the model's layers.
      if (GgufLayerOf(stored) >= layers_ || IsJoinedToAnother(family_, stored)) continue;
      GRAFT_RETURN_IF_ERROR(ShowTensor(*file, i, &views));
    }
    return file->Show(std::move(views));
  }

 private:
  struct Place {
    const GgufFile* file = nullptr;
    int64_t number = 0;
  };

  Status ShowTensor(const GgufFile& file, size_t number, std::vector<GgufFile::View>* views) const {
    const GgufTensor& tensor = file.header().tensors()[number];
    GgufChange change = GgufChange::kNone;
    std::string name = GgufNameInModel(family_, tensor.name, &change);
    if (change == GgufChange::kEach) return ShowEach(file, number, name, views);
    GgufLayout layout = LayoutOf(change, heads_, tensor.shape.size());
    if (change == GgufChange::kGatesAndUps || change == GgufChange::kGatesAndUpsInTurn)
      GRAFT_RETURN_IF_ERROR(JoinUps(change, tensor, &layout));
    const bool is_norm = name.ends_with("norm.weight");
    const bool is_plain =
        !family_.plain_norm.empty() && name.ends_with(std::string(family_.plain_norm) + ".weight");
    if (family_.adds_one_to_norms && is_norm && !is_plain) layout.added = -1.0;
    if (name.ends_with("position_embeddings.weight")) layout.zero_rows = padding_rows_;
    // What the family does not know keeps its name, and is reported as unused.
    if (name.empty()) name = tensor.name;
    views->push_back({std::move(name), number, layout});
    return OkStatus();
  }

  // "blk.0.ffn_up_exps.weight" to "blk.0.ffn_gate_exps.weight"; a split file may have it elsewhere.
  Status JoinUps(GgufChange change, const GgufTensor& gates, GgufLayout* layout) const {
    std::string name = gates.name;
    constexpr std::string_view kGate = "gate";
    name.replace(name.find(kGate), kGate.size(), "up");
    const auto found = places_.find(name);
    if (found == places_.end()) {
      return Error(StatusCode::kCorrupt, "%s: has tensor '%s' without '%s'", parts_.path().c_str(),
                   Sanitize(gates.name).c_str(), Sanitize(name).c_str());
    }
    layout->joined_file = found->second.file;
    layout->joined = found->second.number;
    const bool in_turn = change == GgufChange::kGatesAndUpsInTurn;
    layout->join = in_turn ? GgufLayout::Join::kInTurn : GgufLayout::Join::kBehind;
    if (in_turn && gates.shape.size() == 3) layout->order = GgufLayout::Order::kColumns;
    return OkStatus();
  }

  const GgufFamily& family_;
  const GgufParts& parts_;
  std::map<std::string_view, Place> places_;
  ModelHeads heads_;
  int64_t padding_rows_ = 0;
  int64_t layers_ = 0;
};

/// How many tensors there are of each type, the most frequent first.
void DescribeTypes(const GgufParts& parts, GgufModel* model) {
  std::map<std::string_view, size_t> counts;
  for (const auto& file : parts.files()) {
    for (const GgufTensor& tensor : file->header().tensors()) {
      ++counts[tensor.type->name];
      model->is_quantized = model->is_quantized || !tensor.type->IsPlain();
    }
  }
  std::vector<std::pair<std::string_view, size_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  model->stored_as = "GGUF (";
  for (const auto& [name, count] : order) {
    model->stored_as +=
        (&name == &order[0].first ? "" : ", ") + std::to_string(count) + " " + std::string(name);
  }
  model->stored_as += ")";
}

Status WriteText(const fs::path& file, std::string_view text) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  const bool written =
      out != nullptr && std::fwrite(text.data(), 1, text.size(), out) == text.size();
  const bool closed = out != nullptr && std::fclose(out) == 0;
  if (written && closed) return OkStatus();
  return Error(StatusCode::kIo, "%s: cannot be written: %s", file.c_str(), std::strerror(errno));
}

/// sentence-transformers' files, of a model whose file says how the rows of a text become a vector.
Status WritePooling(const GgufHeader& header, const GgufFamily& family, const fs::path& folder) {
  const GgufSettings settings(header, std::string(family.architecture));
  if (!settings.Has("pooling_type")) return OkStatus();
  constexpr const char* kModes[] = {nullptr, "mean", "cls", "lasttoken"};
  constexpr int64_t kRank = 4;
  GRAFT_ASSIGN_OR_RETURN(const int64_t type, settings.GetIntIn("pooling_type", 0, kRank));
  const bool scores = family.model_class.ends_with("ForSequenceClassification");
  if (type == 0 || (type == kRank && scores)) return OkStatus();
  if (type == kRank)
    return settings.Fail("pooling_type", "says that the model ranks texts, by a head of its own");
  std::error_code error;
  fs::create_directory(folder / "1_Pooling", error);
  GRAFT_RETURN_IF_ERROR(WriteText(folder / "1_Pooling" / "config.json",
                                  std::string(R"({"pooling_mode": ")") + kModes[type] + "\"}\n"));
  constexpr std::string_view kStart = "sentence_transformers.models.";
  std::string modules = "[";
  for (const auto& [name, path] :
       {std::pair{"Transformer", ""}, {"Pooling", "1_Pooling"}, {"Normalize", "2_Normalize"}}) {
    modules += (modules.size() == 1 ? "{" : ", {") + std::string("\"type\": \"") +
               std::string(kStart) + name + R"(", "path": ")" + path + "\"}";
  }
  return WriteText(folder / "modules.json", modules + "]\n");
}

Status WriteFiles(const GgufParts& parts, const GgufFamily& family, const fs::path& folder) {
  const GgufHeader& header = parts.header();
  GRAFT_ASSIGN_OR_RETURN(const std::string config, GgufModelConfig(parts, family));
  GRAFT_RETURN_IF_ERROR(WriteText(folder / "config.json", config));
  GRAFT_RETURN_IF_ERROR(WritePooling(header, family, folder));
  if (header.Has("tokenizer.chat_template")) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view chat,
                           header.GetString("tokenizer.chat_template"));
    GRAFT_RETURN_IF_ERROR(WriteText(folder / "chat_template.jinja", chat));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::optional<GgufTokenizer> tokenizer, ReadGgufTokenizer(header));
  if (!tokenizer) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string text, GgufTokenizerJson(header, *tokenizer));
  GRAFT_RETURN_IF_ERROR(WriteText(folder / "tokenizer.json", text));
  GRAFT_RETURN_IF_ERROR(
      WriteText(folder / "tokenizer_config.json", GgufTokenizerConfig(*tokenizer)));
  if (IsEncoder(family)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string generation, GgufGenerationConfig(header, *tokenizer));
  return WriteText(folder / "generation_config.json", generation);
}

}  // namespace

Result<GgufModel> OpenGgufModel(const fs::path& path) {
  GRAFT_ASSIGN_OR_RETURN(GgufParts parts, GgufParts::Open(path));
  GRAFT_RETURN_IF_ERROR(CheckKind(parts));
  GRAFT_ASSIGN_OR_RETURN(const GgufFamily family, FindGgufFamily(parts));
  Showing showing(family, parts);
  GRAFT_RETURN_IF_ERROR(showing.Prepare());
  GgufModel model;
  DescribeTypes(parts, &model);
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  GRAFT_ASSIGN_OR_RETURN(model.kept, OutputFolder::Create(temporary / "graft-settings"));
  // By its name an error in one of the files tells whose they are.
  model.folder = model.kept->path() / path.filename();
  fs::create_directory(model.folder, error);
  GRAFT_RETURN_IF_ERROR(WriteFiles(parts, family, model.folder));
  for (const auto& file : parts.files()) GRAFT_RETURN_IF_ERROR(showing.Show(file.get()));
  for (std::unique_ptr<GgufFile>& file : parts.TakeFiles()) {
    file->ForgetSettings();
    model.files.push_back(std::move(file));
  }
  return model;
}

}  // namespace graft::converter
