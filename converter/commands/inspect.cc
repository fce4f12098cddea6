// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "converter/base/parallel.h"
#include "converter/commands/commands.h"
#include "converter/commands/hash_text.h"
#include "converter/commands/mapped_model.h"
#include "converter/commands/model_bom.h"
#include "converter/commands/progress.h"
#include "converter/lower/lowering.h"
#include "converter/sign/file_digests.h"
#include "converter/sign/model_bundle.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using Json = nlohmann::ordered_json;

std::string Text(const flatbuffers::String* text) { return text == nullptr ? "" : text->str(); }

std::string Hash(const fb::Hash128* hash) {
  return hash == nullptr ? "" : HashText({hash->high(), hash->low()});
}

std::string FormatName(const fb::Tensor& tensor) {
  std::string name = fb::EnumNameTensorFormat(tensor.format());
  if (tensor.block_size() > 0) name += "/" + std::to_string(tensor.block_size());
  return name;
}

uint64_t BytesOf(const fb::Tensor& tensor) {
  return tensor.data()->bytes() + (tensor.scales() == nullptr ? 0 : tensor.scales()->bytes());
}

Json ShapeJson(const fb::Model& model, const fb::Value& value) {
  Json shape = Json::array();
  for (const fb::Dimension* dimension : *value.shape()) {
    if (dimension->symbol() >= 0) {
      shape.push_back(model.graph()->symbols()->Get(dimension->symbol())->str());
    } else {
      shape.push_back(dimension->size());
    }
  }
  return shape;
}

Json ValueJson(const fb::Model& model, int32_t index) {
  const fb::Value& value = *model.graph()->values()->Get(index);
  return {{"name", Text(value.name())},
          {"shape", ShapeJson(model, value)},
          {"type", value.type() == fb::ElementType::Int32 ? "i32" : "f32"}};
}

Json TokenizerJson(const fb::Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return nullptr;
  const auto count = [](const auto* vector) { return vector == nullptr ? 0u : vector->size(); };
  return {{"kind", fb::EnumNameTokenizerKind(tokenizer->kind())},
          {"tokens",
           count(tokenizer->token_offsets()) == 0 ? 0u : count(tokenizer->token_offsets()) - 1},
          {"merges", count(tokenizer->merges()) / 2},
          {"added_tokens", count(tokenizer->added_tokens())},
          {"byte_fallback", tokenizer->byte_fallback()}};
}

Json ProvenanceJson(const fb::Provenance* provenance) {
  if (provenance == nullptr) return nullptr;
  Json json = {{"converter_version", Text(provenance->converter_version())},
               {"base_name", Text(provenance->base_name())},
               {"base_hash", Hash(provenance->base_hash())},
               {"base_stored_as", Text(provenance->base_stored_as())},
               {"base_rounding", Text(provenance->base_rounding())},
               {"quantization", Text(provenance->quantization())},
               {"combined_by", Text(provenance->combined_by())},
               {"adapters", Json::array()},
               {"layers", Json::array()}};
  if (provenance->adapters() != nullptr) {
    for (const fb::AdapterProvenance* adapter : *provenance->adapters()) {
      json["adapters"].push_back({{"name", Text(adapter->name())},
                                  {"kind", Text(adapter->kind())},
                                  {"hash", Hash(adapter->hash())},
                                  {"weight", adapter->weight()},
                                  {"modules_merged", adapter->modules_merged()},
                                  {"modules_expected", adapter->modules_expected()}});
    }
  }
  if (provenance->layers() != nullptr) {
    for (const fb::LayerReport* layer : *provenance->layers()) {
      json["layers"].push_back({{"name", Text(layer->name())},
                                {"kind", Text(layer->kind())},
                                {"rank", layer->rank()},
                                {"scale", layer->scale()},
                                {"delta_ratio", layer->delta_ratio()},
                                {"format", fb::EnumNameTensorFormat(layer->format())},
                                {"snr_db", layer->quantization_snr_db()},
                                {"max_error", layer->quantization_max_error()},
                                {"delta_correlation", layer->delta_correlation()},
                                {"delta_noise_ratio", layer->delta_noise_ratio()}});
    }
  }
  return json;
}

std::map<std::string, int64_t> CountOps(const fb::Model& model) {
  std::map<std::string, int64_t> counts;
  for (const fb::Op* op : *model.graph()->ops()) {
    ++counts[fb::EnumNameOpAttributes(op->attributes_type())];
  }
  return counts;
}

Json ModelJson(const InspectOptions& options, const MappedModel& file) {
  const fb::Model& model = file.verified().model();
  const fb::Task& task = *model.task();
  Json json = {{"file", options.file},
               {"file_bytes", file.file_bytes()},
               {"format_version", schema::kFormatVersion},
               {"task", TaskName(static_cast<Task>(task.kind()))},
               {"architecture", Text(task.architecture())},
               {"context_tokens", task.context_tokens()},
               {"end_tokens", Json::array()},
               {"tokenizer", TokenizerJson(model.tokenizer())},
               {"chat_template", Text(model.chat_template())},
               {"inputs", Json::array()},
               {"outputs", Json::array()},
               {"kv_caches",
                model.graph()->kv_caches() == nullptr ? 0u : model.graph()->kv_caches()->size()},
               {"ops", CountOps(model)},
               {"tensors", Json::array()},
               {"segments", Json::array()}};
  if (task.end_tokens() != nullptr) {
    for (const uint32_t token : *task.end_tokens()) json["end_tokens"].push_back(token);
  }
  for (const fb::GraphInput* input : *model.graph()->inputs()) {
    Json value = ValueJson(model, input->value());
    value["role"] = fb::EnumNameInputRole(input->role());
    json["inputs"].push_back(std::move(value));
  }
  for (const int32_t output : *model.graph()->outputs()) {
    json["outputs"].push_back(ValueJson(model, output));
  }
  for (const fb::Tensor* tensor : *model.tensors()) {
    Json shape = Json::array();
    for (const int64_t dimension : *tensor->shape()) shape.push_back(dimension);
    json["tensors"].push_back({{"name", Text(tensor->name())},
                               {"format", fb::EnumNameTensorFormat(tensor->format())},
                               {"block_size", tensor->block_size()},
                               {"shape", std::move(shape)},
                               {"bytes", BytesOf(*tensor)},
                               {"content_hash", Hash(tensor->content_hash())}});
  }
  for (const fb::Segment* segment : *model.segments()) {
    json["segments"].push_back({{"offset", segment->offset()}, {"bytes", segment->bytes()}});
  }
  json["provenance"] = ProvenanceJson(model.provenance());
  return json;
}

// The SHA-256 of each part, and the root that a signature is of.
Result<Json> DigestsJson(const MappedModel& file) {
  GRAFT_ASSIGN_OR_RETURN(const schema::FileDigests digests,
                         DigestFile(file.verified().file_bytes(), DefaultThreads()));
  Json json = {{"root", HexText(digests.Root())}, {"parts", Json::array()}};
  for (const schema::SignedPart& part : digests.parts) {
    json["parts"].push_back({{"bytes", part.bytes}, {"sha256", HexText(part.digest)}});
  }
  return json;
}

// Of a file, and for a terminal.
std::string StringOf(const Json& object, const char* key) {
  auto text = object[key].get<std::string>();
  MakeShowable(text.data(), text.size());
  return text;
}

void PrintTensors(const Json& json) {
  for (const Json& tensor : json["tensors"]) {
    std::string format = tensor["format"];
    if (tensor["block_size"] != 0) format += "/" + tensor["block_size"].dump();
    std::printf("  %-16s %-16s %10s  %s\n", format.c_str(), tensor["shape"].dump().c_str(),
                BytesText(tensor["bytes"].get<uint64_t>()).c_str(),
                StringOf(tensor, "name").c_str());
  }
}

void PrintFormats(const fb::Model& model) {
  std::map<std::string, std::pair<int64_t, uint64_t>> formats;
  for (const fb::Tensor* tensor : *model.tensors()) {
    auto& [tensors, bytes] = formats[FormatName(*tensor)];
    tensors += 1;
    bytes += BytesOf(*tensor);
  }
  for (const auto& [format, total] : formats) {
    std::printf("tensors      %lld %s, %s\n", static_cast<long long>(total.first), format.c_str(),
                BytesText(total.second).c_str());
  }
}

void PrintProvenance(const Json& provenance) {
  if (provenance.is_null()) return;
  std::printf("made by      %s, %s\n", StringOf(provenance, "converter_version").c_str(),
              StringOf(provenance, "quantization").c_str());
  std::printf("base         %s %s\n", StringOf(provenance, "base_name").c_str(),
              StringOf(provenance, "base_hash").c_str());
  if (const auto stored = StringOf(provenance, "base_stored_as"); !stored.empty()) {
    std::printf("stored as    %s\n", stored.c_str());
  }
  if (const auto rounding = StringOf(provenance, "base_rounding"); !rounding.empty()) {
    std::printf("rounded to   %s before the merge\n", rounding.c_str());
  }
  for (const Json& adapter : provenance["adapters"]) {
    std::printf("adapter      %s %s, %s, %s of %s modules merged",
                StringOf(adapter, "name").c_str(), StringOf(adapter, "hash").c_str(),
                StringOf(adapter, "kind").c_str(), adapter["modules_merged"].dump().c_str(),
                adapter["modules_expected"].dump().c_str());
    const double weight = adapter["weight"].get<double>();
    if (weight != 1) std::printf(", weight %g", weight);
    std::printf("\n");
  }
  if (const auto combined = StringOf(provenance, "combined_by"); !combined.empty()) {
    std::printf("combined by  %s\n", combined.c_str());
  }
}

void PrintModel(const InspectOptions& options, const MappedModel& file, const Json& json) {
  std::printf("%s: %s\n", options.file.c_str(), BytesText(file.file_bytes()).c_str());
  std::printf("task         %s\narchitecture %s\n", StringOf(json, "task").c_str(),
              StringOf(json, "architecture").c_str());
  if (json["context_tokens"] != 0) {
    std::printf("context      %s tokens\n", json["context_tokens"].dump().c_str());
  }
  if (!json["end_tokens"].empty()) {
    std::printf("end tokens   %s\n", json["end_tokens"].dump().c_str());
  }
  if (const Json& tokenizer = json["tokenizer"]; !tokenizer.is_null()) {
    std::printf("tokenizer    %s, %s tokens, %s merges, %s added\n",
                StringOf(tokenizer, "kind").c_str(), tokenizer["tokens"].dump().c_str(),
                tokenizer["merges"].dump().c_str(), tokenizer["added_tokens"].dump().c_str());
  }
  if (const std::string chat = StringOf(json, "chat_template"); !chat.empty()) {
    std::printf("chat         a template of %zu bytes\n", chat.size());
  }
  for (const char* key : {"inputs", "outputs"}) {
    for (const Json& value : json[key]) {
      std::printf("%-12s %s %s %s\n", key, StringOf(value, "name").c_str(),
                  StringOf(value, "type").c_str(), value["shape"].dump().c_str());
    }
  }
  std::printf("ops         ");
  for (const auto& [kind, count] : json["ops"].items()) {
    std::printf(" %s %s", count.dump().c_str(), kind.c_str());
  }
  std::printf("\n");
  PrintFormats(file.verified().model());
  PrintProvenance(json["provenance"]);
  if (options.tensors) PrintTensors(json);
  if (!options.digests) return;
  std::printf("root         %s\n", StringOf(json["digests"], "root").c_str());
  for (const Json& part : json["digests"]["parts"]) {
    std::printf("  %12s bytes %s\n", part["bytes"].dump().c_str(),
                StringOf(part, "sha256").c_str());
  }
}

}  // namespace

int RunInspect(const InspectOptions& options) {
  const auto file = MappedModel::Open(options.file);
  if (!file.ok()) return ReportFailure(file.status());
  if (options.bom) {
    std::fputs(ModelBom(options.file, **file).c_str(), stdout);
    return kExitOk;
  }
  Json json = ModelJson(options, **file);
  if (options.digests) {
    auto digests = DigestsJson(**file);
    if (!digests.ok()) return ReportFailure(digests.status());
    json["digests"] = std::move(digests).value();
  }
  if (options.json) {
    std::printf("%s\n", json.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    PrintModel(options, **file, json);
  }
  return kExitOk;
}

}  // namespace graft::converter
