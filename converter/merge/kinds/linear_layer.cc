// SPDX-License-Identifier: Apache-2.0
// Conv1D is told by the layer, shapes are checked by the kinds.
#include "converter/merge/kinds/linear_layer.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "converter/merge/updates/factor_forms.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {

Result<LinearLayer> FindLinear(const AdapterModule& module, const AdapterTensor& user,
                               TransposedLayers transposed, AdapterPlanner* planner) {
  LinearLayer layer;
  GRAFT_ASSIGN_OR_RETURN(layer.weight, planner->Tensor(module.name, "weight", user));
  const std::vector<int64_t>& shape = layer.weight->info.shape;
  if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0) {
    return planner->FailShape(user, *layer.weight);
  }
  layer.transposed = planner->IsConv1D(module.name);
  if (layer.transposed && transposed == TransposedLayers::kRefused) {
    return planner->Fail(StatusCode::kUnsupported, user,
                         "changes '" + layer.weight->info.name +
                             "', a Conv1D layer, for which PEFT does not define this kind");
  }
  layer.outputs = shape[layer.transposed ? 1 : 0];
  layer.inputs = shape[layer.transposed ? 0 : 1];
  return layer;
}

void AddLowRankChange(const LinearLayer& layer, LowRankFactors factors, AdapterPlanner* planner) {
  if (layer.transposed) factors = Transposed(std::move(factors), layer.outputs);
  planner->Add(layer.weight, std::make_unique<LowRankRows>(std::move(factors)));
}

bool HasShape(const AdapterTensor& tensor, std::initializer_list<int64_t> shape) {
  return std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end());
}

Status ReadAll(StoredFactor stored, std::vector<double>* out) {
  out->resize(static_cast<size_t>(stored.entry->info.rows() * stored.entry->info.row_elements()));
  return stored.file->ReadElements(*stored.entry, 0, *out);
}

Status VisitRows(const RowReader& read, int64_t rows, int64_t columns,
                 const std::function<void(int64_t row_begin, std::span<const double> rows)>& use) {
  constexpr int64_t kBlockElements = 65536;
  const int64_t step = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, columns));
  std::vector<double> block;
  Workspace workspace;
  for (int64_t row = 0; row < rows; row += step) {
    const int64_t end = std::min(rows, row + step);
    block.resize(static_cast<size_t>((end - row) * columns));
    GRAFT_RETURN_IF_ERROR(read(row, end, block, &workspace));
    use(row, block);
  }
  return OkStatus();
}

Status ProjectOutputs(std::span<const double> left, int64_t rank, const RowReader& stored,
                      const LinearLayer& layer, std::span<double> out) {
  const size_t r = static_cast<size_t>(rank);
  const size_t inputs = static_cast<size_t>(layer.inputs);
  const size_t outputs = static_cast<size_t>(layer.outputs);
  std::fill(out.begin(), out.end(), 0.0);
  std::vector<double> part;
  if (layer.transposed) {
    return VisitRows(stored, layer.inputs, layer.outputs,
                     [&](int64_t row_begin, std::span<const double> block) {
                       const size_t count = block.size() / outputs;
                       part.assign(count * r, 0.0);
                       AddLowRank(left.data(), r, block.data(), outputs, count, r, outputs, 1.0,
                                  false, part.data(), r);
                       for (size_t i = 0; i < part.size(); ++i) {
                         out[i % r * inputs + static_cast<size_t>(row_begin) + i / r] = part[i];
                       }
                     });
  }
  return VisitRows(stored, layer.outputs, layer.inputs,
                   [&](int64_t row_begin, std::span<const double> block) {
                     const size_t count = block.size() / inputs;
                     const double* from = left.data() + static_cast<size_t>(row_begin) * r;
                     part.resize(r * count);
                     for (size_t i = 0; i < part.size(); ++i) part[i % r * count + i / r] = from[i];
                     AddLowRank(block.data(), inputs, part.data(), count, r, inputs, count, 1.0,
                                false, out.data(), inputs);
                   });
}

std::function<Status(std::span<double>)> SharedFactor(size_t elements, PreparedMatrix::Fill fill) {
  return [matrix = std::make_shared<SharedMatrix>(elements, std::move(fill))](
             std::span<double> out) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const SharedMatrix::Values values, matrix->Get());
    std::copy(values->begin(), values->end(), out.begin());
    return OkStatus();
  };
}

RowReader WholeFactor(int64_t rows, int64_t rank, PreparedMatrix::Fill fill) {
  const auto matrix =
      std::make_shared<PreparedMatrix>(static_cast<size_t>(rows * rank), std::move(fill));
  return [matrix, rank](int64_t begin, int64_t end, std::span<double> out,
                        Workspace* workspace) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> values, workspace->Get(*matrix));
    std::copy_n(values.begin() + begin * rank, (end - begin) * rank, out.begin());
    return OkStatus();
  };
}

}  // namespace graft::converter
