// SPDX-License-Identifier: Apache-2.0
// Some places of a row at a time, all their channels one vector after the other: a tap is read once for
// these places, and what lies under them is read in the order in which it lies in memory.
#include "runtime/kernels/images/depthwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/images/depthwise.cc"  // NOLINT
#include "hwy/foreach_target.h"                                   // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kDepthwiseLanes>;
using Vector = hn::Vec<Floats>;

// Places under the window: rows [row_begin, row_end) of the kernel, columns likewise.
struct Taps {
  size_t row_begin, row_end, column_begin, column_end;
};

// kPlaces places from `at` on, which is the pixel under the window's first place of the first, of a
// vector of channels. Pixels are signed: those left of the image are never read.
template <size_t kPlaces>
HWY_INLINE void Accumulate(const DepthwiseShape& s, const float* HWY_RESTRICT image, ptrdiff_t at,
                           const Taps& taps, size_t channel, size_t count,
                           float* HWY_RESTRICT out) {
  const Floats d;
  const ImageWindow& w = s.window;
  const size_t step = w.stride_width * w.channels;
  Vector sum[kPlaces];
  for (size_t i = 0; i < kPlaces; ++i) sum[i] = hn::Load(d, s.bias + channel);
  for (size_t r = taps.row_begin; r < taps.row_end; ++r) {
    for (size_t c = taps.column_begin; c < taps.column_end; ++c) {
      const Vector tap = hn::Load(d, s.taps + (r * w.kernel_width + c) * s.stride + channel);
      const ptrdiff_t pixel =
          at + static_cast<ptrdiff_t>(r * w.dilation_height * w.width + c * w.dilation_width);
      const float* from = image + pixel * static_cast<ptrdiff_t>(w.channels) + channel;
      for (size_t i = 0; i < kPlaces; ++i)
        sum[i] = hn::MulAdd(hn::LoadU(d, from + i * step), tap, sum[i]);
    }
  }
  const Vector low = hn::Set(d, s.low);
  const Vector high = hn::Set(d, s.high);
  for (size_t i = 0; i < kPlaces; ++i) {
    const Vector y = hn::Min(hn::Max(sum[i], low), high);
    if (count == hn::Lanes(d)) {
      hn::StoreU(y, d, out + i * w.channels);
    } else {
      hn::StoreN(y, d, out + i * w.channels, count);
    }
  }
}

// The part [begin, end) of a kernel's side that lies over pixels [0, size), from `first` on.
void Visible(ptrdiff_t first, size_t kernel, size_t dilation, size_t size, size_t* begin,
             size_t* end) {
  const auto step = static_cast<ptrdiff_t>(dilation);
  const auto last = static_cast<ptrdiff_t>(size) - first;  // the first pixel behind the image
  *begin = first < 0 ? static_cast<size_t>((-first + step - 1) / step) : 0;
  *end = last <= 0 ? 0 : std::min(kernel, static_cast<size_t>((last + step - 1) / step));
  *begin = std::min(*begin, *end);
}

// kPlaces places from `at` on, of all channels.
template <size_t kPlaces>
HWY_INLINE void AccumulateChannels(const DepthwiseShape& s, const float* image, ptrdiff_t at,
                                   const Taps& taps, float* out) {
  const size_t lanes = hn::Lanes(Floats());
  for (size_t channel = 0; channel < s.window.channels; channel += lanes) {
    Accumulate<kPlaces>(s, image, at, taps, channel, std::min(lanes, s.window.channels - channel),
                        out + channel);
  }
}

void DepthwiseRowImpl(const DepthwiseShape& s, const float* image, size_t row, float* out) {
  constexpr size_t kMost = HWY_ARCH_X86_32 || HWY_ARCH_ARM_V7 ? 4 : 8;
  constexpr size_t kSome = 4;  // of a row that is shorter, or its end
  const ImageWindow& w = s.window;
  const auto top =
      static_cast<ptrdiff_t>(row * w.stride_height) - static_cast<ptrdiff_t>(w.pad_height);
  const auto width = static_cast<ptrdiff_t>(w.width);
  const auto reach = static_cast<ptrdiff_t>((w.kernel_width - 1) * w.dilation_width);
  Taps taps{};
  Visible(top, w.kernel_height, w.dilation_height, w.height, &taps.row_begin, &taps.row_end);
  for (size_t place = 0; place < w.out_width;) {
    const auto left =
        static_cast<ptrdiff_t>(place * w.stride_width) - static_cast<ptrdiff_t>(w.pad_width);
    Visible(left, w.kernel_width, w.dilation_width, w.width, &taps.column_begin, &taps.column_end);
    // Whether the window lies in the image at `count` places.
    const auto are_whole = [&](size_t count) {
      const auto last = left + static_cast<ptrdiff_t>((count - 1) * w.stride_width);
      return place + count <= w.out_width && left >= 0 && last + reach < width;
    };
    float* to = out + place * w.channels;
    const ptrdiff_t at = top * width + left;
    if (are_whole(kMost)) {
      AccumulateChannels<kMost>(s, image, at, taps, to);
      place += kMost;
    } else if (are_whole(kSome)) {
      AccumulateChannels<kSome>(s, image, at, taps, to);
      place += kSome;
    } else {
      AccumulateChannels<1>(s, image, at, taps, to);
      ++place;
    }
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(DepthwiseRowImpl);

void DepthwiseRow(const DepthwiseShape& shape, const float* image, size_t row, float* out) {
  HWY_DYNAMIC_DISPATCH(DepthwiseRowImpl)(shape, image, row, out);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
