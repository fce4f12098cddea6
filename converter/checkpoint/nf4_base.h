// SPDX-License-Identifier: Apache-2.0
// Nf4Base: a base as QLoRA's training saw it, each linear weight rounded to NF4 and back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// How bitsandbytes stored the base that the adapter was trained on.
struct Nf4Options {
  /// bnb_4bit_use_double_quant: the blocks' scales are themselves rounded to 8 bits.
  bool double_quantization = false;
};

/// Follows bitsandbytes' 4-bit linear layers (Dettmers et al. 2023, "QLoRA", section 3): blocks of
/// 64 numbers in storage order, each scaled by its largest magnitude to the nearest of the 16 NF4
/// values, in float32; the result is rounded to the base's element type. With double quantization
/// the scales, less their mean, are rounded in blocks of 256 to bitsandbytes' 8-bit "dynamic"
/// values.
///
/// As transformers loads a model in 4 bits, weights of linear layers are rounded, and embeddings,
/// norms, biases, convolutions and output heads are not.
class Nf4Base final : public TensorSource {
 public:
  /// `base` must outlive this.
  /// Errors   kUnsupported: the base stores linear layers transposed (GPT-2's Conv1D), or stores no
  ///          linear weight in floating point.
  static Result<std::unique_ptr<Nf4Base>> Create(const TensorSource& base, Nf4Options options);

  std::span<const TensorInfo> tensors() const override { return base_->tensors(); }
  const TensorInfo* Find(std::string_view name) const override { return base_->Find(name); }
  Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const override;
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override {
    return ReadRows(name, row_begin, row_end, out);
  }
  /// Whether this tensor is rounded.
  bool Rounds(std::string_view name) const;

 private:
  Nf4Base(const TensorSource& base, Nf4Options options) : base_(&base), options_(options) {}
  // The scale of each block, as it was stored in 8 bits.
  Result<const std::vector<float>*> StoredScales(const TensorInfo& info) const;

  const TensorSource* base_;
  Nf4Options options_;
  std::vector<std::string> rounded_;  // in name order
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::vector<float>, std::less<>> scales_;
};

}  // namespace graft::converter
