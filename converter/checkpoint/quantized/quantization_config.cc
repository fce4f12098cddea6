// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/quantization_config.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "converter/json/json.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 31;

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::optional<DType> FloatType(std::string_view word) {
  if (word.starts_with("torch.")) word.remove_prefix(6);
  if (word == "bfloat16") return DType::kBFloat16;
  if (word == "float16" || word == "half") return DType::kFloat16;
  if (word == "float32" || word == "float") return DType::kFloat32;
  return std::nullopt;
}

// The model's type; in models of several parts the text's.
Result<std::optional<DType>> TypeOf(JsonValue root) {
  for (const JsonValue object : {root, root.Find("text_config"), root.Find("llm_config")}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (!object.Find(key).IsString()) continue;
      GRAFT_ASSIGN_OR_RETURN(const std::string word, object.GetString(key));
      if (const auto type = FloatType(word)) return type;
    }
  }
  return std::optional<DType>();
}

Result<int64_t> SmallInt(JsonValue object, const char* key) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t value, object.GetInt(key, 0));
  // -1: as many as there are.
  if (value >= -1 && value <= kMostRows) return std::max<int64_t>(value, 0);
  return object.Find(key).Fail("must be within -1 and 2147483648");
}

Status ReadBlock(JsonValue block, QuantizationConfig* config) {
  if (!block.IsArray()) return OkStatus();
  if (block.size() != 2) return block.Fail("must be two numbers");
  for (size_t i = 0; i < 2; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t side, block.at(i).AsInt());
    if (side < 1 || side > kMostRows) return block.Fail("must be within 1 and 2147483648");
    config->block.push_back(side);
  }
  return OkStatus();
}

Status ReadSettings(JsonValue theirs, QuantizationConfig* config) {
  GRAFT_ASSIGN_OR_RETURN(config->spelling, theirs.GetString("quant_method", ""));
  // bitsandbytes of old wrote none.
  if (config->spelling.empty() && (theirs.Has("load_in_4bit") || theirs.Has("load_in_8bit"))) {
    config->spelling = "bitsandbytes";
  }
  config->method = Lower(config->spelling);
  for (const char* key : {"checkpoint_format", "packing_format", "format", "version"}) {
    if (!config->format.empty() || !theirs.Find(key).IsString()) continue;
    GRAFT_ASSIGN_OR_RETURN(const std::string format, theirs.GetString(key));
    config->format = Lower(format);
  }
  // torchao says it in ways of its own.
  if (config->method == "torchao") return OkStatus();
  if (theirs.Find("bits").kind() == JsonKind::kInteger) {
    GRAFT_ASSIGN_OR_RETURN(config->bits, SmallInt(theirs, "bits"));
  }
  if (theirs.Find("group_size").kind() == JsonKind::kInteger) {
    GRAFT_ASSIGN_OR_RETURN(config->group_size, SmallInt(theirs, "group_size"));
  }
  GRAFT_RETURN_IF_ERROR(ReadBlock(theirs.Find("weight_block_size"), config));
  const JsonValue groups = theirs.Find("config_groups");
  for (size_t i = 0; i < groups.size(); ++i) {
    const JsonValue weights = groups.at(i).Find("weights");
    if (!weights.IsObject()) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t bits, SmallInt(weights, "num_bits"));
    GRAFT_ASSIGN_OR_RETURN(const int64_t group, SmallInt(weights, "group_size"));
    if (bits > 0) config->some_bits.push_back(bits);
    if (group > 0) config->some_groups.push_back(group);
    if (config->block.empty()) {
      GRAFT_RETURN_IF_ERROR(ReadBlock(weights.Find("block_structure"), config));
    }
  }
  return OkStatus();
}

// What mlx-lm says of modules that differ; false stands for one that is not quantized.
Status ReadModules(JsonValue mlx, QuantizationConfig* config) {
  for (size_t i = 0; i < mlx.size(); ++i) {
    const JsonValue value = mlx.at(i);
    if (!value.IsObject()) continue;
    QuantizationConfig::Module& module = config->modules[std::string(mlx.key(i))];
    GRAFT_ASSIGN_OR_RETURN(module.bits, SmallInt(value, "bits"));
    GRAFT_ASSIGN_OR_RETURN(module.group_size, SmallInt(value, "group_size"));
    GRAFT_ASSIGN_OR_RETURN(module.format, value.GetString("mode", ""));
  }
  return OkStatus();
}

}  // namespace

Result<QuantizationConfig> QuantizationConfig::Read(const std::filesystem::path& folder) {
  QuantizationConfig config;
  std::error_code error;
  if (const auto file = folder / "config.json"; std::filesystem::is_regular_file(file, error)) {
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
    const JsonValue root = document->root();
    GRAFT_ASSIGN_OR_RETURN(config.dtype, TypeOf(root));
    JsonValue theirs = root.Find("quantization_config");
    if (!theirs.IsObject()) theirs = root.Find("text_config").Find("quantization_config");
    if (!theirs.IsObject()) theirs = root.Find("compression_config");
    if (theirs.IsObject()) GRAFT_RETURN_IF_ERROR(ReadSettings(theirs, &config));
    // mlx-lm writes both, alike, and no method.
    const JsonValue mlx = root.Find("quantization");
    if (mlx.IsObject() && config.method.empty()) {
      GRAFT_RETURN_IF_ERROR(ReadSettings(mlx, &config));
      config.method = config.spelling = "mlx";
      GRAFT_ASSIGN_OR_RETURN(config.format, mlx.GetString("mode", "affine"));
      GRAFT_RETURN_IF_ERROR(ReadModules(mlx, &config));
    }
  }
  if (!config.method.empty()) return config;
  const auto old = folder / "quantize_config.json";
  if (!std::filesystem::is_regular_file(old, error)) return config;
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(old));
  GRAFT_RETURN_IF_ERROR(ReadSettings(document->root(), &config));
  if (config.method.empty()) config.method = config.spelling = "gptq";
  return config;
}

}  // namespace graft::converter
