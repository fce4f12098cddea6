// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/products/block_product.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/products/block_product.cc"  // NOLINT
#include "hwy/foreach_target.h"                                         // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_AVX2
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kTile = 8;                     // rows of W side by side
constexpr size_t kDepth = 8;                    // neighbouring columns of one of them
constexpr size_t kStep = 32;                    // columns whose sums of products fit 16 bits
constexpr size_t kRowsAtOnce = 4;               // rows of x
constexpr size_t kMaxBlocks = 2048;             // of a row
constexpr size_t kGroupBytes = kTile * kDepth;  // of 16 columns
constexpr size_t kAheadBytes = 1024;

using Bytes = hn::FixedTag<uint8_t, 32>;
using Codes = hn::FixedTag<int8_t, 32>;
using Shorts = hn::FixedTag<int16_t, 16>;
using Integers = hn::FixedTag<int32_t, 8>;
using Floats = hn::FixedTag<float, 8>;

// Sums of the codes of each block, times -4: takes the 8 that unsigned weights are raised by off
// again, half of it in each of an output's two lanes.
void SumCodes(const int8_t* codes, size_t blocks, size_t block_size, int32_t* offsets) {
  const Codes d8;
  const Shorts d16;
  const Integers d32;
  for (size_t block = 0; block < blocks; ++block) {
    auto sum = hn::Zero(d32);
    for (size_t k = 0; k < block_size; k += kStep, codes += kStep) {
      const auto pairs = hn::SatWidenMulPairwiseAdd(d16, hn::Set(Bytes(), 1), hn::LoadU(d8, codes));
      sum = hn::Add(sum, hn::WidenMulPairwiseAdd(d32, pairs, hn::Set(d16, 1)));
    }
    offsets[block] = -4 * hn::ReduceSum(d32, sum);
  }
}

HWY_INLINE hn::Vec<Codes> LoadDepth(const int8_t* codes) {
  int64_t bits;
  hwy::CopyBytes<sizeof(bits)>(codes, &bits);
  return hn::BitCast(Codes(), hn::Set(hn::FixedTag<int64_t, 4>(), bits));
}

// Bytes to their low halves and their high ones, the flipped sign bits flipped back: weights + 8.
HWY_INLINE void Split(const uint8_t* from, hn::Vec<Bytes>& low, hn::Vec<Bytes>& high) {
  const Bytes d;
  const hn::FixedTag<uint16_t, 16> pairs;
  const auto mask = hn::Set(d, 0x0F);
  const auto w = hn::Xor(hn::LoadU(d, from), hn::Set(d, 0x88));
  low = hn::And(w, mask);
  high = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(pairs, w))), mask);
}

// Rows of x, and what belongs to them. As many rows as the pack has: arrays that are indexed by
// constants stay in registers.
template <size_t... kRow>
struct Rows {
  static constexpr size_t kCount = sizeof...(kRow);
  hn::Vec<Floats> sums[2][kCount];

  // Adds one block for half of a tile's outputs, each in two lanes, as exact sums times the scale.
  template <size_t kHalf, bool kOneStep>
  HWY_INLINE void AddBlock(const uint8_t* packed, size_t steps, const int8_t* x, size_t width,
                           const int32_t* offsets, hn::Vec<Floats> scale) {
    const Shorts d16;
    const Integers d32;
    const auto ones = hn::Set(d16, 1);
    hn::Vec<Integers> sum32[kCount];
    ((sum32[kRow] = hn::Set(d32, offsets[kRow * kMaxBlocks])), ...);
    size_t step = 0;
    do {
      const uint8_t* from = packed + 2 * step * kGroupBytes + kHalf * sizeof(hn::Vec<Bytes>);
      const int8_t* at = x + step * kStep;
      hn::Vec<Shorts> sum16[kCount];
      hn::Vec<Bytes> w0, w1;
      Split(from, w0, w1);
      ((sum16[kRow] = hn::SatWidenMulPairwiseAdd(d16, w0, LoadDepth(at + kRow * width)),
        sum16[kRow] = hn::Add(sum16[kRow], hn::SatWidenMulPairwiseAdd(
                                               d16, w1, LoadDepth(at + kRow * width + kDepth)))),
       ...);
      Split(from + kGroupBytes, w0, w1);
      ((sum16[kRow] = hn::Add(sum16[kRow], hn::SatWidenMulPairwiseAdd(
                                               d16, w0, LoadDepth(at + kRow * width + 2 * kDepth))),
        sum16[kRow] = hn::Add(
            sum16[kRow],
            hn::SatWidenMulPairwiseAdd(d16, w1, LoadDepth(at + kRow * width + 3 * kDepth)))),
       ...);
      ((sum32[kRow] = hn::Add(sum32[kRow], hn::WidenMulPairwiseAdd(d32, sum16[kRow], ones))), ...);
    } while (!kOneStep && ++step < steps);
    ((sums[kHalf][kRow] =
          hn::MulAdd(hn::ConvertTo(Floats(), sum32[kRow]), scale, sums[kHalf][kRow])),
     ...);
  }
};

// bf16 numbers 0 to 3 and 4 to 7 as floats, each twice.
alignas(32) constexpr uint8_t kTwiceLow[32] = {0x80, 0x80, 0, 1, 0x80, 0x80, 0, 1, 0x80, 0x80, 2, 3,
                                               0x80, 0x80, 2, 3, 0x80, 0x80, 4, 5, 0x80, 0x80, 4, 5,
                                               0x80, 0x80, 6, 7, 0x80, 0x80, 6, 7};

// Writes `count` outputs of a row: the sums of its codes' products, each in two lanes, and the zero
// point's share, scaled.
HWY_INLINE void StoreOutputs(hn::Vec<Floats> low, hn::Vec<Floats> high, hn::Vec<Floats> code_sums,
                             hn::Vec<Floats> bias, const RowQuantization& quantization,
                             size_t count, float* out) {
  const Floats d;
  const auto total = hn::Mul(hn::Add(hn::ConcatEven(d, high, low), hn::ConcatOdd(d, high, low)),
                             hn::Set(d, 16.0f));
  const auto shifted =
      hn::MulAdd(code_sums, hn::Set(d, static_cast<float>(quantization.zero_point)), total);
  hn::StoreN(hn::MulAdd(shifted, hn::Set(d, quantization.scale), bias), d, out, count);
}

// A tile holds 8 float sums of scaled codes, then its blocks: groups of 64 bytes in which row r has
// bytes 8 r to 8 r + 7, columns 0 to 7 of 16 in the low halves, 8 to 15 in the high ones, with the
// sign bit of each flipped; then 8 scales in bf16, divided by 16. 8 biases end it.
template <bool kOneStep, size_t... kRow>
void MultiplyRows(std::index_sequence<kRow...>, const BlockProduct& product, size_t row,
                  const int32_t* offsets) {
  const Bytes d_bytes;
  const Floats d;
  const size_t blocks = product.in_features / product.block_size;
  const size_t steps = product.block_size / kStep;
  const size_t width = product.in_features;
  const size_t block_bytes = kTile * product.block_size / 2;
  const auto twice_low = hn::Load(d_bytes, kTwiceLow);
  const auto twice_high = hn::Add(twice_low, hn::Set(d_bytes, 8));  // 0x88 gives 0 as well
  const int8_t* codes = product.codes + row * width;
  const uint8_t* packed = product.packed;
  for (size_t column = 0; column < product.out_features; column += kTile) {
    const auto code_sums = hn::LoadU(d, reinterpret_cast<const float*>(packed));
    packed += kTile * sizeof(float);
    Rows<kRow...> rows;
    ((rows.sums[0][kRow] = rows.sums[1][kRow] = hn::Zero(d)), ...);
    const auto add_blocks = [&](auto low, auto high) HWY_ATTR {
      const uint8_t* from = packed;
      const int8_t* x = codes;
      for (size_t block = 0; block < blocks; ++block) {
        const auto scales = hn::LoadDup128(d_bytes, from + block_bytes);
        if constexpr (low) {
          __builtin_prefetch(from + kAheadBytes);
          __builtin_prefetch(from + kAheadBytes + 64);
          rows.template AddBlock<0, kOneStep>(
              from, steps, x, width, offsets + block,
              hn::BitCast(d, hn::TableLookupBytesOr0(scales, twice_low)));
        }
        if constexpr (high) {
          rows.template AddBlock<1, kOneStep>(
              from, steps, x, width, offsets + block,
              hn::BitCast(d, hn::TableLookupBytesOr0(scales, twice_high)));
        }
        from += block_bytes + kTile * sizeof(uint16_t);
        x += product.block_size;
      }
    };
    constexpr std::true_type kYes;
    constexpr std::false_type kNo;
    if constexpr (sizeof...(kRow) == 1) {
      add_blocks(kYes, kYes);
    } else {
      // Registers suffice for half of the outputs; the other half's weights are near by now.
      add_blocks(kYes, kNo);
      add_blocks(kNo, kYes);
    }
    packed += blocks * (block_bytes + kTile * sizeof(uint16_t));
    const auto bias = hn::LoadU(d, reinterpret_cast<const float*>(packed));
    packed += kTile * sizeof(float);
    const size_t count = std::min(kTile, product.out_features - column);
    float* out = product.output + row * product.output_stride + column;
    (StoreOutputs(rows.sums[0][kRow], rows.sums[1][kRow], code_sums, bias,
                  product.quantization[row + kRow], count, out + kRow * product.output_stride),
     ...);
  }
}

bool PrefersImpl(BlockTile tile, size_t in_features, size_t block_size) {
  return tile.rows == kTile && tile.depth == kDepth && block_size % kStep == 0 &&
         in_features / block_size <= kMaxBlocks;
}

template <bool kOneStep>
void MultiplySome(const BlockProduct& product, size_t row, size_t rows, const int32_t* offsets) {
  switch (rows) {
    case 1:
      return MultiplyRows<kOneStep>(std::make_index_sequence<1>(), product, row, offsets);
    case 2:
      return MultiplyRows<kOneStep>(std::make_index_sequence<2>(), product, row, offsets);
    case 3:
      return MultiplyRows<kOneStep>(std::make_index_sequence<3>(), product, row, offsets);
    default:
      return MultiplyRows<kOneStep>(std::make_index_sequence<kRowsAtOnce>(), product, row, offsets);
  }
}

void MultiplyImpl(const BlockProduct& product) {
  const size_t blocks = product.in_features / product.block_size;
  int32_t offsets[kRowsAtOnce * kMaxBlocks];
  for (size_t row = 0; row < product.rows; row += kRowsAtOnce) {
    const size_t rows = std::min(kRowsAtOnce, product.rows - row);
    for (size_t r = 0; r < rows; ++r) {
      SumCodes(product.codes + (row + r) * product.in_features, blocks, product.block_size,
               offsets + r * kMaxBlocks);
    }
    (product.block_size == kStep ? MultiplySome<true> : MultiplySome<false>)(product, row, rows,
                                                                             offsets);
  }
}
#else
[[maybe_unused]] bool PrefersImpl(BlockTile, size_t, size_t) { return false; }
[[maybe_unused]] void MultiplyImpl(const BlockProduct&) {}
#endif

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "runtime/kernels/products/arm_blocks.h"

namespace graft::runtime {

#if GRAFT_ARM_BLOCKS
bool PrefersBlockProduct(BlockTile tile, size_t, size_t block_size) {
  return arm::HasBlockKernels(tile, block_size);
}

void MultiplyBlocks(const BlockProduct& product) { arm::MultiplyBlocks(product); }
#else
HWY_EXPORT(PrefersImpl);
HWY_EXPORT(MultiplyImpl);

bool PrefersBlockProduct(BlockTile tile, size_t in_features, size_t block_size) {
  return HWY_DYNAMIC_DISPATCH(PrefersImpl)(tile, in_features, block_size);
}

void MultiplyBlocks(const BlockProduct& product) { HWY_DYNAMIC_DISPATCH(MultiplyImpl)(product); }
#endif

}  // namespace graft::runtime
#endif  // HWY_ONCE
