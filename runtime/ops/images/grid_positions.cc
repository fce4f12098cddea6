// SPDX-License-Identifier: Apache-2.0
// GridPositions: learned positions of a square, for an image of any sides.
// Source   PyTorch's interpolate, bilinear: with antialias, or with corners aligned.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// Which places of a side make one of another, and how much of each: a triangle around its middle.
class Neighbours {
 public:
  Neighbours(size_t at, size_t side, size_t out_side, bool corners) {
    if (corners) {
      const double step =
          out_side == 1 ? 0.0 : static_cast<double>(side - 1) / static_cast<double>(out_side - 1);
      center_ = static_cast<double>(at) * step + 0.5;
      begin = std::min(side - 1, static_cast<size_t>(center_ - 0.5));
      end = std::min(side, begin + 2);
      for (size_t i = begin; i < end; ++i) total_ += Triangle(i);
      return;
    }
    const double scale = static_cast<double>(side) / static_cast<double>(out_side);
    reach_ = std::max(1.0, scale);
    center_ = (static_cast<double>(at) + 0.5) * scale;
    begin = static_cast<size_t>(std::max(0.0, std::floor(center_ - reach_ + 0.5)));
    end = std::min(side, static_cast<size_t>(std::floor(center_ + reach_ + 0.5)));
    for (size_t i = begin; i < end; ++i) total_ += Triangle(i);
  }
  float WeightOf(size_t place) const { return static_cast<float>(Triangle(place) / total_); }

  size_t begin = 0, end = 0;

 private:
  double Triangle(size_t place) const {
    const double distance = std::fabs((static_cast<double>(place) + 0.5 - center_) / reach_);
    return std::max(0.0, 1.0 - distance);
  }
  double reach_ = 1.0, center_ = 0.0, total_ = 0.0;
};

class GridPositions final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::GridPositions& grid = source.attributes<schema::fb::GridPositions>();
    table_ = source.floats(grid.table());
    side_ = grid.side();
    corners_ = grid.corners();
    places_side_ = source.plan.model().model().task()->pictures()->side();
    return OkStatus();
  }

  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const auto place = static_cast<size_t>(places_[row]);
      const Neighbours rows(place / places_side_, side_, std::max(1u, call.images.height),
                            corners_);
      const Neighbours columns(place % places_side_, side_, std::max(1u, call.images.width),
                               corners_);
      std::fill_n(out(row), width(), 0.0f);
      for (size_t y = rows.begin; y < rows.end; ++y) {
        for (size_t x = columns.begin; x < columns.end; ++x) {
          const float weight = rows.WeightOf(y) * columns.WeightOf(x);
          const float* from = table_ + (y * side_ + x) * width();
          for (size_t i = 0; i < width(); ++i) out(row)[i] += weight * from[i];
        }
      }
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    places_ = places.input<int32_t>(0);
    return OkStatus();
  }

 private:
  const float* table_ = nullptr;
  size_t side_ = 1;
  bool corners_ = false;
  size_t places_side_ = 1;
  const int32_t* places_ = nullptr;
};

}  // namespace

const StepKind kGridPositions = {.name = "grid_positions", .make = MakeRunner<GridPositions>};

}  // namespace graft::runtime::ops
