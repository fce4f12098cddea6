// SPDX-License-Identifier: Apache-2.0
// Where a tensor starts, as information and as rows.
#include "converter/merge/plan/planned_tensor.h"

#include <algorithm>
#include <utility>

namespace graft::converter {

PlannedTensor StartFrom(const TensorInfo& base_info, std::string name) {
  PlannedTensor tensor;
  tensor.info = base_info;
  tensor.info.name = std::move(name);
  tensor.base_name = base_info.name;
  tensor.base_rows = base_info.rows();
  return tensor;
}

int64_t StartingRows(const PlannedTensor& tensor) {
  return tensor.start.entry != nullptr ? tensor.start.entry->info.rows() : tensor.base_rows;
}

Status ReadRowsOfBase(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                      int64_t row_end, std::span<double> out) {
  const int64_t row_elements = tensor.info.row_elements();
  const int64_t from_base =
      std::clamp(tensor.base_rows - row_begin, int64_t{0}, row_end - row_begin);
  const size_t base_elements = static_cast<size_t>(from_base * row_elements);
  if (from_base > 0) {
    GRAFT_RETURN_IF_ERROR(base.ReadRows(tensor.base_name, row_begin, row_begin + from_base,
                                        out.first(base_elements)));
  }
  std::fill(out.begin() + static_cast<ptrdiff_t>(base_elements), out.end(), 0.0);
  return OkStatus();
}

Status ReadStartingRows(const TensorSource& base, const PlannedTensor& tensor, int64_t row_begin,
                        int64_t row_end, std::span<double> out) {
  if (tensor.start.entry == nullptr) return ReadRowsOfBase(base, tensor, row_begin, row_end, out);
  return tensor.start.file->ReadRows(*tensor.start.entry, row_begin, row_end, out);
}

}  // namespace graft::converter
