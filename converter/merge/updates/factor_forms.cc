// SPDX-License-Identifier: Apache-2.0
// Each form becomes a left factor read by rows and a right factor worked out once.
#include "converter/merge/updates/factor_forms.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace graft::converter {
namespace {

Status ReadWhole(StoredFactor factor, std::vector<double>* out) {
  out->resize(static_cast<size_t>(factor.entry->info.rows() * factor.entry->info.row_elements()));
  return factor.file->ReadElements(*factor.entry, 0, *out);
}

// row i, columns (x, point): the sum over j of inputs[j][x] * core[i][j][point].
LowRankFactors WithCore(LowRankFactors factors, StoredFactor core_factor,
                        StoredFactor inputs_factor) {
  const int64_t in = inputs_factor.entry->info.row_elements();
  const int64_t kernel = core_factor.entry->info.row_elements() / core_factor.entry->info.shape[1];
  factors.columns = in * kernel;
  factors.exact_products = false;
  factors.read_right = [core_factor, inputs_factor, in, kernel](std::span<double> out) -> Status {
    std::vector<double> core;
    std::vector<double> inputs;
    GRAFT_RETURN_IF_ERROR(ReadWhole(core_factor, &core));
    GRAFT_RETURN_IF_ERROR(ReadWhole(inputs_factor, &inputs));
    const size_t outer = static_cast<size_t>(core_factor.entry->info.shape[0]);
    const size_t inner = static_cast<size_t>(core_factor.entry->info.shape[1]);
    const size_t width = static_cast<size_t>(in);
    const size_t points = static_cast<size_t>(kernel);
    std::fill(out.begin(), out.end(), 0.0);
    for (size_t i = 0; i < outer; ++i) {
      for (size_t j = 0; j < inner; ++j) {
        for (size_t x = 0; x < width; ++x) {
          double* to = out.data() + (i * width + x) * points;
          const double* from = core.data() + (i * inner + j) * points;
          for (size_t p = 0; p < points; ++p) to[p] += inputs[j * width + x] * from[p];
        }
      }
    }
    return OkStatus();
  };
  return factors;
}

}  // namespace

LowRankFactors WithDiagonal(LowRankFactors factors, StoredFactor diagonal) {
  const size_t rank = static_cast<size_t>(factors.rank);
  const size_t columns = static_cast<size_t>(factors.columns);
  factors.exact_products = false;  // the right factor is a product already
  factors.read_right = [inner = std::move(factors.read_right), diagonal, rank,
                        columns](std::span<double> out) -> Status {
    GRAFT_RETURN_IF_ERROR(inner(out));
    std::vector<double> values;
    GRAFT_RETURN_IF_ERROR(ReadWhole(diagonal, &values));
    for (size_t k = 0; k < rank; ++k) {
      for (size_t c = 0; c < columns; ++c) out[k * columns + c] *= values[k];
    }
    return OkStatus();
  };
  return factors;
}

LowRankFactors SharedFactors(StoredFactor a, StoredFactor b, StoredFactor lambda_b,
                             StoredFactor lambda_d, int64_t in_features) {
  LowRankFactors factors;
  factors.rank = a.entry->info.rows();
  factors.columns = in_features;
  factors.exact_products = false;
  const size_t rank = static_cast<size_t>(factors.rank);
  factors.read_left = [b, lambda_b, rank](int64_t begin, int64_t end, std::span<double> out,
                                          Workspace*) -> Status {
    GRAFT_RETURN_IF_ERROR(b.file->ReadRows(*b.entry, begin, end, out));
    std::vector<double> scales(static_cast<size_t>(end - begin));
    GRAFT_RETURN_IF_ERROR(lambda_b.file->ReadElements(*lambda_b.entry, begin, scales));
    for (size_t i = 0; i < scales.size() * rank; ++i) out[i] *= scales[i / rank];
    return OkStatus();
  };
  factors.read_right = [a, lambda_d, rank, in_features](std::span<double> out) -> Status {
    std::vector<double> scales;
    GRAFT_RETURN_IF_ERROR(ReadWhole(lambda_d, &scales));
    const size_t columns = static_cast<size_t>(in_features);
    for (size_t k = 0; k < rank; ++k) {
      const std::span<double> row = out.subspan(k * columns, columns);
      GRAFT_RETURN_IF_ERROR(a.file->ReadElements(
          *a.entry, static_cast<int64_t>(k) * a.entry->info.row_elements(), row));
      for (double& value : row) value *= scales[k];
    }
    return OkStatus();
  };
  return factors;
}

LowRankFactors Transposed(LowRankFactors factors, int64_t rows) {
  const size_t rank = static_cast<size_t>(factors.rank);
  const size_t old_rows = static_cast<size_t>(rows);
  const size_t old_columns = static_cast<size_t>(factors.columns);
  const auto right = std::make_shared<PreparedMatrix>(rank * old_columns, factors.read_right);
  LowRankFactors transposed = factors;
  transposed.columns = rows;
  transposed.read_left = [right, rank, old_columns](int64_t begin, int64_t end,
                                                    std::span<double> out,
                                                    Workspace* workspace) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> values, workspace->Get(*right));
    size_t next = 0;
    for (size_t row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      for (size_t k = 0; k < rank; ++k) out[next++] = values[k * old_columns + row];
    }
    return OkStatus();
  };
  transposed.read_right = [left = std::move(factors.read_left), rank,
                           old_rows](std::span<double> out) -> Status {
    std::vector<double> values(old_rows * rank);
    Workspace workspace;
    GRAFT_RETURN_IF_ERROR(left(0, static_cast<int64_t>(old_rows), values, &workspace));
    for (size_t row = 0; row < old_rows; ++row) {
      for (size_t k = 0; k < rank; ++k) out[k * old_rows + row] = values[row * rank + k];
    }
    return OkStatus();
  };
  return transposed;
}

LowRankFactors BlockFactors(StoredFactor a, int64_t blocks_a, StoredFactor b, int64_t blocks_b,
                            double scale) {
  LowRankFactors factors = ProductFactors(a, b, scale);
  const size_t rank = static_cast<size_t>(factors.rank);
  const size_t block_columns = static_cast<size_t>(factors.columns);
  const size_t columns = block_columns * static_cast<size_t>(blocks_a);
  factors.columns = static_cast<int64_t>(columns);
  const size_t ranks_a = rank / static_cast<size_t>(blocks_a);
  factors.read_right = [a, ranks_a, rank, block_columns, columns](std::span<double> out) -> Status {
    std::fill(out.begin(), out.end(), 0.0);
    for (size_t k = 0; k < rank; ++k) {
      const size_t at = k * columns + k / ranks_a * block_columns;
      GRAFT_RETURN_IF_ERROR(a.file->ReadElements(*a.entry, static_cast<int64_t>(k * block_columns),
                                                 out.subspan(at, block_columns)));
    }
    return OkStatus();
  };
  const size_t ranks_b = rank / static_cast<size_t>(blocks_b);
  const size_t rows_b = static_cast<size_t>(b.entry->info.rows() / blocks_b);
  factors.read_left = [b, ranks_b, rows_b, rank](int64_t begin, int64_t end, std::span<double> out,
                                                 Workspace*) -> Status {
    std::fill(out.begin(), out.end(), 0.0);
    for (int64_t row = begin; row < end; ++row) {
      const size_t r = static_cast<size_t>(row);
      const size_t at = static_cast<size_t>(row - begin) * rank + r / rows_b * ranks_b;
      GRAFT_RETURN_IF_ERROR(b.file->ReadElements(*b.entry, static_cast<int64_t>(r * ranks_b),
                                                 out.subspan(at, ranks_b)));
    }
    return OkStatus();
  };
  return factors;
}

LowRankFactors CoreFactors(StoredFactor mid, StoredFactor down, StoredFactor up, double scale) {
  return WithCore(ProductFactors(down, up, scale), mid, down);
}

LowRankFactors TuckerFactors(StoredFactor t, StoredFactor wa, StoredFactor wb, double scale) {
  // The left factor is wa transposed, which TransposedFactors reads.
  return WithCore(TransposedFactors(wa, wb, scale), t, wb);
}

}  // namespace graft::converter
