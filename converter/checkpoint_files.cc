// SPDX-License-Identifier: Apache-2.0
// Copies by a list of endings, and edits config.json key by key.
#include "converter/checkpoint_files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "converter/json.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr uint64_t kMaxSmallFileBytes = uint64_t{512} << 20;

bool IsWeightsOrDocumentation(const std::string& name) {
  constexpr std::string_view kEndings[] = {
      ".safetensors", ".bin",     ".pt",         ".pth", ".ckpt",   ".gguf", ".onnx",
      ".h5",          ".msgpack", ".index.json", ".md",  ".tflite", ".ot",   ".graft"};
  return name.starts_with(".") ||
         std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

Status WriteTextFile(const fs::path& file, std::string_view text) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  if (out == nullptr) {
    return Error(StatusCode::kIo, "%s: cannot be created: %s", file.c_str(), std::strerror(errno));
  }
  const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  const bool closed = std::fclose(out) == 0;
  if (written && closed) return OkStatus();
  return Error(StatusCode::kIo, "%s: writing failed: %s", file.c_str(), std::strerror(errno));
}

Status CopyFile(const fs::path& from, const fs::path& to) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(from, kMaxSmallFileBytes));
  return WriteTextFile(to, text);
}

// transformers 4 says torch_dtype, 5 says dtype.
const char* ConfigName(DType dtype) {
  if (dtype == DType::kBFloat16) return "bfloat16";
  if (dtype == DType::kFloat16) return "float16";
  return dtype == DType::kFloat64 ? "float64" : "float32";
}

// Applies the changes to one object of the config; multimodal models keep the text model's settings
// in an inner one.
void EditObject(OrderedJson* object, const ConfigChanges& changes, bool outermost) {
  if (changes.untie_embeddings && (outermost || object->contains("tie_word_embeddings"))) {
    (*object)["tie_word_embeddings"] = false;
  }
  if (changes.vocabulary_size.has_value() && object->contains("vocab_size")) {
    (*object)["vocab_size"] = *changes.vocabulary_size;
  }
  if (changes.layers.has_value()) {
    for (const char* key : {"num_hidden_layers", "n_layer", "num_layers"}) {
      if (object->contains(key)) (*object)[key] = *changes.layers;
    }
    // One entry for each layer of the old stack; without it the model's default holds.
    object->erase("layer_types");
  }
  if (!changes.dtype.has_value()) return;
  bool named = false;
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (!object->contains(key)) continue;
    (*object)[key] = ConfigName(*changes.dtype);
    named = true;
  }
  if (!named && outermost) (*object)["torch_dtype"] = ConfigName(*changes.dtype);
}

Status EditConfig(const fs::path& from, const fs::path& to, const ConfigChanges& changes) {
  // Read through the bounded parser first: what passes there cannot surprise this one.
  GRAFT_ASSIGN_OR_RETURN(const auto checked, JsonDocument::Read(from));
  if (!checked->root().IsObject()) return checked->root().Fail("must be an object");
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(from, JsonLimits().max_bytes));
  OrderedJson config = OrderedJson::parse(text, nullptr, false);
  if (!config.is_object())
    return Error(StatusCode::kCorrupt, "%s: must be an object", from.c_str());
  EditObject(&config, changes, true);
  for (const char* key : {"text_config", "llm_config"}) {
    if (config.contains(key) && config[key].is_object()) EditObject(&config[key], changes, false);
  }
  return WriteTextFile(to,
                       config.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

}  // namespace

Status CarryOverFiles(const fs::path& from, const fs::path& to, const ConfigChanges& changes) {
  const bool edits = changes.untie_embeddings || changes.dtype.has_value() ||
                     changes.vocabulary_size.has_value() || changes.layers.has_value();
  std::error_code error;
  for (fs::directory_iterator it(from, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code kind_error;
    if (!it->is_regular_file(kind_error) || IsWeightsOrDocumentation(name)) continue;
    if (name == "config.json" && edits) {
      GRAFT_RETURN_IF_ERROR(EditConfig(it->path(), to / name, changes));
    } else {
      GRAFT_RETURN_IF_ERROR(CopyFile(it->path(), to / name));
    }
  }
  if (error)
    return Error(StatusCode::kIo, "%s: cannot be listed: %s", from.c_str(),
                 error.message().c_str());
  return OkStatus();
}

Status CarryOverTokenizer(const fs::path& adapter, const fs::path& to) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
                           "tokenizer.model", "spiece.model", "chat_template.jinja"}) {
    std::error_code error;
    if (!fs::is_regular_file(adapter / name, error)) continue;
    GRAFT_RETURN_IF_ERROR(CopyFile(adapter / name, to / name));
  }
  return OkStatus();
}

Status WriteShardIndex(const fs::path& file,
                       std::vector<std::pair<std::string, std::string>> shard_of,
                       uint64_t total_bytes) {
  std::sort(shard_of.begin(), shard_of.end());
  std::string text = "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total_bytes) +
                     "\n  },\n  \"weight_map\": {";
  for (size_t i = 0; i < shard_of.size(); ++i) {
    text += (i > 0 ? ",\n    " : "\n    ") + JsonQuote(shard_of[i].first) + ": " +
            JsonQuote(shard_of[i].second);
  }
  return WriteTextFile(file, text + "\n  }\n}\n");
}

}  // namespace graft::converter
