// SPDX-License-Identifier: Apache-2.0
// Which format each tensor of a file is stored in.
#pragma once

#include <optional>
#include <vector>

#include "converter/lower/model_description.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

class LikeBase;

struct FormatWish {
  StoredFormat format;  ///< Of weight matrices whose in_features allow it; see FormatFor.
  /// Store in int8 each adapted matrix in which rounding to an int4 `format` would be louder than
  /// the adapter: RetainedDelta::NoiseRatio above 1 over every `sampled_row_stride`-th row.
  bool keep_delta = false;
  int64_t sampled_row_stride = 16;
  std::optional<StoredFormat> head_format = {};  ///< Of embedding and head; nothing: `format`.
  const LikeBase* like = nullptr;  ///< Where it has a matrix, its format is taken before `format`.
};

/// One format for each constant of `description`. Reads `source` only for keep_delta, on `threads`
/// threads; the answer does not depend on their number.
/// Errors   those of `source` and EncodeRows, naming the tensor.
Result<std::vector<StoredFormat>> ChooseFormats(const ModelDescription& description,
                                                const TensorSource& source, const FormatWish& wish,
                                                int threads);

}  // namespace graft::converter
