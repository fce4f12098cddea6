// SPDX-License-Identifier: Apache-2.0
// Each kernel by itself on one thread: bytes of weights or of cache read a second at one row,
// operations a second at many.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "runtime/base/page_memory.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/xnn/linear_operator.h"
#include "runtime/xnn/pack_rows.h"

namespace graft::runtime {
namespace {

// state: rows, out_features, in_features
void BenchLinear(benchmark::State& state, WeightFormat format) {
  const auto rows = static_cast<size_t>(state.range(0));
  LinearWeights weights;
  weights.format = format;
  weights.out_features = static_cast<size_t>(state.range(1));
  weights.in_features = static_cast<size_t>(state.range(2));
  weights.block_size = 32;
  StoredMatrix matrix;
  matrix.format = format;
  matrix.rows = weights.out_features;
  matrix.width = weights.in_features;
  matrix.block_size = 32;
  std::vector<uint8_t> data(matrix.rows * matrix.row_bytes() + 128, 0x1B);
  // 0x3F80 is 1.0 in bf16, and as f32 the pair is about 1.0 too.
  std::vector<uint16_t> scales(matrix.rows * (matrix.width / 32 + 2), 0x3F80);
  matrix.data = data.data();
  matrix.scales = reinterpret_cast<const uint8_t*>(scales.data());
  if (!InitializeKernels().ok() || !FindLayout("bench", &weights).ok())
    return state.SkipWithError("no kernel");
  auto packed = PageMemory::Allocate(weights.packed_bytes + kReadableTailBytes, "weights",
                                     PageMemory::Pages::kHuge);
  if (!packed.ok()) return state.SkipWithError("memory");
  if (!PackRows("bench", weights, matrix, nullptr, 0, weights.out_features, packed->data()).ok())
    return state.SkipWithError("packing");
  weights.packed = packed->data();
  LinearOperator op;
  if (!op.Create("bench", weights, 0, weights.out_features, scales.data()).ok())
    return state.SkipWithError("create");
  std::vector<float> input(rows * weights.in_features + 64, 0.5f);
  std::vector<int8_t> codes(rows * weights.in_features + 256, 3);
  std::vector<RowQuantization> quantization(rows + kExtraQuantizations, RowQuantization{1, 0.01f});
  std::vector<float> output(rows * weights.out_features);
  const void* x = weights.quantizes_input() ? static_cast<const void*>(codes.data()) : input.data();
  if (!op.Prepare(rows, x, quantization.data(), output.data()).ok())
    return state.SkipWithError("prepare");
  for (auto _ : state) benchmark::DoNotOptimize(op.Run().ok());
  const auto weights_read = static_cast<double>(weights.packed_bytes);
  state.counters["GB/s"] =
      benchmark::Counter(weights_read * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GFLOP/s"] = benchmark::Counter(
      2e-9 * static_cast<double>(rows * weights.out_features * weights.in_features),
      benchmark::Counter::kIsIterationInvariantRate);
}

void LinearShapes(benchmark::internal::Benchmark* bench) {
  for (const int64_t rows : {1, 14, 128}) {
    bench->Args({rows, 128, 576})
        ->Args({rows, 1536, 576})
        ->Args({rows, 576, 1536})
        ->Args({rows, 2048, 8192});
  }
}
BENCHMARK_CAPTURE(BenchLinear, int4_block, WeightFormat::kInt4Block)->Apply(LinearShapes);
BENCHMARK_CAPTURE(BenchLinear, int4_channel, WeightFormat::kInt4Channel)->Apply(LinearShapes);
BENCHMARK_CAPTURE(BenchLinear, int8, WeightFormat::kInt8Channel)->Apply(LinearShapes);
BENCHMARK_CAPTURE(BenchLinear, float32, WeightFormat::kFloat32)->Apply(LinearShapes);

KvElement ElementOfBytes(int64_t bytes) {
  return bytes == 1 ? KvElement::kInt8 : bytes == 2 ? KvElement::kFloat16 : KvElement::kFloat32;
}

// state: rows, positions, heads, kv_heads, head_dim, bytes of an element of the cache
void BenchAttention(benchmark::State& state) {
  const auto rows = static_cast<size_t>(state.range(0));
  AttentionShape shape;
  shape.heads = static_cast<size_t>(state.range(2));
  shape.kv_heads = static_cast<size_t>(state.range(3));
  shape.head_dim = static_cast<size_t>(state.range(4));
  shape.scale = 0.125f;
  KvView view;
  view.kv_heads = shape.kv_heads;
  view.head_dim = shape.head_dim;
  view.capacity = static_cast<size_t>(state.range(1) + 15) / 16 * 16;
  view.element = ElementOfBytes(state.range(5));
  std::vector<uint8_t> cache(view.bytes() + 64);
  view.Place(cache.data());
  std::vector<float> query(rows * shape.heads * shape.head_dim, 0.25f);
  std::vector<float> out(query.size());
  std::vector<float> scratch(AttentionScratchFloats(shape));
  AttentionRows call;
  call.query = query.data();
  call.out = out.data();
  call.kv_positions = static_cast<size_t>(state.range(1));
  call.first_position = call.kv_positions - rows;
  for (auto _ : state) {
    for (size_t head = 0; head < shape.kv_heads; ++head)
      AttendRows(shape, view, call, head, 0, rows, scratch.data());
    benchmark::ClobberMemory();
  }
  double visible = 0;
  for (size_t row = 0; row < rows; ++row)
    visible += static_cast<double>(call.first_position + row + 1);
  state.counters["GFLOP/s"] =
      benchmark::Counter(4e-9 * visible * static_cast<double>(shape.heads * shape.head_dim),
                         benchmark::Counter::kIsIterationInvariantRate);
  state.counters["cache GB/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(call.kv_positions * shape.kv_heads *
                                                    shape.head_dim * view.element_bytes()),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BenchAttention)
    ->Args({1, 128, 9, 3, 64, 2})
    ->Args({1, 2048, 9, 3, 64, 2})
    ->Args({1, 2048, 32, 8, 64, 1})
    ->Args({1, 2048, 32, 8, 64, 2})
    ->Args({1, 2048, 32, 8, 64, 4})
    ->Args({128, 128, 9, 3, 64, 2})
    ->Args({128, 2048, 32, 8, 64, 1})
    ->Args({128, 2048, 32, 8, 64, 2})
    ->Args({128, 2048, 32, 8, 64, 4});

// state: kv_heads, head_dim, bytes of an element of the cache
void BenchStoreKv(benchmark::State& state) {
  constexpr size_t kPositions = 512;
  KvView view;
  view.kv_heads = static_cast<size_t>(state.range(0));
  view.head_dim = static_cast<size_t>(state.range(1));
  view.capacity = kPositions;
  view.element = ElementOfBytes(state.range(2));
  std::vector<uint8_t> cache(view.bytes() + 64);
  view.Place(cache.data());
  const std::vector<float> numbers(view.kv_heads * view.head_dim, 0.3f);
  size_t position = 0;
  for (auto _ : state) {
    StoreKv(view, position, numbers.data(), numbers.data());
    position = (position + 1) % kPositions;
    benchmark::ClobberMemory();
  }
  state.counters["elements/ns"] = benchmark::Counter(2e-9 * static_cast<double>(numbers.size()),
                                                     benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BenchStoreKv)->Args({3, 64, 4})->Args({3, 64, 2})->Args({3, 64, 1})->Args({8, 64, 2});

template <class Kernel>
void BenchRow(benchmark::State& state, Kernel kernel) {
  const auto width = static_cast<size_t>(state.range(0));
  std::vector<float> a(width, 0.5f), b(width, 1.5f), y(width);
  std::vector<int8_t> codes(width);
  for (auto _ : state) {
    kernel(a.data(), b.data(), y.data(), codes.data(), width);
    benchmark::ClobberMemory();
  }
  state.counters["elements/ns"] = benchmark::Counter(static_cast<double>(width) * 1e-9,
                                                     benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(BenchRow, rms_norm,
                  [](const float* a, const float* b, float* y, int8_t*, size_t n) {
                    RmsNormRow(a, n, b, n, 1e-5f, y);
                  })
    ->Arg(576)
    ->Arg(2048);
BENCHMARK_CAPTURE(BenchRow, silu_gate,
                  [](const float* a, const float* b, float* y, int8_t*, size_t n) {
                    GatedActivationRow(Activation::kSilu, a, b, n, y);
                  })
    ->Arg(1536)
    ->Arg(8192);
BENCHMARK_CAPTURE(BenchRow, quantize,
                  [](const float* a, const float*, float*, int8_t* codes, size_t n) {
                    RowQuantization quantization;
                    QuantizeRows(a, 1, n, codes, &quantization);
                  })
    ->Arg(576)
    ->Arg(8192);

}  // namespace
}  // namespace graft::runtime

BENCHMARK_MAIN();
