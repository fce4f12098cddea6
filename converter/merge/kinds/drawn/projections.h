// SPDX-License-Identifier: Apache-2.0
// Projections that all layers of an adapter share: stored in its file, or drawn again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {

/// The largest layer of an adapter, side by side.
struct LargestLayer {
  int64_t outputs = 0;
  int64_t inputs = 0;
};

/// Over all modules of the adapter that have a tensor of that role.
/// Errors   those of FindLinear.
Result<LargestLayer> FindLargest(std::string_view role, AdapterPlanner* planner);

/// Two matrices of float32 numbers, drawn when one of them is first asked for and kept.
/// Thread   safe.
class DrawnPair {
 public:
  struct Numbers {
    std::vector<float> a;
    std::vector<float> b;
  };
  using Draw = std::function<Status(Numbers* numbers)>;

  explicit DrawnPair(Draw draw) : draw_(std::move(draw)) {}
  Result<const Numbers*> Get() const;

 private:
  Draw draw_;
  mutable std::once_flag once_;
  mutable Status drawn_;
  mutable Numbers numbers_;
};

/// One of two projections: a stored tensor, or one of a drawn pair.
class Projection {
 public:
  Projection() = default;
  explicit Projection(StoredFactor stored) : stored_(stored) {}
  Projection(std::shared_ptr<const DrawnPair> drawn, bool second)
      : drawn_(std::move(drawn)), second_(second) {}

  /// Numbers [first, first + out.size()) in row-major order.
  Status Read(int64_t first, std::span<double> out) const;

 private:
  StoredFactor stored_;
  std::shared_ptr<const DrawnPair> drawn_;
  bool second_ = false;
};

/// What bounds numbers that torch.nn.init.kaiming_uniform_ draws.
float KaimingBound(int64_t fan_in, double slope);

}  // namespace graft::converter
