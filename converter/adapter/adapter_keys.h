// SPDX-License-Identifier: Apache-2.0
// Which module and which part of an adapter a tensor's name means, for each of the programs that
// write adapters.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "converter/adapter/adapter_kind.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {

struct AdapterKey {
  /// The module's name in the model, without wrappers; kohya's: as the file has it; where the role
  /// is empty: the name of the tensor that is replaced whole.
  std::string module;
  std::string role;          ///< "lora_A", "lora_B.bias", "base_layer.weight", "lora_down", ...
  std::string adapter_name;  ///< PEFT: the adapter's name inside the key, if it is there.
  std::string wrapper;  ///< PEFT: the wrapped module that holds this one and decides its rank and
                        ///< alpha, as nn.MultiheadAttention does for its out_proj.
};

using AdapterNames = std::set<std::string, std::less<>>;

/// "base_model.model.layers.0.q_proj.lora_A.weight": wrappers in front, the adapter's name
/// ("default", or one of `adapter_names`) perhaps after the role, which is one of `kinds`.
AdapterKey SplitPeftKey(std::string_view key, const AdapterNames& adapter_names,
                        const AdapterKinds& kinds);

/// "model.layers.0.self_attn.q_proj.lora_a", ".lora_b", DoRA's ".m"; anything else is a whole
/// tensor.
AdapterKey SplitMlxKey(std::string_view key);

/// "lora_unet_down_blocks_0_proj_in.lora_down.weight", or the same after a name with dots.
AdapterKey SplitKohyaKey(std::string_view key);

/// kohya's prefixes stand before names whose dots became underscores. The name after "lora_unet_",
/// "lora_te1_" and the like; empty if `module` has no such prefix.
std::string_view UnderscoredName(std::string_view module);

enum class KeyStyle : uint8_t { kUnknown, kPeft, kMlx, kKohya };

/// Whose names these are: the first tensor that only one of them would write decides.
KeyStyle StyleOfKeys(std::span<const WeightFile::Entry> entries, const AdapterKinds& kinds);

}  // namespace graft::converter
