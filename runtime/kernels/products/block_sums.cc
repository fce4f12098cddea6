// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/products/block_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/products/block_sums.cc"  // NOLINT
#include "hwy/foreach_target.h"                                      // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::CappedTag<uint8_t, 4 * kSummedRows>;
using Shorts = hn::Repartition<uint16_t, Bytes>;
using Integers = hn::Repartition<int32_t, Bytes>;
using Words = hn::Repartition<uint32_t, Bytes>;
using Floats = hn::Repartition<float, Bytes>;

constexpr size_t kBytes = hn::MaxLanes(Bytes());
constexpr size_t kLanes = hn::MaxLanes(Integers());  // rows whose sums lie in one vector
constexpr size_t kVectors = kSummedRows / kLanes;
constexpr size_t kMostRows = 32;
constexpr int kZeroPoint = 8;
constexpr int32_t kSixteenfold = 4 << 7;   // in the exponent of a bf16
constexpr int32_t kLeastStored = 0x80;     // normal as it is stored,
constexpr int32_t kBeyondStored = 0x7D80;  // and finite sixteen times as large

// Both codes of each byte, their upper bits flipped back.
template <class D>
HWY_INLINE hn::Vec<D> Pairs(D d, hn::Vec<D> packed) {
  const hn::Repartition<uint16_t, D> shorts;
  const auto mask = hn::Set(d, 0x0F);
  const auto codes = hn::Xor(packed, hn::Set(d, 0x88));
  const auto high = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(shorts, codes)));
  return hn::Add(hn::And(codes, mask), hn::And(high, mask));
}

// The sums of the codes that kLanes rows have in a group of 2 * kDepth columns.
template <size_t kDepth>
HWY_INLINE hn::Vec<Integers> SumGroup(const uint8_t* at) {
  const Bytes d8;
  const Integers d32;
  if constexpr (kDepth == 8) {
    const auto first = hn::SumsOf8(Pairs(d8, hn::LoadU(d8, at)));
    const auto second = hn::SumsOf8(Pairs(d8, hn::LoadU(d8, at + kBytes)));
    return hn::ConcatEven(d32, hn::BitCast(d32, second), hn::BitCast(d32, first));
  } else if constexpr (kDepth == 4) {
    const Shorts d16;
    const Words words;
    const auto bytes = hn::BitCast(d16, Pairs(d8, hn::LoadU(d8, at)));
    const auto shorts =
        hn::BitCast(words, hn::Add(hn::And(bytes, hn::Set(d16, 0xFF)), hn::ShiftRight<8>(bytes)));
    return hn::BitCast(
        d32, hn::Add(hn::And(shorts, hn::Set(words, 0xFFFF)), hn::ShiftRight<16>(shorts)));
  } else {
    const hn::Rebind<uint8_t, Integers> d;
    return hn::PromoteTo(d32, Pairs(d, hn::LoadU(d, at)));
  }
}

// Of 8 rows from `row` on. `is_bad` gets the rows with scales that are not packed.
template <size_t kDepth>
void SumRows(const PackedBlocks& tile, size_t row, int32_t* is_bad) {
  const Integers d32;
  const Floats df;
  const size_t group_bytes = tile.tile.rows * kDepth;
  const size_t groups = tile.block_size / (2 * kDepth);
  hn::Vec<Floats> sums[kVectors];
  hn::Vec<Integers> bad[kVectors];
  for (size_t i = 0; i < kVectors; ++i) {
    sums[i] = hn::Zero(df);
    bad[i] = hn::Zero(d32);
  }
  const uint8_t* at = tile.packed + tile.tile.rows * sizeof(float) + row * kDepth;
  for (size_t block = 0; block < tile.blocks; ++block) {
    const uint8_t* const stored = at - row * kDepth + groups * group_bytes + row * sizeof(uint16_t);
    hn::Vec<Floats> scales[kVectors];
    for (size_t i = 0; i < kVectors; ++i) {
      const hn::Rebind<uint16_t, Integers> d16;
      const auto* from = reinterpret_cast<const uint16_t*>(stored) + i * kLanes;
      const auto scale = hn::PromoteTo(d32, hn::LoadU(d16, from));
      const auto is_outside =
          hn::Or(hn::VecFromMask(d32, hn::Lt(scale, hn::Set(d32, kLeastStored))),
                 hn::VecFromMask(d32, hn::Ge(scale, hn::Set(d32, kBeyondStored))));
      bad[i] = hn::Or(bad[i], is_outside);
      scales[i] = hn::BitCast(df, hn::ShiftLeft<16>(hn::Add(scale, hn::Set(d32, kSixteenfold))));
    }
    for (size_t group = 0; group < groups; ++group, at += group_bytes) {
      for (size_t i = 0; i < kVectors; ++i) {
        constexpr auto kZeros = static_cast<int>(2 * kDepth) * kZeroPoint;
        const auto codes =
            hn::Sub(SumGroup<kDepth>(at + i * kLanes * kDepth), hn::Set(d32, kZeros));
        // The product is exact: it does not matter whether it is rounded.
        sums[i] = hn::NegMulAdd(hn::ConvertTo(df, codes), scales[i], sums[i]);
      }
    }
    at += tile.tile.rows * sizeof(uint16_t);
  }
  for (size_t i = 0; i < kVectors; ++i) {
    auto* to = reinterpret_cast<float*>(tile.packed) + row + i * kLanes;
    hn::StoreU(sums[i], df, to);
    hn::StoreU(bad[i], d32, is_bad + row + i * kLanes);
  }
}

template <size_t kDepth>
bool SumTile(const PackedBlocks& tile, size_t rows) {
  int32_t is_bad[kMostRows];
  for (size_t row = 0; row < tile.tile.rows; row += kSummedRows) SumRows<kDepth>(tile, row, is_bad);
  int32_t any = 0;
  for (size_t i = 0; i < rows; ++i) any |= is_bad[i];
  return any == 0;
}

bool SumBlocksImpl(const PackedBlocks& tile, size_t rows) {
  switch (tile.tile.depth) {
    case 8:
      return SumTile<8>(tile, rows);
    case 4:
      return SumTile<4>(tile, rows);
    default:
      return SumTile<1>(tile, rows);
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(SumBlocksImpl);

bool SumBlocks(const PackedBlocks& tile, size_t rows) {
  return HWY_DYNAMIC_DISPATCH(SumBlocksImpl)(tile, rows);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
