// SPDX-License-Identifier: Apache-2.0
// GgufSettings: what a GGUF file says of its model, under the keys of its architecture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/formats/gguf/gguf_header.h"
#include "schema/result.h"

namespace graft::converter {

/// "attention.head_count" stands for "llama.attention.head_count" in a file of Llama's.
class GgufSettings {
 public:
  /// `header` must outlive this.
  GgufSettings(const GgufHeader& header, std::string architecture)
      : header_(&header), prefix_(std::move(architecture) + ".") {}

  const GgufHeader& header() const { return *header_; }
  std::string Key(std::string_view key) const { return prefix_ + std::string(key); }
  bool Has(std::string_view key) const { return header_->Has(Key(key)); }

  /// Errors   kNotFound, kCorrupt: out of [least, most] among the reasons.
  Result<int64_t> GetIntIn(std::string_view key, int64_t least, int64_t most) const;
  Result<int64_t> GetIntIn(std::string_view key, int64_t least, int64_t most, int64_t usual) const;
  /// A number for each layer, which must be the same for all: models whose layers differ in size are
  /// none that graft converts.
  Result<int64_t> GetForAllLayers(std::string_view key, int64_t least, int64_t most) const;
  /// The first layer's number.
  Result<int64_t> GetFirst(std::string_view key, int64_t least, int64_t most) const;
  /// The same number for each layer that has one; others say 0. One must have it.
  Result<int64_t> GetForSomeLayers(std::string_view key, int64_t most) const;
  Result<double> GetNumber(std::string_view key) const { return header_->GetNumber(Key(key)); }
  Result<double> GetNumber(std::string_view key, double usual) const;
  Result<bool> GetBool(std::string_view key, bool usual) const;
  /// None if the file does not say.
  Result<std::optional<double>> FindNumber(std::string_view key) const;
  Status Fail(std::string_view key, const std::string& what,
              StatusCode code = StatusCode::kUnsupported) const {
    return header_->Fail(Key(key), what, code);
  }

 private:
  Result<int64_t> TheOne(std::string_view key, const std::vector<int64_t>& values, int64_t least,
                         int64_t most) const;

  const GgufHeader* header_;
  std::string prefix_;
};

/// How many layers the model has: without those behind them that guess tokens ahead.
/// Errors   kNotFound, kCorrupt.
Result<int64_t> ModelLayers(const GgufSettings& settings);

}  // namespace graft::converter
