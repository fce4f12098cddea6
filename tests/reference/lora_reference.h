// SPDX-License-Identifier: Apache-2.0
// The merge as the papers write it, in three loops and float64: what the fast code answers to.
#pragma once

#include <cstdint>
#include <vector>

namespace graft::reference {

/// How a weight [rows, columns] relates to b * a: as it is, or as the transpose of it.
enum class Orientation : uint8_t { kStraight, kTransposed };

struct LowRank {
  std::vector<double> a;  ///< [rank, in_features]
  std::vector<double> b;  ///< [out_features, rank]
  int64_t rank = 0;
  double scale = 1;
  Orientation orientation = Orientation::kStraight;
};

/// w + scale * b * a. Shapes: w [rows, columns]; straight: rows = out_features, columns =
/// in_features.
/// Source   Hu et al. 2021, section 4.1.
std::vector<double> MergeLora(const std::vector<double>& w, int64_t rows, int64_t columns,
                              const LowRank& update);

/// MergeLora, then each output feature scaled to its magnitude: rows of a straight weight, columns
/// of a transposed one.
/// Source   Liu et al. 2024, equation 5.
std::vector<double> MergeDora(const std::vector<double>& w, int64_t rows, int64_t columns,
                              const LowRank& update, const std::vector<double>& magnitude);

/// scale * |b| * |a|: the size of the terms that may cancel, for error bounds.
std::vector<double> TermSizes(int64_t rows, int64_t columns, const LowRank& update);

}  // namespace graft::reference
