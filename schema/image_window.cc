// SPDX-License-Identifier: Apache-2.0
#include "schema/image_window.h"

#include "schema/generated/model_generated.h"

namespace graft::schema {
namespace {

struct Side {
  const char* name;
  int64_t size, kernel, stride, pad, dilation, extra;
};

Result<int64_t> PlacesAlong(const Side& side) {
  const auto bad = [](int64_t number) { return number < 1 || number > kMaxImageSide; };
  if (bad(side.size) || bad(side.kernel) || bad(side.stride) || bad(side.dilation)) {
    return Error(StatusCode::kCorrupt,
                 "has a window of %lld, stride %lld and dilation %lld over a %s of %lld; each must "
                 "be 1 to %u",
                 static_cast<long long>(side.kernel), static_cast<long long>(side.stride),
                 static_cast<long long>(side.dilation), side.name,
                 static_cast<long long>(side.size), kMaxImageSide);
  }
  const int64_t reach = side.dilation * (side.kernel - 1) + 1;
  if (side.pad + side.extra >= reach) {
    return Error(
        StatusCode::kCorrupt, "has a padding of %lld along the %s, but its window spans %lld",
        static_cast<long long>(side.pad) + side.extra, side.name, static_cast<long long>(reach));
  }
  const int64_t padded = side.size + 2 * side.pad + side.extra;
  if (reach > padded) {
    return Error(StatusCode::kCorrupt, "has a window that spans %lld of a %s of %lld with padding",
                 static_cast<long long>(reach), side.name, static_cast<long long>(padded));
  }
  return (padded - reach) / side.stride + 1;
}

}  // namespace

Result<WindowPlaces> PlacesOf(const fb::ImageWindow& window, uint32_t extra_height,
                              uint32_t extra_width) {
  if (window.channels() < 1 || window.channels() > kMaxImageChannels) {
    return Error(StatusCode::kCorrupt, "has %u channels; 1 to %u are allowed", window.channels(),
                 kMaxImageChannels);
  }
  WindowPlaces places;
  GRAFT_ASSIGN_OR_RETURN(
      places.height,
      PlacesAlong({"height", window.height(), window.kernel_height(), window.stride_height(),
                   window.pad_height(), window.dilation_height(), extra_height}));
  GRAFT_ASSIGN_OR_RETURN(places.width, PlacesAlong({"width", window.width(), window.kernel_width(),
                                                    window.stride_width(), window.pad_width(),
                                                    window.dilation_width(), extra_width}));
  // Sides and channels are at most 2^14 and 2^16, but wide windows may have more places.
  uint64_t elements = window.channels();
  bool overflows = false;
  for (const uint64_t factor :
       {static_cast<uint64_t>(places.height), static_cast<uint64_t>(places.width),
        uint64_t{window.kernel_height()} * window.kernel_width()})
    overflows = overflows || __builtin_mul_overflow(elements, factor, &elements);
  if (overflows || elements > kMaxImageElements ||
      uint64_t{window.height()} * window.width() * window.channels() > kMaxImageElements) {
    return Error(StatusCode::kCorrupt, "has an image or windows of more than %llu numbers",
                 static_cast<unsigned long long>(kMaxImageElements));
  }
  return places;
}

}  // namespace graft::schema
