// SPDX-License-Identifier: Apache-2.0
// Small adapters and bases written on the spot, and merging them in one call.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "converter/merged_source.h"
#include "tests/converter/small_files.h"

namespace graft::converter {

/// Writes `folder`/adapter_config.json and adapter_model.safetensors. `settings` is the inside of
/// the JSON object after peft_type.
void WriteAdapter(const std::filesystem::path& folder, std::string_view peft_type,
                  std::string_view settings, const SmallTensors& tensors);

/// Merges one adapter; the result's message on failure.
Result<std::unique_ptr<MergedSource>> Merge(const std::filesystem::path& base,
                                            const std::filesystem::path& adapter);
std::string MergeFault(const std::filesystem::path& base, const std::filesystem::path& adapter);

}  // namespace graft::converter
