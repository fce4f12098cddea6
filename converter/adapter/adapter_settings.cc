// SPDX-License-Identifier: Apache-2.0
// The tables: kinds of adapter, and settings by kind.
#include "converter/adapter/adapter_settings.h"

namespace graft::converter {
namespace {

constexpr uint32_t Bit(AdapterType type) { return uint32_t{1} << static_cast<int>(type); }

constexpr uint32_t kLora = Bit(AdapterType::kLora);
constexpr uint32_t kAdaLora = Bit(AdapterType::kAdaLora);
constexpr uint32_t kLoHa = Bit(AdapterType::kLoHa);
constexpr uint32_t kLoKr = Bit(AdapterType::kLoKr);
constexpr uint32_t kVera = Bit(AdapterType::kVera);
constexpr uint32_t kIa3 = Bit(AdapterType::kIa3);
constexpr uint32_t kOft = Bit(AdapterType::kOft);
constexpr uint32_t kBoft = Bit(AdapterType::kBoft);
// AdaLoRA's configuration extends LoRA's.
constexpr uint32_t kLoras = kLora | kAdaLora;
constexpr uint32_t kHadamards = kLoHa | kLoKr;
constexpr uint32_t kAll = kLoras | kHadamards | kVera | kIa3 | kOft | kBoft;

constexpr SettingUse kRead = SettingUse::kRead;
constexpr SettingUse kIgnored = SettingUse::kIgnored;
constexpr SettingUse kRefused = SettingUse::kRefused;

constexpr Setting kSettings[] = {
    // names, bookkeeping
    {"peft_type", kAll, kRead, ""},
    {"peft_version", kAll, kRead, ""},
    {"auto_mapping", kAll, kRead, ""},
    {"base_model_name_or_path", kAll, kRead, ""},
    {"revision", kAll, kIgnored, ""},
    {"task_type", kAll, kRead, ""},
    {"inference_mode", kAll, kIgnored, ""},
    {"runtime_config", kAll, kIgnored, ""},
    // which modules
    {"target_modules", kAll, kRead, ""},
    {"exclude_modules", kAll, kRead, ""},
    {"modules_to_save", kAll, kRead, ""},
    {"layers_to_transform", kAll, kRead, ""},
    {"layers_pattern", kAll, kRead, ""},
    {"target_parameters", kLoras, kRead, ""},
    {"trainable_token_indices", kLoras, kRead, ""},
    {"layer_replication", kLoras, kRead, ""},
    // how large the update is
    {"r", kAll & ~kIa3 & ~kBoft, kRead, ""},
    {"lora_alpha", kLoras, kRead, ""},
    {"alpha", kHadamards, kRead, ""},
    {"rank_pattern", kLoras | kHadamards, kRead, ""},
    {"alpha_pattern", kLoras | kHadamards, kRead, ""},
    {"use_rslora", kLoras, kRead, ""},
    {"use_dora", kLoras, kRead, ""},
    {"lora_bias", kLoras, kRead, ""},
    {"bias", kLoras | kVera | kOft | kBoft, kRead, ""},
    {"fan_in_fan_out", kAll, kRead, ""},
    {"ensure_weight_tying", kLoras, kRead, ""},
    {"init_lora_weights", kLoras, kRead, ""},
    {"use_bdlora", kLoras, kRead, ""},
    // training only
    {"lora_dropout", kLoras, kIgnored, ""},
    {"megatron_config", kLoras, kIgnored, ""},
    {"megatron_core", kLoras, kIgnored, ""},
    {"loftq_config", kLoras, kIgnored, ""},
    {"eva_config", kLoras, kIgnored, ""},
    {"corda_config", kLoras, kIgnored, ""},
    {"lora_ga_config", kLoras, kIgnored, ""},
    {"velora_config", kLoras, kIgnored, ""},
    {"monteclora_config", kLoras, kIgnored, ""},
    {"qalora_group_size", kLoras, kIgnored, ""},
    {"merge_weights", kLoras, kIgnored, ""},
    {"rank_dropout", kHadamards, kIgnored, ""},
    {"rank_dropout_scale", kHadamards, kIgnored, ""},
    {"module_dropout", kHadamards | kOft, kIgnored, ""},
    {"init_weights", kLoKr | kVera | kOft | kBoft, kIgnored, ""},
    {"init_weights", kLoHa, kRead, ""},
    {"init_ia3_weights", kIa3, kIgnored, ""},
    {"vera_dropout", kVera, kIgnored, ""},
    {"d_initial", kVera, kIgnored, ""},
    {"boft_dropout", kBoft, kIgnored, ""},
    // not mergeable
    {"enable_lora", kLoras, kRefused, "merged projections of old adapters are not supported"},
    {"alora_invocation_tokens", kLoras, kRefused,
     "an aLoRA adapter acts only after its invocation tokens, so no single set of weights equals "
     "it"},
    {"arrow_config", kLoras, kRefused,
     "Arrow routes each token to other adapters, so no single set of weights equals it"},
    {"use_qalora", kLoras, kRefused,
     "QALoRA pools its input in groups under a quantized base; merge it with the tool that trained "
     "it"},
    {"kasa_config", kLoras, kRefused,
     "KaSA adds to a truncated base; merge it with PEFT's merge_and_unload first"},
    // AdaLoRA
    {"init_r", kAdaLora, kRead, ""},
    {"target_r", kAdaLora, kIgnored, ""},
    {"tinit", kAdaLora, kIgnored, ""},
    {"tfinal", kAdaLora, kIgnored, ""},
    {"deltaT", kAdaLora, kIgnored, ""},
    {"beta1", kAdaLora, kIgnored, ""},
    {"beta2", kAdaLora, kIgnored, ""},
    {"orth_reg_weight", kAdaLora, kIgnored, ""},
    {"total_step", kAdaLora, kIgnored, ""},
    // LoHa, LoKr: the tensors there say which form they take
    {"use_effective_conv2d", kHadamards, kIgnored, ""},
    {"r2", kLoHa, kIgnored, ""},
    {"use_khatri_rao", kLoHa, kRead, ""},
    {"decompose_both", kLoKr, kIgnored, ""},
    {"decompose_factor", kLoKr, kIgnored, ""},
    // VeRA
    {"save_projection", kVera, kRead, ""},
    {"projection_prng_key", kVera, kIgnored, ""},
    // IA3
    {"feedforward_modules", kIa3, kRead, ""},
    // OFT, BOFT
    {"oft_block_size", kOft, kRead, ""},
    {"use_cayley_neumann", kOft, kRead, ""},
    {"num_cayley_neumann_terms", kOft, kRead, ""},
    {"block_share", kOft, kRead, ""},
    {"coft", kOft, kRefused,
     "constrained OFT projects its rotation while it runs; merge it with PEFT first"},
    {"eps", kOft, kIgnored, ""},
    {"boft_block_size", kBoft, kIgnored, ""},
    {"boft_block_num", kBoft, kIgnored, ""},
    {"boft_n_butterfly_factor", kBoft, kRead, ""},
};

constexpr std::string_view kNotWeights =
    "it is not a weight adapter: it prepends trained vectors to the input, and there is nothing to "
    "merge";
constexpr std::string_view kMergeFirst =
    "graft does not know how to merge it; call PEFT's merge_and_unload and convert the result";

constexpr PeftType kPeftTypes[] = {
    {"LORA", true, AdapterType::kLora, ""},
    {"ADALORA", true, AdapterType::kAdaLora, ""},
    {"LOHA", true, AdapterType::kLoHa, ""},
    {"LOKR", true, AdapterType::kLoKr, ""},
    {"VERA", true, AdapterType::kVera, ""},
    {"IA3", true, AdapterType::kIa3, ""},
    {"OFT", true, AdapterType::kOft, ""},
    {"BOFT", true, AdapterType::kBoft, ""},
    {"PROMPT_TUNING", false, AdapterType::kLora, kNotWeights},
    {"MULTITASK_PROMPT_TUNING", false, AdapterType::kLora, kNotWeights},
    {"P_TUNING", false, AdapterType::kLora, kNotWeights},
    {"PREFIX_TUNING", false, AdapterType::kLora, kNotWeights},
    {"ADAPTION_PROMPT", false, AdapterType::kLora, kNotWeights},
    {"CPT", false, AdapterType::kLora, kNotWeights},
    {"CARTRIDGE", false, AdapterType::kLora, kNotWeights},
    {"XLORA", false, AdapterType::kLora,
     "X-LoRA mixes adapters anew for each token, so no single set of weights equals it"},
    {"POLY", false, AdapterType::kLora,
     "Poly mixes adapters by task, so no single set of weights equals it"},
    {"QALORA", false, AdapterType::kLora,
     "QALoRA pools its input in groups under a quantized base; merge it with the tool that trained "
     "it"},
    {"LN_TUNING", false, AdapterType::kLora, kMergeFirst},
    {"FOURIERFT", false, AdapterType::kLora, kMergeFirst},
    {"HRA", false, AdapterType::kLora, kMergeFirst},
    {"BONE", false, AdapterType::kLora, kMergeFirst},
    {"MISS", false, AdapterType::kLora, kMergeFirst},
    {"VBLORA", false, AdapterType::kLora, kMergeFirst},
    {"RANDLORA", false, AdapterType::kLora, kMergeFirst},
    {"TRAINABLE_TOKENS", false, AdapterType::kLora, kMergeFirst},
    {"SHIRA", false, AdapterType::kLora, kMergeFirst},
    {"C3A", false, AdapterType::kLora, kMergeFirst},
    {"ROAD", false, AdapterType::kLora, kMergeFirst},
    {"WAVEFT", false, AdapterType::kLora, kMergeFirst},
    {"DELORA", false, AdapterType::kLora, kMergeFirst},
    {"GRALORA", false, AdapterType::kLora, kMergeFirst},
};

}  // namespace

const Setting* FindSetting(AdapterType type, std::string_view key) {
  for (const Setting& setting : kSettings) {
    if (setting.key == key && (setting.types & Bit(type)) != 0) return &setting;
  }
  return nullptr;
}

bool IsOff(JsonValue value) {
  switch (value.kind()) {
    case JsonKind::kNull:
      return true;
    case JsonKind::kBool: {
      const auto on = value.AsBool();
      return on.ok() && !*on;
    }
    case JsonKind::kString: {
      const auto text = value.AsString();
      return text.ok() && text->empty();
    }
    case JsonKind::kArray:
    case JsonKind::kObject:
      return value.size() == 0;
    case JsonKind::kInteger:
    case JsonKind::kNumber:
      return false;
  }
  return false;
}

const PeftType* FindPeftType(std::string_view name) {
  for (const PeftType& type : kPeftTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

}  // namespace graft::converter
