// SPDX-License-Identifier: Apache-2.0
// Cuts the range into boxes, and each box into stretches of the file that are read at once.
#include "converter/tensors/strided_read.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace graft::converter {
namespace {

constexpr int64_t kMaxStretchBytes = 128 << 10;
// A stretch may be read whole if at most so many of its elements are read for one that is wanted.
constexpr int64_t kMaxWaste = 4;

// One dimension of a box: steps in elements of the file and of the output.
struct Axis {
  int64_t size = 0;
  int64_t stride = 0;
  int64_t out_stride = 0;
};

// Counts through all positions of some axes, the last one fastest.
class Odometer {
 public:
  explicit Odometer(std::span<const Axis> axes) : axes_(axes), position_(axes.size(), 0) {}
  int64_t source() const { return source_; }
  int64_t target() const { return target_; }

  bool Next() {
    for (size_t i = axes_.size(); i-- > 0;) {
      source_ += axes_[i].stride;
      target_ += axes_[i].out_stride;
      if (++position_[i] < axes_[i].size) return true;
      source_ -= axes_[i].size * axes_[i].stride;
      target_ -= axes_[i].size * axes_[i].out_stride;
      position_[i] = 0;
    }
    return false;
  }

 private:
  std::span<const Axis> axes_;
  std::vector<int64_t> position_;
  int64_t source_ = 0;
  int64_t target_ = 0;
};

// Reads the `span` elements at `offset` and scatters those that `axes` touch.
Status ReadStretch(const InputFile& file, uint64_t offset, int64_t span, uint64_t element_bytes,
                   std::span<const Axis> axes, uint8_t* out) {
  thread_local std::vector<uint8_t> stretch(kMaxStretchBytes);
  const std::span<uint8_t> stored =
      std::span(stretch).first(static_cast<size_t>(span) * element_bytes);
  GRAFT_RETURN_IF_ERROR(file.ReadAt(offset, stored));
  Odometer odometer(axes);
  do {
    std::memcpy(out + static_cast<uint64_t>(odometer.target()) * element_bytes,
                stored.data() + static_cast<uint64_t>(odometer.source()) * element_bytes,
                element_bytes);
  } while (odometer.Next());
  return OkStatus();
}

Status ReadBox(const InputFile& file, uint64_t offset, uint64_t element_bytes,
               std::vector<Axis> axes, uint8_t* out) {
  // With the widest steps outermost, a tail of the axes is a stretch of the file.
  std::erase_if(axes, [](const Axis& axis) { return axis.size == 1; });
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return a.stride > b.stride; });
  const int64_t max_span = kMaxStretchBytes / static_cast<int64_t>(element_bytes);
  size_t outer = axes.size();
  int64_t span = 1;   // elements of the file that the tail reaches over
  int64_t count = 1;  // elements that it wants of them
  while (outer > 0) {
    const Axis& axis = axes[outer - 1];
    const int64_t wider = span + (axis.size - 1) * axis.stride;
    if (wider > max_span || wider / kMaxWaste > count * axis.size) break;
    span = wider;
    count *= axis.size;
    --outer;
  }
  if (outer == 0) return ReadStretch(file, offset, span, element_bytes, axes, out);

  // The axis at which it becomes too wide is taken a few steps at a time.
  const size_t cut = outer - 1;
  const Axis whole = axes[cut];
  int64_t steps = 1;
  if (whole.stride / kMaxWaste <= count) {
    steps = std::clamp<int64_t>((max_span - span) / whole.stride + 1, 1, whole.size);
  }
  const std::span<const Axis> all(axes);
  Odometer odometer(all.first(cut));
  do {
    for (int64_t step = 0; step < whole.size; step += steps) {
      axes[cut].size = std::min(steps, whole.size - step);
      const uint64_t source = static_cast<uint64_t>(odometer.source() + step * whole.stride);
      const uint64_t target = static_cast<uint64_t>(odometer.target() + step * whole.out_stride);
      GRAFT_RETURN_IF_ERROR(ReadStretch(file, offset + source * element_bytes,
                                        span + (axes[cut].size - 1) * whole.stride, element_bytes,
                                        all.subspan(cut), out + target * element_bytes));
    }
  } while (odometer.Next());
  return OkStatus();
}

}  // namespace

Status ReadStrided(const InputFile& file, const StridedLayout& layout, int64_t first,
                   std::span<uint8_t> out) {
  const size_t rank = layout.shape.size();
  std::vector<int64_t> below(rank, 1);  // elements of the output below one step of each dimension
  for (size_t i = rank - 1; i > 0; --i) below[i - 1] = below[i] * layout.shape[i];

  int64_t remaining = static_cast<int64_t>(out.size() / layout.element_bytes);
  uint8_t* target = out.data();
  while (remaining > 0) {
    // The outermost dimension of which whole steps are wanted from here.
    size_t dimension = 0;
    while (first % below[dimension] != 0 || remaining < below[dimension]) ++dimension;
    int64_t source = 0;
    for (size_t i = 0; i <= dimension; ++i) {
      source += first / below[i] % layout.shape[i] * layout.strides[i];
    }
    const int64_t position = first / below[dimension] % layout.shape[dimension];
    const int64_t steps =
        std::min(layout.shape[dimension] - position, remaining / below[dimension]);
    std::vector<Axis> axes{{steps, layout.strides[dimension], below[dimension]}};
    for (size_t i = dimension + 1; i < rank; ++i) {
      axes.push_back({layout.shape[i], layout.strides[i], below[i]});
    }
    GRAFT_RETURN_IF_ERROR(
        ReadBox(file, layout.file_offset + static_cast<uint64_t>(source) * layout.element_bytes,
                layout.element_bytes, std::move(axes), target));
    const int64_t done = steps * below[dimension];
    first += done;
    remaining -= done;
    target += static_cast<uint64_t>(done) * layout.element_bytes;
  }
  return OkStatus();
}

}  // namespace graft::converter
