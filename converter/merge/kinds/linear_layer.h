// SPDX-License-Identifier: Apache-2.0
// LinearLayer: the layer that most kinds of adapter change, whichever way round it is stored.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "converter/merge/plan/adapter_planner.h"
#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"

namespace graft::converter {

struct LinearLayer {
  PlannedTensor* weight = nullptr;
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool transposed = false;  ///< Stored [inputs, outputs], as Conv1D does.
};

/// Whether PEFT defines a kind for GPT-2's transposed layers.
enum class TransposedLayers : uint8_t { kRefused, kTaken };

/// The layer that `module` is; `user` is the adapter's tensor that changes it.
/// Errors   kMismatch: the base has no such tensor, or it is no matrix.
///          kUnsupported: a Conv1D layer, where the kind does not take one.
Result<LinearLayer> FindLinear(const AdapterModule& module, const AdapterTensor& user,
                               TransposedLayers transposed, AdapterPlanner* planner);

/// Adds a low-rank change of [outputs, inputs] to the layer.
void AddLowRankChange(const LinearLayer& layer, LowRankFactors factors, AdapterPlanner* planner);

/// Whether the tensor has exactly this shape.
bool HasShape(const AdapterTensor& tensor, std::initializer_list<int64_t> shape);

/// All numbers of a tensor, in row-major order.
Status ReadAll(StoredFactor stored, std::vector<double>* out);

/// Hands the rows of a matrix of [rows, columns] to `use`, block by block from the first one on. The
/// blocks depend on `columns` alone.
Status VisitRows(const RowReader& read, int64_t rows, int64_t columns,
                 const std::function<void(int64_t row_begin, std::span<const double> rows)>& use);

/// Sets out [rank, inputs] to left transposed * W, for a `left` of [outputs, rank]. `stored` reads
/// the weight's rows as they are stored.
Status ProjectOutputs(std::span<const double> left, int64_t rank, const RowReader& stored,
                      const LinearLayer& layer, std::span<double> out);

/// A right factor that threads share, and is kept while any of them works on the tensor.
std::function<Status(std::span<double>)> SharedFactor(size_t elements, PreparedMatrix::Fill fill);
/// A left factor of `rank` columns that is worked out as a whole.
RowReader WholeFactor(int64_t rows, int64_t rank, PreparedMatrix::Fill fill);

}  // namespace graft::converter
