// SPDX-License-Identifier: Apache-2.0
// PlannedTensor: a tensor of the merged model and the steps that lead to it from the base.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "converter/merge/updates/row_update.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// What one adapter does to one tensor.
struct PlannedPart {
  size_t adapter = 0;  ///< Which adapter, in the order given.
  double weight = 1;
  std::vector<std::unique_ptr<RowUpdate>> updates;
};

struct PlannedTensor {
  TensorInfo info;        ///< As the merged model has it.
  std::string base_name;  ///< The base tensor it starts from; empty if it starts from zeros.
  int64_t base_rows = 0;  ///< Rows the base has; further rows start from zeros.
  std::vector<PlannedPart> parts;
  std::string kind;  ///< "lora", "dora", "saved", ...
  int64_t rank = 0;
  double scale = 0;
};

/// By name. A tensor stays where it is while others come and go.
using PlannedTensors = std::map<std::string, PlannedTensor, std::less<>>;

/// A tensor that starts as `base_info` is, called `name`.
PlannedTensor StartFrom(const TensorInfo& base_info, std::string name);

/// Reads the rows a planned tensor starts from: the base's, and zeros beyond them.
Status ReadStartingRows(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                        int64_t row_end, std::span<double> out);

}  // namespace graft::converter
