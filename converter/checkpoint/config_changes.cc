// SPDX-License-Identifier: Apache-2.0
// Edits config.json key by key.
#include "converter/checkpoint/config_changes.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "converter/base/input_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

using OrderedJson = nlohmann::ordered_json;

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
  if (changes.drop_quantization) {
    for (const char* key : {"quantization_config", "compression_config", "quantization"}) {
      object->erase(key);
    }
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

/// A JSON object, read through the bounded parser first: what passes there cannot surprise this one.
Result<OrderedJson> ReadObject(const std::filesystem::path& file) {
  GRAFT_ASSIGN_OR_RETURN(const auto checked, JsonDocument::Read(file));
  if (!checked->root().IsObject()) return checked->root().Fail("must be an object");
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, JsonLimits().max_bytes));
  OrderedJson object = OrderedJson::parse(text, nullptr, false);
  if (!object.is_object())
    return Error(StatusCode::kCorrupt, "%s: must be an object", file.c_str());
  return object;
}

std::string Dump(const OrderedJson& object) {
  return object.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace

Result<std::string> ChangedConfig(const std::filesystem::path& file, const ConfigChanges& changes) {
  GRAFT_ASSIGN_OR_RETURN(OrderedJson config, ReadObject(file));
  EditObject(&config, changes, true);
  for (const char* key : {"text_config", "llm_config"}) {
    if (config.contains(key) && config[key].is_object()) EditObject(&config[key], changes, false);
  }
  if (!changes.labels_file.empty()) {
    GRAFT_ASSIGN_OR_RETURN(OrderedJson labels, ReadObject(changes.labels_file));
    for (const char* key : {"id2label", "label2id", "num_labels", "problem_type", "pad_token_id"}) {
      if (labels.contains(key)) config[key] = std::move(labels[key]);
    }
  }
  return Dump(config);
}

Result<std::string> WithMembers(const std::filesystem::path& file,
                                const std::vector<std::pair<std::string, std::string>>& members) {
  OrderedJson object = OrderedJson::object();
  if (Exists(file)) {
    GRAFT_ASSIGN_OR_RETURN(object, ReadObject(file));
  }
  for (const auto& [key, text] : members) object[key] = OrderedJson::parse(text, nullptr, false);
  return Dump(object);
}

}  // namespace graft::converter
