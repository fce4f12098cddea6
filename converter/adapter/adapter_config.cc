// SPDX-License-Identifier: Apache-2.0
// From JSON to AdapterConfig: first every key is judged by the table, then the ones that matter are
// read.
#include "converter/adapter/adapter_config.h"

#include <algorithm>
#include <cmath>

#include "converter/adapter/adapter_settings.h"
#include "converter/adapter/mlx_config.h"

namespace graft::converter {
namespace {

// Layers that layer_replication may make: many times those of any model.
constexpr int64_t kMaxReplicated = 4096;

constexpr int64_t kMaxRank = 1 << 20;
constexpr size_t kMaxPatternBytes = 16384;

Status CheckKeys(JsonValue root, const AdapterKind& kind) {
  for (size_t i = 0; i < root.size(); ++i) {
    const JsonValue value = root.at(i);
    const Setting* setting = FindSetting(kind, root.key(i));
    if (setting == nullptr && !IsOff(value)) {
      return value.Fail("is a setting graft does not know, and its value " + value.Text() +
                            " may change what the adapter computes",
                        StatusCode::kUnsupported);
    }
    if (setting != nullptr && setting->use == SettingUse::kRefused && !IsOff(value)) {
      return value.Fail("cannot be merged: " + std::string(setting->reason),
                        StatusCode::kUnsupported);
    }
  }
  return OkStatus();
}

// A string, or an array of strings.
Result<std::vector<std::string>> StringOrStrings(JsonValue root, std::string_view key) {
  if (!root.Find(key).IsString()) return root.GetStrings(key);
  GRAFT_ASSIGN_OR_RETURN(std::string text, root.GetString(key));
  return std::vector<std::string>{std::move(text)};
}

Result<ModuleSelector> ReadSelector(JsonValue root, std::string_view key) {
  ModuleSelector selector;
  if (root.Find(key).IsString()) {
    GRAFT_ASSIGN_OR_RETURN(selector.pattern, root.GetString(key));
    if (selector.pattern.size() > kMaxPatternBytes)
      return root.Find(key).Fail("is longer than 16384 bytes");
    return selector;
  }
  GRAFT_ASSIGN_OR_RETURN(selector.names, root.GetStrings(key));
  return selector;
}

Result<std::vector<int64_t>> ReadIntegers(JsonValue value) {
  std::vector<int64_t> integers;
  for (size_t i = 0; i < value.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t integer, value.at(i).AsInt());
    integers.push_back(integer);
  }
  return integers;
}

Result<std::vector<PatternValue>> ReadPatterns(JsonValue root, std::string_view key) {
  std::vector<PatternValue> patterns;
  if (!root.Has(key)) return patterns;
  GRAFT_ASSIGN_OR_RETURN(const JsonValue object, root.Get(key, JsonKind::kObject));
  for (size_t i = 0; i < object.size(); ++i) {
    PatternValue& pattern = patterns.emplace_back();
    pattern.pattern = object.key(i);
    if (pattern.pattern.size() > kMaxPatternBytes)
      return object.Fail("has a key longer than 16384 bytes");
    GRAFT_ASSIGN_OR_RETURN(pattern.value, object.at(i).AsDouble());
  }
  return patterns;
}

// Where the weights started decides whether the base on disk is the base they were trained on.
Status CheckInitialization(JsonValue root) {
  const JsonValue value = root.Find("init_lora_weights");
  if (!value.IsString()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string_view init, value.AsString());
  for (const std::string_view plain : {"gaussian", "eva", "orthogonal", "mica"}) {
    if (init == plain) return OkStatus();
  }
  const std::string text(init.substr(0, 60));
  if (init == "loftq") {
    return value.Fail(
        "is \"loftq\": the adapter corrects a quantized base that is not this one; merge it with "
        "the tool that trained it",
        StatusCode::kUnsupported);
  }
  if (init.starts_with("pissa") || init == "olora" || init == "corda" || init == "lora_ga") {
    return value.Fail(
        "is \"" + text +
            "\": training began by changing the base, which this adapter does not carry; save it "
            "with path_initial_model_for_weight_conversion to make it a plain LoRA, or set this "
            "to true if --base is the changed base as training left it",
        StatusCode::kUnsupported);
  }
  return value.Fail(
      "is \"" + text + "\", an initialization graft does not know; it may have changed the base",
      StatusCode::kUnsupported);
}

Status ReadBias(JsonValue root, AdapterConfig* config) {
  GRAFT_ASSIGN_OR_RETURN(const std::string bias, root.GetString("bias", "none"));
  if (bias == "none") {
    config->bias = BiasMode::kNone;
  } else if (bias == "all") {
    config->bias = BiasMode::kAll;
  } else if (bias.ends_with("_only")) {
    config->bias = BiasMode::kAdapted;
  } else {
    return root.Find("bias").Fail("must be none, all or lora_only");
  }
  return OkStatus();
}

Status ReadScale(JsonValue root, AdapterConfig* config) {
  const bool hadamard = config->type == AdapterType::kLoHa || config->type == AdapterType::kLoKr;
  // OFT's r counts blocks and may be 0.
  const int64_t lowest = config->type == AdapterType::kOft ? 0 : 1;
  GRAFT_ASSIGN_OR_RETURN(config->rank, root.GetIntIn("r", lowest, kMaxRank, 8));
  GRAFT_ASSIGN_OR_RETURN(config->init_rank, root.GetIntIn("init_r", 1, kMaxRank, 12));
  GRAFT_ASSIGN_OR_RETURN(config->alpha, root.GetDouble(hadamard ? "alpha" : "lora_alpha", 8));
  if (!std::isfinite(config->alpha)) return root.Fail("has an alpha that is not finite");
  GRAFT_ASSIGN_OR_RETURN(config->use_rslora, root.GetBool("use_rslora", false));
  GRAFT_ASSIGN_OR_RETURN(config->use_dora, root.GetBool("use_dora", false));
  GRAFT_ASSIGN_OR_RETURN(config->lora_bias, root.GetBool("lora_bias", false));
  GRAFT_ASSIGN_OR_RETURN(config->fan_in_fan_out, root.GetBool("fan_in_fan_out", false));
  GRAFT_ASSIGN_OR_RETURN(config->ensure_weight_tying, root.GetBool("ensure_weight_tying", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string version, root.GetString("peft_version", ""));
  config->ties_factors = config->ensure_weight_tying && !version.starts_with("0.18.");
  GRAFT_ASSIGN_OR_RETURN(config->alpha_pattern, ReadPatterns(root, "alpha_pattern"));
  // AdaLoRA keeps masks of the ranks it pruned there; its tensors are already cut. Others keep there
  // what is no rank, or what PEFT does not look at.
  const Setting* ranks = FindSetting(*config->kind, "rank_pattern");
  if (config->type == AdapterType::kAdaLora || ranks == nullptr ||
      ranks->use != SettingUse::kRead) {
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(config->rank_pattern, ReadPatterns(root, "rank_pattern"));
  for (const PatternValue& pattern : config->rank_pattern) {
    if (!(pattern.value >= 1 && pattern.value <= kMaxRank &&
          pattern.value == std::floor(pattern.value))) {
      return root.Find("rank_pattern").Fail("holds a rank outside 1 to 1048576");
    }
  }
  return OkStatus();
}

Status ReadModules(JsonValue root, AdapterConfig* config) {
  GRAFT_ASSIGN_OR_RETURN(config->target_modules, ReadSelector(root, "target_modules"));
  GRAFT_ASSIGN_OR_RETURN(config->exclude_modules, ReadSelector(root, "exclude_modules"));
  GRAFT_ASSIGN_OR_RETURN(config->modules_to_save, StringOrStrings(root, "modules_to_save"));
  GRAFT_ASSIGN_OR_RETURN(config->target_parameters, StringOrStrings(root, "target_parameters"));
  GRAFT_ASSIGN_OR_RETURN(config->layers_pattern, StringOrStrings(root, "layers_pattern"));
  const JsonValue layers = root.Find("layers_to_transform");
  if (layers.kind() == JsonKind::kInteger) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t layer, layers.AsInt());
    config->layers_to_transform = {layer};
  } else if (!layers.IsNull()) {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue array,
                           root.Get("layers_to_transform", JsonKind::kArray));
    GRAFT_ASSIGN_OR_RETURN(config->layers_to_transform, ReadIntegers(array));
  }

  if (root.Has("layer_replication")) {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue ranges, root.Get("layer_replication", JsonKind::kArray));
    int64_t total = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> range, ReadIntegers(ranges.at(i)));
      if (range.size() != 2 || range[0] < 0 || range[1] <= range[0] || range[1] > kMaxReplicated ||
          (total += range[1] - range[0]) > kMaxReplicated) {
        return ranges.at(i).Fail(
            "must be a pair [first, end) of layers, with at most 4096 layers in all");
      }
      config->layer_replication.emplace_back(range[0], range[1]);
    }
  }

  const JsonValue tokens = root.Find("trainable_token_indices");
  if (tokens.IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(auto rows, ReadIntegers(tokens));
    config->trainable_token_indices.emplace_back("", std::move(rows));
  } else if (tokens.IsObject()) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(auto rows, ReadIntegers(tokens.at(i)));
      config->trainable_token_indices.emplace_back(tokens.key(i), std::move(rows));
    }
  } else if (!tokens.IsNull()) {
    return tokens.Fail("must be an array of rows, or an object of such arrays");
  }
  return OkStatus();
}

Status ReadKinds(JsonValue root, AdapterConfig* config) {
  GRAFT_ASSIGN_OR_RETURN(config->feedforward_modules, StringOrStrings(root, "feedforward_modules"));
  config->feedforward_is_pattern = root.Find("feedforward_modules").IsString();
  GRAFT_ASSIGN_OR_RETURN(config->oft_block_size, root.GetIntIn("oft_block_size", 0, kMaxRank, 0));
  GRAFT_ASSIGN_OR_RETURN(config->oft_cayley_neumann, root.GetBool("use_cayley_neumann", true));
  GRAFT_ASSIGN_OR_RETURN(config->oft_neumann_terms,
                         root.GetIntIn("num_cayley_neumann_terms", 1, 1000, 5));
  GRAFT_ASSIGN_OR_RETURN(config->oft_block_share, root.GetBool("block_share", false));
  if (root.Has("use_bdlora") && !IsOff(root.Find("use_bdlora"))) {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue blocks, root.Get("use_bdlora", JsonKind::kObject));
    GRAFT_ASSIGN_OR_RETURN(config->block_diagonal_blocks, blocks.GetIntIn("nblocks", 1, kMaxRank));
  }
  if (config->type == AdapterType::kLoHa) {
    const JsonValue khatri_rao = root.Find("use_khatri_rao");
    const JsonValue init = root.Find("init_weights");
    const bool automatic = khatri_rao.IsString() && *khatri_rao.AsString() == "auto";
    // The factors then carry a scale each, which the file's alpha does not say.
    if ((!IsOff(khatri_rao) && !automatic) || init.IsString()) {
      return root.Fail("is a LoHa adapter in ABBA's form, which graft does not merge",
                       StatusCode::kUnsupported);
    }
  }
  return OkStatus();
}

}  // namespace

std::string AdapterKindName(const AdapterConfig& config) {
  if (config.type == AdapterType::kKohya) return "kohya lora";
  if (config.type != AdapterType::kMlx) return config.use_dora ? "dora" : config.kind->name;
  if (config.whole_tensors) return "mlx full";
  return config.use_dora ? "mlx dora" : "mlx lora";
}

Result<AdapterConfig> AdapterConfig::Read(const std::filesystem::path& folder,
                                          const AdapterKinds& kinds) {
  JsonLimits limits;
  limits.max_bytes = uint64_t{16} << 20;
  limits.max_depth = 16;
  GRAFT_ASSIGN_OR_RETURN(auto read, JsonDocument::Read(folder / "adapter_config.json", limits));
  return From(std::move(read), kinds);
}

Result<AdapterConfig> AdapterConfig::From(const std::shared_ptr<const JsonDocument>& document,
                                          const AdapterKinds& kinds) {
  const JsonValue root = document->root();
  if (!root.IsObject()) return root.Fail("must be an object");
  if (IsMlxConfig(root)) {
    GRAFT_ASSIGN_OR_RETURN(AdapterConfig config, ReadMlxConfig(root, document->name()));
    config.kind = &kinds.Of(config.type);
    config.document = document;
    return config;
  }

  if (!root.Has("peft_type") && root.Find("config").IsObject() && root.Has("model_class")) {
    return root.Find("config").Fail(
        "is of the library adapters (AdapterHub); merge it there with merge_adapter and save the "
        "model",
        StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string name, root.GetString("peft_type"));
  const AdapterKind* kind = kinds.Find(name);
  if (kind == nullptr) {
    std::string reason(kinds.WhyRefused(name));
    if (reason.empty()) {
      reason =
          "graft does not know this kind of adapter; if PEFT's merge_and_unload merges it, convert "
          "the result";
    }
    return root.Find("peft_type")
        .Fail("is \"" + name.substr(0, 60) + "\": " + reason, StatusCode::kUnsupported);
  }
  AdapterConfig config;
  config.file = document->name();
  config.type = kind->type;
  config.kind = kind;
  config.document = document;
  GRAFT_RETURN_IF_ERROR(CheckKeys(root, *kind));
  GRAFT_RETURN_IF_ERROR(CheckInitialization(root));
  GRAFT_RETURN_IF_ERROR(ReadBias(root, &config));
  GRAFT_RETURN_IF_ERROR(ReadScale(root, &config));
  GRAFT_RETURN_IF_ERROR(ReadModules(root, &config));
  GRAFT_RETURN_IF_ERROR(ReadKinds(root, &config));
  GRAFT_ASSIGN_OR_RETURN(config.task_type, root.GetString("task_type", ""));
  GRAFT_ASSIGN_OR_RETURN(config.base_model, root.GetString("base_model_name_or_path", ""));
  if (root.Find("auto_mapping").IsObject()) {
    GRAFT_ASSIGN_OR_RETURN(config.base_model_class,
                           root.Find("auto_mapping").GetString("base_model_class", ""));
  }
  return config;
}

}  // namespace graft::converter
