// SPDX-License-Identifier: Apache-2.0
// From the stored triangles to rotations, in float64, and their product with rows.
#include "converter/merge/updates/rotation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "converter/merge/updates/elimination.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

// Square matrices of side n, row by row.
using Square = std::vector<double>;

Square Multiply(const Square& a, const Square& b, size_t n) {
  Square product(n * n, 0.0);
  AddLowRank(b.data(), n, a.data(), n, n, n, n, 1.0, false, product.data(), n);
  return product;
}

// I + 2S + 2S^2 + ... + 2S^(terms-2) + S^(terms-1); three terms are summed as four, as PEFT does.
Square NeumannSeries(const Square& skew, size_t n, int64_t terms) {
  Square sum(n * n, 0.0);
  for (size_t i = 0; i < n; ++i) sum[i * n + i] = 1;
  const auto add = [&](const Square& power, double factor) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += factor * power[i];
  };
  if (terms > 1) add(skew, 2);
  if (terms > 2) {
    Square power = Multiply(skew, skew, n);
    add(power, 2);
    for (int64_t term = 3; term < terms - 1; ++term) {
      power = Multiply(power, skew, n);
      add(power, 2);
    }
    add(Multiply(power, skew, n), 1);
  }
  return sum;
}

// Solves (I + S) X = I - S, whose left side is never singular.
Square CayleyTransform(const Square& skew, size_t n) {
  Square left(n * n), right(n * n);
  for (size_t i = 0; i < n * n; ++i) {
    const double identity = i / n == i % n ? 1 : 0;
    left[i] = identity + skew[i];
    right[i] = identity - skew[i];
  }
  Eliminate(&left, &right, n);
  return right;
}

void StoreTransposed(const Square& rotation, size_t n, double* out) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) out[j * n + i] = rotation[i * n + j];
  }
}

// PEFT's butterfly: in each run of `run` inputs, groups of `group` that stand at even places come
// first, then the odd ones.
std::vector<int64_t> Butterfly(int64_t inputs, int64_t run, int64_t group) {
  std::vector<int64_t> order(static_cast<size_t>(inputs));
  const int64_t groups = run / group;
  for (int64_t start = 0; start < inputs; start += run) {
    int64_t to = start;
    for (const int64_t parity : {0, 1}) {
      for (int64_t g = parity; g < groups; g += 2) {
        for (int64_t i = 0; i < group; ++i)
          order[static_cast<size_t>(to++)] = start + g * group + i;
      }
    }
  }
  return order;
}

}  // namespace

RotationBlocks OftBlocks(StoredFactor stored, int64_t block_size, CayleyForm form) {
  RotationBlocks blocks;
  blocks.block_size = block_size;
  blocks.stored_blocks = stored.entry->info.rows();
  blocks.fill = [stored, block_size, form](std::span<double> out) -> Status {
    const size_t n = static_cast<size_t>(block_size);
    std::vector<double> triangle(n * (n - 1) / 2);
    for (int64_t block = 0; block < stored.entry->info.rows(); ++block) {
      GRAFT_RETURN_IF_ERROR(stored.file->ReadRows(*stored.entry, block, block + 1, triangle));
      Square skew(n * n, 0.0);
      size_t next = 0;
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = i + 1; j < n; ++j, ++next) {
          skew[i * n + j] = triangle[next];
          skew[j * n + i] = -triangle[next];
        }
      }
      const Square rotation = form.neumann_terms > 0 ? NeumannSeries(skew, n, form.neumann_terms)
                                                     : CayleyTransform(skew, n);
      StoreTransposed(rotation, n, out.data() + static_cast<size_t>(block) * n * n);
    }
    return OkStatus();
  };
  return blocks;
}

RotationBlocks BoftBlocks(StoredFactor stored, int64_t index) {
  const std::vector<int64_t>& shape = stored.entry->info.shape;
  RotationBlocks blocks;
  blocks.block_size = shape[2];
  blocks.stored_blocks = shape[1];
  blocks.fill = [stored, index, count = shape[1],
                 side = shape[2]](std::span<double> out) -> Status {
    const size_t n = static_cast<size_t>(side);
    std::vector<double> values(n * n);
    for (int64_t block = 0; block < count; ++block) {
      GRAFT_RETURN_IF_ERROR(
          stored.file->ReadElements(*stored.entry, (index * count + block) * side * side, values));
      Square skew(n * n);
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j)
          skew[i * n + j] = 0.5 * (values[i * n + j] - values[j * n + i]);
      }
      StoreTransposed(CayleyTransform(skew, n), n, out.data() + static_cast<size_t>(block) * n * n);
    }
    return OkStatus();
  };
  // A single factor mixes within its blocks; several mix at doubling distances.
  if (shape[0] > 1) {
    const int64_t inputs = shape[1] * shape[2];
    blocks.permutation = Butterfly(inputs, inputs / (shape[1] >> index), shape[2] / 2);
  }
  return blocks;
}

RotateColumns::RotateColumns(std::vector<RotationBlocks> factors, int64_t columns,
                             StoredFactor row_scale)
    : columns_(static_cast<size_t>(columns)), row_scale_(row_scale) {
  for (RotationBlocks& factor : factors) {
    const size_t elements =
        static_cast<size_t>(factor.stored_blocks * factor.block_size * factor.block_size);
    PreparedMatrix matrix(elements, factor.fill);
    factors_.push_back({std::move(factor), std::move(matrix)});
  }
}

Status RotateColumns::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                                Workspace* workspace) const {
  const size_t count = static_cast<size_t>(row_end - row_begin);
  std::vector<double> rotated(rows.size());
  for (const Factor& factor : factors_) {
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> matrix, workspace->Get(factor.matrix));
    const size_t n = static_cast<size_t>(factor.blocks.block_size);
    const std::vector<int64_t>& order = factor.blocks.permutation;
    if (!order.empty()) {
      for (size_t r = 0; r < count; ++r) {
        for (size_t c = 0; c < columns_; ++c) {
          rotated[r * columns_ + static_cast<size_t>(order[c])] = rows[r * columns_ + c];
        }
      }
      std::copy(rotated.begin(), rotated.end(), rows.begin());
    }
    std::fill(rotated.begin(), rotated.end(), 0.0);
    for (size_t block = 0; block * n < columns_; ++block) {
      const double* rotation =
          matrix.data() + (factor.blocks.stored_blocks == 1 ? 0 : block * n * n);
      AddLowRank(rotation, n, rows.data() + block * n, columns_, count, n, n, 1.0, false,
                 rotated.data() + block * n, columns_);
    }
    if (order.empty()) {
      std::copy(rotated.begin(), rotated.end(), rows.begin());
      continue;
    }
    for (size_t r = 0; r < count; ++r) {
      for (size_t c = 0; c < columns_; ++c) {
        rows[r * columns_ + c] = rotated[r * columns_ + static_cast<size_t>(order[c])];
      }
    }
  }
  if (row_scale_.entry == nullptr) return OkStatus();
  std::vector<double> scales(count);
  GRAFT_RETURN_IF_ERROR(row_scale_.file->ReadElements(*row_scale_.entry, row_begin, scales));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] *= scales[i / columns_];
  return OkStatus();
}

}  // namespace graft::converter
