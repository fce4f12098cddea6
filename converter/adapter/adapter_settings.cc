// SPDX-License-Identifier: Apache-2.0
// The table of settings by kind.
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
// Those too whose other settings stand with their planner.
constexpr uint32_t kEvery = kAll | Bit(AdapterType::kOther);

constexpr SettingUse kRead = SettingUse::kRead;
constexpr SettingUse kIgnored = SettingUse::kIgnored;
constexpr SettingUse kRefused = SettingUse::kRefused;

constexpr Setting kSettings[] = {
    // names, bookkeeping
    {"peft_type", kEvery, kRead, ""},
    {"peft_version", kEvery, kRead, ""},
    {"auto_mapping", kEvery, kRead, ""},
    {"base_model_name_or_path", kEvery, kRead, ""},
    {"revision", kEvery, kIgnored, ""},
    {"task_type", kEvery, kRead, ""},
    {"inference_mode", kEvery, kIgnored, ""},
    {"runtime_config", kEvery, kIgnored, ""},
    // which modules
    {"target_modules", kEvery, kRead, ""},
    {"exclude_modules", kEvery, kRead, ""},
    {"modules_to_save", kEvery, kRead, ""},
    {"layers_to_transform", kEvery, kRead, ""},
    {"layers_pattern", kEvery, kRead, ""},
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
    {"fan_in_fan_out", kEvery, kRead, ""},
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
    {"projection_prng_key", kVera, kRead, ""},
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

}  // namespace

const Setting* FindSetting(const AdapterKind& kind, std::string_view key) {
  for (const Setting& setting : kind.settings) {
    if (setting.key == key) return &setting;
  }
  for (const Setting& setting : kSettings) {
    if (setting.key == key && (setting.types & Bit(kind.type)) != 0) return &setting;
  }
  return nullptr;
}

std::vector<const Setting*> RefusedSettings(const AdapterKind& kind) {
  std::vector<const Setting*> refused;
  for (const Setting& setting : kind.settings) {
    if (setting.use == SettingUse::kRefused) refused.push_back(&setting);
  }
  for (const Setting& setting : kSettings) {
    const bool has = (setting.types & Bit(kind.type)) != 0;
    if (has && setting.use == SettingUse::kRefused) refused.push_back(&setting);
  }
  return refused;
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

}  // namespace graft::converter
