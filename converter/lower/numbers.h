// SPDX-License-Identifier: Apache-2.0
// Numbers of a configuration, within limits that keep sums and products of sizes within 64 bits.
// All limits are far above any model there is.
#pragma once

#include <cstdint>
#include <string_view>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

inline constexpr int64_t kMaxWidth = int64_t{1} << 20;
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxHeads = 4096;
inline constexpr int64_t kMaxHeadDim = 4096;
inline constexpr int64_t kMaxContext = int64_t{1} << 30;
inline constexpr int64_t kUsualContext = 2048;

/// A norm's epsilon.
/// Errors   kCorrupt: not between 0 and 1.
Result<float> ReadEpsilon(const JsonValue& config, std::string_view key, double fallback);

/// A number that must be finite and above 0.
Result<double> ReadPositive(const JsonValue& object, std::string_view key);
Result<double> ReadPositive(const JsonValue& object, std::string_view key, double fallback);

}  // namespace graft::converter
