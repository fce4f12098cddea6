// SPDX-License-Identifier: Apache-2.0
// adapter_config.json as PEFT or mlx-lm writes it, read strictly: a setting that could change the
// mathematics is understood or refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/adapter/adapter_kind.h"
#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

/// Which modules a setting means: a list of names or name endings, or one regular expression over
/// the whole name.
struct ModuleSelector {
  std::vector<std::string> names;
  std::string pattern;

  bool empty() const { return names.empty() && pattern.empty(); }
};

/// One entry of rank_pattern or alpha_pattern; the first that matches a module counts.
struct PatternValue {
  std::string pattern;
  double value = 0;
};

/// Which of bias vectors were trained and saved.
enum class BiasMode : uint8_t { kNone, kAll, kAdapted };

struct AdapterConfig {
  std::string file;  ///< For messages.
  AdapterType type = AdapterType::kLora;
  const AdapterKind* kind = nullptr;  ///< The kind of that type.

  int64_t rank = 8;
  double alpha = 8;  ///< lora_alpha, or alpha.
  std::vector<PatternValue> rank_pattern;
  std::vector<PatternValue> alpha_pattern;
  bool use_rslora = false;
  bool use_dora = false;
  bool lora_bias = false;
  bool fan_in_fan_out = false;
  bool ensure_weight_tying = false;
  bool ties_factors = false;  ///< It holds for low-rank updates too: PEFT 0.19 and later.
  BiasMode bias = BiasMode::kNone;

  ModuleSelector target_modules;
  ModuleSelector exclude_modules;
  std::vector<std::string> modules_to_save;
  std::vector<int64_t> layers_to_transform;
  std::vector<std::string> layers_pattern;
  std::vector<std::string> target_parameters;
  /// Layers [first, second) of the base, one range after another; empty if the stack is the base's
  /// own.
  std::vector<std::pair<int64_t, int64_t>> layer_replication;
  /// Rows of the input embedding, or rows for each named module.
  std::vector<std::pair<std::string, std::vector<int64_t>>> trainable_token_indices;

  int64_t init_rank = 12;                        ///< AdaLoRA: init_r.
  std::vector<std::string> feedforward_modules;  ///< IA3: names that scale their input.
  bool feedforward_is_pattern = false;
  int64_t oft_block_size = 0;
  bool oft_cayley_neumann = true;
  int64_t oft_neumann_terms = 5;
  bool oft_block_share = false;
  int64_t block_diagonal_blocks = 0;  ///< BD-LoRA: nblocks; 0 without it.

  double scale = 0;            ///< mlx-lm: what the product is multiplied with, as it is.
  bool whole_tensors = false;  ///< mlx-lm: fine_tune_type full.
  int64_t last_layers = -1;  ///< mlx-lm: how many layers, from the end, it trained; all if below 1.

  /// The file itself, for settings that one kind alone has; null for kohya's adapters.
  std::shared_ptr<const JsonDocument> document;

  std::string base_model;  ///< base_model_name_or_path: what it was trained on, for messages.
  std::string task_type;
  std::string base_model_class;

  /// Reads `folder`/adapter_config.json, PEFT's of one of `kinds` or mlx-lm's.
  /// Errors   kNotFound, kIo, kCorrupt: as JsonDocument::Read.
  ///          kUnsupported: a kind or setting that cannot be merged, with the reason; an unknown
  ///          setting that is set to anything but null, false or nothing.
  static Result<AdapterConfig> Read(const std::filesystem::path& folder, const AdapterKinds& kinds);
  /// The same of a document that is read already.
  static Result<AdapterConfig> From(const std::shared_ptr<const JsonDocument>& document,
                                    const AdapterKinds& kinds);
};

/// What reports call the adapter: "lora", "dora", "mlx dora", "kohya lora", ...
std::string AdapterKindName(const AdapterConfig& config);

}  // namespace graft::converter
