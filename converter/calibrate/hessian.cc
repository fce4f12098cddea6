// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "converter/base/parallel.h"
#include "converter/calibrate/numbers/integer_products.h"
#include "converter/calibrate/numbers/products.h"
#include "converter/calibrate/scratch.h"

namespace graft::converter {
namespace {

constexpr double kDamping = 0.01;
constexpr float kSteps = 2047;  // AddPackedGram takes no more

Status NotFinite() { return Error(StatusCode::kCorrupt, "the inputs of the layer are not finite"); }

/// What a column's codes are multiples of.
Result<std::vector<float>> StepsOf(std::span<const float> x, size_t width) {
  std::vector<float> largest(width, 0.0f);
  for (size_t at = 0; at < x.size(); at += width) {
    float all = 0;
    for (size_t i = 0; i < width; ++i) {
      largest[i] = std::max(largest[i], std::fabs(x[at + i]));
      all += x[at + i] * 0.0f;
    }
    if (all != 0.0f) return NotFinite();
  }
  for (float& step : largest) step = std::isnormal(step / kSteps) ? step / kSteps : 1.0f;
  return largest;
}

/// x as codes, packed for AddPackedGram, tile by tile.
class PackedColumns {
 public:
  static Result<PackedColumns> Make(std::span<const float> x, size_t width, int threads,
                                    const std::filesystem::path& folder);

  size_t tiles() const { return (steps_.size() + kPackedColumns - 1) / kPackedColumns; }
  const std::vector<float>& steps() const { return steps_; }
  size_t pairs() const { return pairs_; }
  int16_t* tile(size_t index) const {
    return reinterpret_cast<int16_t*>(codes_.numbers().data()) +
           index * pairs_ * kPackedColumns * 2;
  }

 private:
  size_t pairs_ = 0;
  std::vector<float> steps_;
  Scratch codes_;  // int16: [tiles, pairs, 32, 2]
};

Result<PackedColumns> PackedColumns::Make(std::span<const float> x, size_t width, int threads,
                                          const std::filesystem::path& folder) {
  PackedColumns packed;
  GRAFT_ASSIGN_OR_RETURN(packed.steps_, StepsOf(x, width));
  const size_t rows = x.size() / width;
  packed.pairs_ = (rows + 1) / 2;
  GRAFT_ASSIGN_OR_RETURN(packed.codes_,
                         Scratch::Create(folder, packed.tiles() * packed.pairs_ * kPackedColumns));
  const auto tasks = static_cast<int64_t>(packed.tiles());
  GRAFT_RETURN_IF_ERROR(ParallelFor(threads, tasks, [&](int64_t task) {
    const size_t first = static_cast<size_t>(task) * kPackedColumns;
    const size_t columns = std::min(kPackedColumns, width - first);
    int16_t* to = packed.tile(static_cast<size_t>(task));
    for (size_t row = 0; row < rows; ++row) {
      int16_t* pair = to + row / 2 * kPackedColumns * 2 + row % 2;
      for (size_t i = 0; i < columns; ++i) {
        const float code = x[row * width + first + i] / packed.steps_[first + i];
        // Rounded half up: a conversion to a whole number is the same on every CPU.
        pair[2 * i] = static_cast<int16_t>(static_cast<int32_t>(code + 2048.5f) - 2048);
      }
    }
    return OkStatus();
  }));
  return packed;
}

/// The sum of x xᵀ, [width, width].
Result<std::vector<float>> MakeGram(std::span<const float> x, size_t width, int threads,
                                    const std::filesystem::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const PackedColumns columns,
                         PackedColumns::Make(x, width, threads, folder));
  std::vector<float> gram(width * width);
  const size_t tiles = columns.tiles();
  GRAFT_RETURN_IF_ERROR(ParallelFor(threads, static_cast<int64_t>(tiles), [&](int64_t task) {
    const auto a = static_cast<size_t>(task);
    for (size_t b = a; b < tiles; ++b) {
      double sums[kPackedColumns * kPackedColumns] = {};
      AddPackedGram(columns.tile(a), columns.tile(b), columns.pairs(), sums);
      for (size_t i = 0; i < std::min(kPackedColumns, width - a * kPackedColumns); ++i) {
        for (size_t j = 0; j < std::min(kPackedColumns, width - b * kPackedColumns); ++j) {
          const size_t row = a * kPackedColumns + i, column = b * kPackedColumns + j;
          const auto sum = static_cast<float>(sums[i * kPackedColumns + j] * columns.steps()[row] *
                                              columns.steps()[column]);
          gram[row * width + column] = sum;
          gram[column * width + row] = sum;
        }
      }
    }
    return OkStatus();
  }));
  return gram;
}

/// The upper triangle of a matrix, turned into V in place, a block of columns after the other from
/// the last on.
class Factoring {
 public:
  Factoring(std::vector<double>& matrix, size_t width, int threads)
      : matrix_(matrix), width_(width), threads_(threads) {}

  Status Run() {
    for (size_t end = width_; end > 0;) {
      const size_t begin = (end - 1) / kColumns * kColumns;
      GRAFT_RETURN_IF_ERROR(FactorBlock(begin, end));
      GRAFT_RETURN_IF_ERROR(ReduceAbove(begin, end));
      end = begin;
    }
    return OkStatus();
  }

 private:
  static constexpr size_t kColumns = 64, kRowsTogether = 48;

  double* At(size_t i, size_t j) { return matrix_.data() + i * width_ + j; }

  /// Divides rows [first, last) of the block's columns by its factor.
  void Solve(size_t first, size_t last, size_t begin, size_t end) {
    for (size_t i = first; i < last; ++i) {
      for (size_t j = end; j-- > std::max(begin, i + 1);) {
        *At(i, j) = (*At(i, j) - Dot(At(i, j) + 1, At(j, j) + 1, end - j - 1)) / *At(j, j);
      }
    }
  }

  Status FactorBlock(size_t begin, size_t end) {
    for (size_t j = end; j-- > begin;) {
      Solve(j, j + 1, begin, end);
      const double square = *At(j, j) - Dot(At(j, j) + 1, At(j, j) + 1, end - j - 1);
      if (!(square > 0) || !std::isfinite(square)) return NotFinite();
      *At(j, j) = std::sqrt(square);
    }
    return OkStatus();
  }

  Status ReduceAbove(size_t begin, size_t end) {
    if (begin == 0) return OkStatus();
    const size_t depth = end - begin;
    const auto tasks = static_cast<int64_t>((begin + kRowsTogether - 1) / kRowsTogether);
    negative_.resize(depth * begin);
    GRAFT_RETURN_IF_ERROR(ParallelFor(threads_, tasks, [&](int64_t task) {
      const size_t first = static_cast<size_t>(task) * kRowsTogether;
      const size_t last = std::min(first + kRowsTogether, begin);
      Solve(first, last, begin, end);
      for (size_t i = first; i < last; ++i) {
        for (size_t k = 0; k < depth; ++k) negative_[k * begin + i] = -*At(i, begin + k);
      }
      return OkStatus();
    }));
    return ParallelFor(threads_, tasks, [&](int64_t task) {
      const size_t first = static_cast<size_t>(task) * kRowsTogether;
      const size_t last = std::min(first + kRowsTogether, begin);
      AddProducts(At(first, begin), width_, negative_.data() + first, begin, last - first, depth,
                  begin - first, At(first, first), width_);
      return OkStatus();
    });
  }

  std::vector<double>& matrix_;
  const size_t width_;
  const int threads_;
  std::vector<double> negative_;  // [columns of the block, rows above it]
};

/// Sets feedback and pivots of a Hessian whose other members are there.
Status Factor(Hessian* hessian, int threads) {
  const size_t width = hessian->width;
  std::vector<double>& v = hessian->feedback;
  v.assign(width * width, 0.0);
  for (size_t i = 0; i < width; ++i) {
    const float* row = hessian->damped.data() + hessian->order[i] * width;
    for (size_t j = i; j < width; ++j) v[i * width + j] = row[hessian->order[j]];
  }
  GRAFT_RETURN_IF_ERROR(Factoring(v, width, threads).Run());
  for (size_t i = 0; i < width; ++i) hessian->pivots.push_back(v[i * width + i]);
  for (size_t i = 0; i < width; ++i) {
    for (size_t j = i; j < width; ++j) v[i * width + j] /= hessian->pivots[j];
  }
  return OkStatus();
}

}  // namespace

Result<Hessian> MakeHessian(std::span<const float> x, size_t width, int threads,
                            const std::filesystem::path& folder) {
  Hessian hessian;
  hessian.width = width;
  GRAFT_ASSIGN_OR_RETURN(hessian.damped, MakeGram(x, width, threads, folder));
  double sum = 0;
  for (size_t i = 0; i < width; ++i) {
    hessian.diagonal.push_back(hessian.damped[i * width + i]);
    sum += hessian.diagonal.back();
  }
  hessian.order.resize(width);
  std::iota(hessian.order.begin(), hessian.order.end(), 0u);
  std::stable_sort(hessian.order.begin(), hessian.order.end(), [&](uint32_t a, uint32_t b) {
    return hessian.diagonal[a] > hessian.diagonal[b];
  });
  const double damping = sum > 0 ? kDamping * sum / static_cast<double>(width) : 1.0;
  for (size_t i = 0; i < width; ++i) {
    hessian.damped[i * width + i] = static_cast<float>(hessian.diagonal[i] + damping);
  }
  GRAFT_RETURN_IF_ERROR(Factor(&hessian, threads));
  return hessian;
}

}  // namespace graft::converter
