// SPDX-License-Identifier: Apache-2.0
// Small adapters and bases written on the spot, and merging them in one call.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/merge/merged_source.h"
#include "tests/support/small_files.h"

namespace graft::converter {

/// Writes `folder`/adapter_config.json and adapter_model.safetensors. `settings` is the inside of
/// the JSON object after peft_type.
void WriteAdapter(const std::filesystem::path& folder, std::string_view peft_type,
                  std::string_view settings, const SmallTensors& tensors);

/// Merges one adapter; the result's message on failure.
Result<std::unique_ptr<MergedSource>> Merge(const std::filesystem::path& base,
                                            const std::filesystem::path& adapter);
std::string MergeFault(const std::filesystem::path& base, const std::filesystem::path& adapter);

/// A tensor's name as PEFT writes it.
std::string Key(std::string_view rest);
/// Merges an adapter into a base, both given by their tensors, and gives the tensor `name` back;
/// fails the test if that depends on the grouping of its rows.
std::vector<double> MergedTensor(const SmallTensors& base, std::string_view type,
                                 std::string_view settings, const SmallTensors& adapter,
                                 std::string_view name);

/// Largest distance, in units of the largest expected value.
double Distance(const std::vector<double>& values, const std::vector<double>& expected);
/// For Distance: sums of a few dozen float64 products in two orders.
inline constexpr double kSumTolerance = 1e-13;

}  // namespace graft::converter
