// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/model_bom.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "converter/base/sha256.h"
#include "converter/commands/hash_text.h"
#include "converter/lower/lowering.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using Json = nlohmann::ordered_json;

constexpr const char* kModelType = "machine-learning-model";

std::string Text(const flatbuffers::String* text) { return text == nullptr ? "" : text->str(); }

void AddProperty(const char* name, const std::string& value, Json* component) {
  if (value.empty()) return;
  (*component)["properties"].push_back({{"name", std::string("graft:") + name}, {"value", value}});
}

void AddHash(const fb::Hash128* hash, Json* component) {
  if (hash == nullptr || (hash->high() == 0 && hash->low() == 0)) return;
  // Not among the hashes that the format names.
  AddProperty("xxh3_128", HashText({hash->high(), hash->low()}), component);
}

// What a file names by a path is known by its last part.
std::string NameOf(const std::string& path, const char* otherwise) {
  const std::filesystem::path whole(path);
  std::string name = whole.filename().string();
  if (name.empty()) name = whole.parent_path().filename().string();
  return name.empty() ? otherwise : name;
}

Json BaseJson(const fb::Provenance& provenance) {
  Json base = {{"type", kModelType},
               {"bom-ref", "base"},
               {"name", NameOf(Text(provenance.base_name()), "base")}};
  AddHash(provenance.base_hash(), &base);
  AddProperty("stored_as", Text(provenance.base_stored_as()), &base);
  AddProperty("rounding", Text(provenance.base_rounding()), &base);
  return base;
}

Json AdapterJson(const fb::AdapterProvenance& adapter, const std::string& reference) {
  Json json = {{"type", kModelType},
               {"bom-ref", reference},
               {"name", NameOf(Text(adapter.name()), "adapter")}};
  AddHash(adapter.hash(), &json);
  AddProperty("kind", Text(adapter.kind()), &json);
  AddProperty("weight", Json(adapter.weight()).dump(), &json);
  AddProperty("modules_merged", std::to_string(adapter.modules_merged()), &json);
  return json;
}

Json ModelJson(const std::string& path, const MappedModel& file) {
  const fb::Model& model = file.verified().model();
  Json json = {
      {"type", kModelType},
      {"bom-ref", "model"},
      {"name", NameOf(path, "model")},
      {"hashes",
       Json::array({{{"alg", "SHA-256"}, {"content", Sha256Text(file.verified().file_bytes())}}})},
      {"modelCard",
       {{"modelParameters",
         {{"task", TaskName(static_cast<Task>(model.task()->kind()))},
          {"modelArchitecture", Text(model.task()->architecture())}}}}}};
  const schema::Hash128 identity = file.verified().identity();
  AddProperty("identity", HashText(identity), &json);
  if (const fb::Provenance* provenance = model.provenance(); provenance != nullptr) {
    AddProperty("quantization", Text(provenance->quantization()), &json);
    AddProperty("combined_by", Text(provenance->combined_by()), &json);
  }
  return json;
}

}  // namespace

std::string ModelBom(const std::string& path, const MappedModel& file) {
  Json bom = {{"bomFormat", "CycloneDX"},
              {"specVersion", "1.6"},
              {"version", 1},
              {"metadata", {{"component", ModelJson(path, file)}}},
              {"components", Json::array()}};
  Json parts = Json::array();
  if (const auto* provenance = file.verified().model().provenance(); provenance != nullptr) {
    const std::string maker = Text(provenance->converter_version());  // "graft-convert 0.1.0"
    bom["metadata"]["tools"]["components"].push_back(
        {{"type", "application"},
         {"name", "graft-convert"},
         {"version", maker.substr(maker.rfind(' ') + 1)}});
    bom["components"].push_back(BaseJson(*provenance));
    parts.push_back("base");
    const uint32_t adapters =
        provenance->adapters() == nullptr ? 0 : provenance->adapters()->size();
    for (uint32_t i = 0; i < adapters; ++i) {
      const std::string reference = "adapter-" + std::to_string(i + 1);
      bom["components"].push_back(AdapterJson(*provenance->adapters()->Get(i), reference));
      parts.push_back(reference);
    }
  }
  bom["dependencies"] = Json::array({{{"ref", "model"}, {"dependsOn", parts}}});
  return bom.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace graft::converter
