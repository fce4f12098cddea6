// SPDX-License-Identifier: Apache-2.0
// ReplicatedLayers: a model whose stack repeats layers of another, each repetition a tensor set of
// its own.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// PEFT's layer_replication stacks ranges of the base's layers and numbers them again, so that an
/// adapter can treat each copy differently. Tensors outside the stack stay as they are.
class ReplicatedLayers final : public TensorSource {
 public:
  /// `ranges` are [first, end) layers of `base`, which must outlive this, one after another.
  /// Errors   kMismatch: the base has no stack of layers, more than one, or not that many layers.
  static Result<std::unique_ptr<ReplicatedLayers>> Create(
      const TensorSource& base, std::span<const std::pair<int64_t, int64_t>> ranges);

  std::span<const TensorInfo> tensors() const override { return infos_; }
  const TensorInfo* Find(std::string_view name) const override;
  Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const override;
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override {
    return ReadRows(name, row_begin, row_end, out);
  }

  /// The base's name for a tensor of this source; empty if there is none.
  std::string_view OriginOf(std::string_view name) const;
  int64_t layers() const { return layers_; }

 private:
  explicit ReplicatedLayers(const TensorSource& base) : base_(&base) {}

  const TensorSource* base_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::string, std::less<>> origins_;
  int64_t layers_ = 0;
};

}  // namespace graft::converter
