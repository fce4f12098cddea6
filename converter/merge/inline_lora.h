// SPDX-License-Identifier: Apache-2.0
// InlineLoraSource: a source some of whose weights are merged with low-rank factors that lie in the
// same source.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// A low-rank update whose factors lie beside the weight itself: [rank, in_features] and
/// [out_features, rank]; of kernels [rank, in_channels, height, width] and [out_channels, rank, 1,
/// 1], where the ones may be left out.
struct InlineLora {
  std::string a;
  std::string b;
  std::optional<double> alpha;  ///< scale = alpha / rank
  double scale = 1.0;           ///< If there is no alpha.

  double ScaleFor(int64_t rank) const { return alpha ? *alpha / static_cast<double>(rank) : scale; }
};

class InlineLoraSource final : public TensorSource {
 public:
  /// `loras` by the name of their weight. `source` must outlive the result; `source_name` is what
  /// messages call it.
  /// Errors   kMismatch: a tensor that is missing, or shapes that do not fit together.
  static Result<std::unique_ptr<TensorSource>> Create(
      const TensorSource& source, const std::string& source_name,
      const std::map<std::string, InlineLora, std::less<>>& loras);

  std::span<const TensorInfo> tensors() const override { return source_.tensors(); }
  const TensorInfo* Find(std::string_view name) const override { return source_.Find(name); }
  Status ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const override;
  Status ReadBaseRows(std::string_view name, int64_t row_begin, int64_t row_end,
                      std::span<double> out) const override;
  bool IsAdapted(std::string_view name) const override;

 private:
  explicit InlineLoraSource(const TensorSource& source) : source_(source) {}

  const TensorSource& source_;
  std::map<std::string, std::unique_ptr<LowRankRows>, std::less<>> updates_;
  mutable WorkspacePool workspaces_;
};

}  // namespace graft::converter
