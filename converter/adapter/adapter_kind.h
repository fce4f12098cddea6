// SPDX-License-Identifier: Apache-2.0
// AdapterKind: what the files of one kind of adapter look like; AdapterKinds: all that there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>
#include <vector>

namespace graft::converter {

/// The kinds of PEFT that share settings or code with others, and the adapters of two other
/// programs whatever their kind.
enum class AdapterType : uint8_t {
  kLora,
  kAdaLora,
  kLoHa,
  kLoKr,
  kVera,
  kIa3,
  kOft,
  kBoft,
  kMlx,    ///< mlx-lm: LoRA, DoRA or whole tensors.
  kKohya,  ///< sd-scripts and LyCORIS: the tensors' names tell the kind.
  kOther   ///< PEFT's: its AdapterKind and its planner say all about it.
};

enum class SettingUse : uint8_t {
  kRead,     ///< Takes part in the merge.
  kIgnored,  ///< Concerns training or names things; any value merges the same.
  kRefused,  ///< Merges only when null, false or empty; otherwise `reason` says why not.
};

/// A setting that adapter_config.json may hold.
struct Setting {
  std::string_view key;
  uint32_t types;  ///< Bit 1 << AdapterType for each kind that has it; 0 in AdapterKind::settings.
  SettingUse use;
  std::string_view reason;
};

struct AdapterKind {
  AdapterType type = AdapterType::kOther;
  std::string_view peft_type;  ///< In adapter_config.json; empty for other programs' adapters.
  const char* name = "";       ///< "lora": for reports.
  /// The parts of a tensor's name that follow the module's: "lora_A".
  std::span<const std::string_view> roles;
  /// Settings that no other kind has, beside those of FindSetting's table.
  std::span<const Setting> settings;
  /// Roles that name several tensors: what follows one in a tensor's name tells which, and the role
  /// of that tensor is both, with a dot between.
  std::span<const std::string_view> keyed_roles = {};
  /// Roles whose tensors may hold integers: places in other tensors.
  std::span<const std::string_view> index_roles = {};
  /// Dimensions of the least weight that it can change: what counts as missing if it is not changed.
  size_t least_dimensions = 2;
};

/// A kind that is known and cannot be merged.
struct RefusedKind {
  std::string_view peft_type;
  std::string_view reason;
};

/// A table of kinds, and what is asked of all of them.
class AdapterKinds {
 public:
  /// `kinds` and `refused` must outlive this.
  AdapterKinds(std::vector<const AdapterKind*> kinds, std::span<const RefusedKind> refused);

  /// The kind that adapter_config.json calls `peft_type`; null if there is none.
  const AdapterKind* Find(std::string_view peft_type) const;
  /// The kind of that type; requires one other than kOther.
  const AdapterKind& Of(AdapterType type) const;
  /// Why `peft_type` cannot be merged; empty if nothing is known about it.
  std::string_view WhyRefused(std::string_view peft_type) const;
  /// Whether a part of a tensor's name is a role of any kind of PEFT's.
  bool IsRole(std::string_view part) const { return roles_.count(part) > 0; }
  /// Whether it is a keyed role of any of them.
  bool IsKeyed(std::string_view part) const { return keyed_.count(part) > 0; }
  std::span<const AdapterKind* const> kinds() const { return kinds_; }
  std::span<const RefusedKind> refused() const { return refused_; }

 private:
  std::vector<const AdapterKind*> kinds_;
  std::span<const RefusedKind> refused_;
  std::set<std::string_view> roles_;
  std::set<std::string_view> keyed_;
};

}  // namespace graft::converter
