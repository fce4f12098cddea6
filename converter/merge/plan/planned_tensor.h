// SPDX-License-Identifier: Apache-2.0
// PlannedTensor: a tensor of the merged model and the steps that lead to it from the base.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// What a step of an adapter stands for; they are applied in this order.
enum class UpdateRole : uint8_t { kSaved, kTokens, kLearned };

struct PlannedUpdate {
  UpdateRole role = UpdateRole::kLearned;
  std::shared_ptr<const RowUpdate> update;     ///< Both sides of a tie may have the same.
  const WeightFile::Entry* values = nullptr;   ///< What kSaved and kTokens put in place.
  const std::vector<int64_t>* rows = nullptr;  ///< Where kTokens puts them.
};

/// What one adapter does to one tensor.
struct PlannedPart {
  size_t adapter = 0;  ///< Which adapter, in the order given.
  double weight = 1;
  std::vector<PlannedUpdate> updates;
  std::string kind;  ///< "lora", "dora", ...; empty if it has no module for the tensor.
  double scale = 0;
};

struct PlannedTensor {
  TensorInfo info;        ///< As the merged model has it.
  std::string base_name;  ///< The base tensor it starts from; empty if it starts from zeros.
  int64_t base_rows = 0;  ///< Rows the base has; further ones start from zeros.
  /// What adapters were trained over and brought along, in place of the base's rows; else null.
  StoredFactor start;
  std::vector<PlannedPart> parts;
  std::string kind;  ///< "lora", "dora", "saved", ...
  int64_t rank = 0;
  double scale = 0;
};

/// By name. A tensor stays where it is while others come and go.
using PlannedTensors = std::map<std::string, PlannedTensor, std::less<>>;

/// A tensor that starts as `base_info` is, called `name`.
PlannedTensor StartFrom(const TensorInfo& base_info, std::string name);

/// How many rows a planned tensor starts from.
int64_t StartingRows(const PlannedTensor& tensor);

/// Reads the rows of a planned tensor as the base has them, and zeros beyond those.
Status ReadRowsOfBase(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                      int64_t row_end, std::span<double> out);

/// Reads the rows that adapters change: those they were trained over, or the base's.
Status ReadStartingRows(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                        int64_t row_end, std::span<double> out);

}  // namespace graft::converter
