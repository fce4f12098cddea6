// SPDX-License-Identifier: Apache-2.0
// The tables of mlx-lm's settings, and the reading of those that count.
#include "converter/adapter/mlx_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "converter/adapter/adapter_settings.h"

namespace graft::converter {
namespace {

constexpr int64_t kMaxRank = 1 << 20;
constexpr int64_t kMaxLayers = 100000;

struct MlxSetting {
  std::string_view key;
  SettingUse use;
};

constexpr SettingUse kRead = SettingUse::kRead;
constexpr SettingUse kIgnored = SettingUse::kIgnored;

constexpr MlxSetting kSettings[] = {
    {"fine_tune_type", kRead},
    {"use_dora", kRead},  // before there was fine_tune_type
    {"num_layers", kRead},
    {"lora_layers", kRead},  // num_layers' older name
    {"lora_parameters", kRead},
    // names, data
    {"model", kIgnored},
    {"config", kIgnored},
    {"data", kIgnored},
    {"hf_dataset", kIgnored},
    {"prompt_feature", kIgnored},
    {"completion_feature", kIgnored},
    {"text_feature", kIgnored},
    {"chat_feature", kIgnored},
    {"adapter_path", kIgnored},
    {"adapter_file", kIgnored},
    {"resume_adapter_file", kIgnored},
    {"report_to", kIgnored},
    {"project_name", kIgnored},
    {"wandb", kIgnored},
    {"trust_remote_code", kIgnored},
    {"base_quantization", kIgnored},  // mlx-vlm
    // training
    {"train", kIgnored},
    {"test", kIgnored},
    {"seed", kIgnored},
    {"optimizer", kIgnored},
    {"optimizer_config", kIgnored},
    {"learning_rate", kIgnored},
    {"lr_schedule", kIgnored},
    {"batch_size", kIgnored},
    {"iters", kIgnored},
    {"epochs", kIgnored},
    {"val_batches", kIgnored},
    {"test_batches", kIgnored},
    {"steps_per_report", kIgnored},
    {"steps_per_eval", kIgnored},
    {"save_every", kIgnored},
    {"max_seq_length", kIgnored},
    {"grad_checkpoint", kIgnored},
    {"grad_accumulation_steps", kIgnored},
    {"clear_cache_threshold", kIgnored},
    {"mask_prompt", kIgnored},
};

constexpr MlxSetting kLoraParameters[] = {
    {"rank", kRead},       {"scale", kRead}, {"keys", kRead},
    {"dropout", kIgnored}, {"alpha", kRead},  // see ReadScale
};

template <size_t kCount>
Status CheckKeys(JsonValue object, const MlxSetting (&table)[kCount]) {
  for (size_t i = 0; i < object.size(); ++i) {
    const bool known =
        std::any_of(std::begin(table), std::end(table),
                    [&](const MlxSetting& setting) { return setting.key == object.key(i); });
    if (known || IsOff(object.at(i))) continue;
    return object.at(i).Fail(
        "is a setting graft does not know in an mlx-lm adapter, and its value " +
            object.at(i).Text() + " may change what the adapter computes",
        StatusCode::kUnsupported);
  }
  return OkStatus();
}

// The multiplier by what each version of mlx-lm computed. From April to June 2024 it was
// scale * alpha / rank. Since then it is the scale alone, though alpha stayed in the file for
// another year. use_dora came in May 2024; fine_tune_type and num_layers took its place in
// September and are in every file since.
// Source: mlx-lm's tuner/lora.py and lora.py over their history.
Result<double> ReadScale(JsonValue root, JsonValue parameters, int64_t rank) {
  GRAFT_ASSIGN_OR_RETURN(const double scale, parameters.GetDouble("scale"));
  if (!std::isfinite(scale)) return parameters.Find("scale").Fail("is not finite");
  if (!parameters.Has("alpha")) return scale;
  GRAFT_ASSIGN_OR_RETURN(const double alpha, parameters.GetDouble("alpha"));
  const bool newer = root.Has("fine_tune_type") || root.Has("num_layers");
  if (newer || alpha == static_cast<double>(rank)) return scale;
  const double older_scale = scale * (alpha / static_cast<double>(rank));
  if (!std::isfinite(older_scale)) return parameters.Find("alpha").Fail("is not finite");
  if (!root.Has("use_dora")) return older_scale;
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(),
                "can mean two things: mlx-lm before 0.14.2 (June 2024) multiplied the update by "
                "scale * alpha / rank = %.9g, and 0.14.2 and later by the scale alone, %.9g; "
                "remove alpha from the file to take the scale, or remove it and set the scale to "
                "%.9g to take the other",
                older_scale, scale, older_scale);
  return parameters.Find("alpha").Fail(text.data(), StatusCode::kUnsupported);
}

Status ReadLoraParameters(JsonValue root, AdapterConfig* config) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue parameters,
                         root.Get("lora_parameters", JsonKind::kObject));
  GRAFT_RETURN_IF_ERROR(CheckKeys(parameters, kLoraParameters));
  GRAFT_ASSIGN_OR_RETURN(config->rank, parameters.GetIntIn("rank", 1, kMaxRank));
  GRAFT_ASSIGN_OR_RETURN(config->scale, ReadScale(root, parameters, config->rank));
  GRAFT_ASSIGN_OR_RETURN(config->target_modules.names, parameters.GetStrings("keys"));
  return OkStatus();
}

// mlx-vlm before it took over mlx-lm's settings. It named its factors A and B and multiplied by
// alpha, later by alpha / rank.
bool IsOlderVlmConfig(JsonValue root) {
  return root.Has("rank") && root.Has("alpha") && !root.Has("r") && !root.Has("lora_parameters");
}

}  // namespace

bool IsMlxConfig(JsonValue root) {
  return root.IsObject() && !root.Has("peft_type") &&
         (root.Has("fine_tune_type") || root.Has("lora_parameters") || root.Has("num_layers") ||
          root.Has("lora_layers") || IsOlderVlmConfig(root));
}

Result<AdapterConfig> ReadMlxConfig(JsonValue root, const std::string& file) {
  AdapterConfig config;
  config.file = file;
  config.type = AdapterType::kMlx;
  config.task_type = "CAUSAL_LM";  // mlx-lm trains nothing else
  if (IsOlderVlmConfig(root)) {
    return root.Find("alpha").Fail(
        "is an older mlx-vlm's, whose versions multiplied the update by alpha or by alpha / rank "
        "and do not say which; load the adapter in the version that trained it and save the "
        "model merged",
        StatusCode::kUnsupported);
  }
  GRAFT_RETURN_IF_ERROR(CheckKeys(root, kSettings));
  GRAFT_ASSIGN_OR_RETURN(const bool older_dora, root.GetBool("use_dora", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string type,
                         root.GetString("fine_tune_type", older_dora ? "dora" : "lora"));
  if (type != "lora" && type != "dora" && type != "full") {
    return root.Find("fine_tune_type")
        .Fail("is \"" + type.substr(0, 60) + "\"; graft merges lora, dora and full",
              StatusCode::kUnsupported);
  }
  config.use_dora = type == "dora";
  config.whole_tensors = type == "full";
  GRAFT_ASSIGN_OR_RETURN(const int64_t older_layers,
                         root.GetIntIn("lora_layers", -1, kMaxLayers, -1));
  GRAFT_ASSIGN_OR_RETURN(config.last_layers,
                         root.GetIntIn("num_layers", -1, kMaxLayers, older_layers));
  if (!config.whole_tensors) GRAFT_RETURN_IF_ERROR(ReadLoraParameters(root, &config));
  return config;
}

}  // namespace graft::converter
