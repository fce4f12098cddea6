// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/text_ops.h"

#include <algorithm>
#include <cmath>

#include "converter/base/parallel.h"
#include "converter/calibrate/numbers/fixed_math.h"
#include "converter/calibrate/numbers/products.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr size_t kRowsTogether = 48;
constexpr size_t kFeaturesTogether = 512;

/// Computes rows [begin, end).
using RowFunction = void (*)(const OpCall& call, size_t begin, size_t end);

Status RunByRows(const OpCall& call, RowFunction function) {
  const size_t rows = call.batch.rows();
  const auto tasks = static_cast<int64_t>((rows + kRowsTogether - 1) / kRowsTogether);
  // Threads are worth their start where there is much to do.
  const bool is_large = rows * call.out_width > 200'000;
  return ParallelFor(is_large ? call.threads : 1, tasks, [&](int64_t task) {
    const size_t begin = static_cast<size_t>(task) * kRowsTogether;
    function(call, begin, std::min(begin + kRowsTogether, rows));
    return OkStatus();
  });
}

/// What the activation takes the exponential of, if it does.
double ExponentOf(fb::ActivationKind kind, double x) {
  switch (kind) {
    case fb::ActivationKind::Silu:
    case fb::ActivationKind::Sigmoid:
      return -x;
    case fb::ActivationKind::QuickGelu:
      return -1.702 * x;
    case fb::ActivationKind::GeluTanh:
      return -2 * 0.79788456080286536 * (x + 0.044715 * x * x * x);
    default:
      return 0;
  }
}

/// The activation of x, whose exponential is known.
double Activate(fb::ActivationKind kind, double x, double exponential) {
  switch (kind) {
    case fb::ActivationKind::Silu:
    case fb::ActivationKind::QuickGelu:
    case fb::ActivationKind::GeluTanh:  // 0.5 x (1 + tanh(y)) = x / (1 + exp(-2 y))
      return x / (1 + exponential);
    case fb::ActivationKind::Sigmoid:
      return 1 / (1 + exponential);
    case fb::ActivationKind::Gelu:
      return 0.5 * x * (1 + FixedErf(x * 0.70710678118654752));
    case fb::ActivationKind::Relu:
      return std::max(x, 0.0);
    case fb::ActivationKind::Tanh:
      return FixedTanh(x);
    case fb::ActivationKind::ReluSquared:
      return x > 0 ? x * x : 0.0;
  }
  return x;
}

void ActivateAll(fb::ActivationKind kind, const float* x, size_t count, double* values) {
  for (size_t i = 0; i < count; ++i) values[i] = ExponentOf(kind, x[i]);
  FixedExps(values, count);
  for (size_t i = 0; i < count; ++i) values[i] = Activate(kind, x[i], values[i]);
}

void RunEmbedding(const OpCall& call, size_t begin, size_t end) {
  const fb::Embedding& embedding = *call.op.attributes_as_Embedding();
  const std::span<const float> table = call.tensor(embedding.table());
  for (size_t row = begin; row < end; ++row) {
    const size_t id = call.in[0].is_positions ? call.batch.PositionOf(row)
                                              : static_cast<size_t>(call.batch.ids[row]);
    for (size_t i = 0; i < call.out_width; ++i) {
      call.out[row * call.out_width + i] = embedding.scale() * table[id * call.out_width + i];
    }
  }
}

void RunRmsNorm(const OpCall& call, size_t begin, size_t end) {
  const fb::RmsNorm& norm = *call.op.attributes_as_RmsNorm();
  const std::span<const float> weight = call.tensor(norm.weight());
  const size_t group = weight.size();
  for (size_t at = begin * call.out_width; at < end * call.out_width; at += group) {
    const float* x = call.in[0].numbers + at;
    double squares = 0;
    for (size_t i = 0; i < group; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(group) + norm.epsilon());
    for (size_t i = 0; i < group; ++i)
      call.out[at + i] = static_cast<float>(x[i] * factor * weight[i]);
  }
}

void RunLayerNorm(const OpCall& call, size_t begin, size_t end) {
  const fb::LayerNorm& norm = *call.op.attributes_as_LayerNorm();
  const std::span<const float> weight = call.tensor(norm.weight());
  const std::span<const float> bias = call.tensor(norm.bias());
  const size_t group = norm.group() == 0 ? call.out_width : norm.group();
  for (size_t at = begin * call.out_width; at < end * call.out_width; at += group) {
    const float* x = call.in[0].numbers + at;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < group; ++i) sum += x[i];
    const double mean = sum / static_cast<double>(group);
    for (size_t i = 0; i < group; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double factor = 1 / std::sqrt(squares / static_cast<double>(group) + norm.epsilon());
    for (size_t i = 0; i < group; ++i) {
      const size_t column = (at + i) % call.out_width;
      const double offset = bias.empty() ? 0.0 : static_cast<double>(bias[column]);
      call.out[at + i] = static_cast<float>((x[i] - mean) * factor * weight[column] + offset);
    }
  }
}

void RunRope(const OpCall& call, size_t begin, size_t end) {
  const fb::Rope& rope = *call.op.attributes_as_Rope();
  const std::span<const float> frequencies = call.tensor(rope.inverse_frequencies());
  const size_t half = rope.rotary_dim() / 2;
  for (size_t row = begin; row < end; ++row) {
    const auto position = static_cast<double>(call.batch.PositionOf(row));
    const size_t at = row * call.out_width;
    double growth = 1.0;
    if (rope.growth_positions() != 0) {
      growth += rope.growth() * FixedLog(1 + std::floor(position / rope.growth_positions()));
    }
    for (size_t i = 0; i < call.out_width; ++i) {
      call.out[at + i] = static_cast<float>(call.in[0].numbers[at + i] * growth);
    }
    for (size_t i = 0; i < half; ++i) {
      double sine = 0, cosine = 0;
      FixedSinCos(position * static_cast<double>(frequencies[i]), &sine, &cosine);
      sine *= rope.magnitude();
      cosine *= rope.magnitude();
      const size_t first = rope.interleaved() ? 2 * i : i;
      const size_t second = rope.interleaved() ? 2 * i + 1 : i + half;
      for (size_t head = at; head < at + call.out_width; head += rope.head_dim()) {
        const double a = call.in[0].numbers[head + first] * growth;
        const double b = call.in[0].numbers[head + second] * growth;
        call.out[head + first] = static_cast<float>(a * cosine - b * sine);
        call.out[head + second] = static_cast<float>(b * cosine + a * sine);
      }
    }
  }
}

/// out = f(number of the first input, number of the last).
template <typename Function>
void RunElements(const OpCall& call, size_t begin, size_t end, Function f) {
  const float* a = call.in.front().numbers;
  // Ids and positions have no numbers, and nothing asks for them.
  const float* b = call.in.back().numbers == nullptr ? a : call.in.back().numbers;
  for (size_t i = begin * call.out_width; i < end * call.out_width; ++i) {
    call.out[i] = static_cast<float>(f(static_cast<double>(a[i]), static_cast<double>(b[i])));
  }
}

void RunAdd(const OpCall& call, size_t begin, size_t end) {
  RunElements(call, begin, end, [](double a, double b) { return a + b; });
}
void RunMultiply(const OpCall& call, size_t begin, size_t end) {
  RunElements(call, begin, end, [](double a, double b) { return a * b; });
}

/// out = Activate(number of the first input) * number of `gate`, if that is not null.
void RunActivations(const OpCall& call, fb::ActivationKind kind, const float* gate, size_t begin,
                    size_t end) {
  constexpr size_t kTogether = 256;
  const float* x = call.in.front().numbers;
  double values[kTogether];
  for (size_t at = begin * call.out_width; at < end * call.out_width; at += kTogether) {
    const size_t count = std::min(kTogether, end * call.out_width - at);
    ActivateAll(kind, x + at, count, values);
    for (size_t i = 0; i < count; ++i) {
      call.out[at + i] = static_cast<float>(
          gate == nullptr ? values[i] : values[i] * static_cast<double>(gate[at + i]));
    }
  }
}
void RunActivation(const OpCall& call, size_t begin, size_t end) {
  RunActivations(call, call.op.attributes_as_Activation()->kind(), nullptr, begin, end);
}
void RunGatedActivation(const OpCall& call, size_t begin, size_t end) {
  RunActivations(call, call.op.attributes_as_GatedActivation()->kind(), call.in.back().numbers,
                 begin, end);
}
// All rows: whoever selects some for their logits is calibrated on every one.
void RunSelectRows(const OpCall& call, size_t begin, size_t end) {
  RunElements(call, begin, end, [](double a, double) { return a; });
}
void RunScale(const OpCall& call, size_t begin, size_t end) {
  const double factor = call.op.attributes_as_Scale()->factor();
  RunElements(call, begin, end, [factor](double a, double) { return factor * a; });
}
void RunClamp(const OpCall& call, size_t begin, size_t end) {
  const double low = call.op.attributes_as_Clamp()->low();
  const double high = call.op.attributes_as_Clamp()->high();
  RunElements(call, begin, end, [=](double a, double) { return std::clamp(a, low, high); });
}
void RunXielu(const OpCall& call, size_t begin, size_t end) {
  const fb::Xielu& xielu = *call.op.attributes_as_Xielu();
  RunElements(call, begin, end, [&xielu](double x, double) {
    if (x > 0) return xielu.alpha_p() * x * x + xielu.beta() * x;
    const double least = std::min(x, static_cast<double>(xielu.epsilon()));
    return xielu.alpha_n() * (FixedExp(least) - 1 - x) + xielu.beta() * x;
  });
}

Status RunLinear(const OpCall& call) {
  const fb::Linear& linear = *call.op.attributes_as_Linear();
  const float* weight = call.tensor(linear.weight()).data();
  const std::span<const float> bias = call.tensor(linear.bias());
  const size_t width = call.in[0].width, rows = call.batch.rows();
  const size_t row_blocks = (rows + kRowsTogether - 1) / kRowsTogether;
  const size_t feature_blocks = (call.out_width + kFeaturesTogether - 1) / kFeaturesTogether;
  const auto tasks = static_cast<int64_t>(row_blocks * feature_blocks);
  return ParallelFor(call.threads, tasks, [&](int64_t task) {
    const size_t row = static_cast<size_t>(task) / feature_blocks * kRowsTogether;
    const size_t feature = static_cast<size_t>(task) % feature_blocks * kFeaturesTogether;
    const size_t row_count = std::min(kRowsTogether, rows - row);
    const size_t features = std::min(kFeaturesTogether, call.out_width - feature);
    float* out = call.out + row * call.out_width + feature;
    MultiplyTransposed(call.in[0].numbers + row * width, weight + feature * width, row_count, width,
                       features, out, call.out_width);
    for (size_t r = 0; r < row_count && !bias.empty(); ++r) {
      for (size_t i = 0; i < features; ++i) out[r * call.out_width + i] += bias[feature + i];
    }
    return OkStatus();
  });
}

RowFunction FunctionOf(fb::OpAttributes kind) {
  switch (kind) {
    case fb::OpAttributes::Embedding:
      return RunEmbedding;
    case fb::OpAttributes::RmsNorm:
      return RunRmsNorm;
    case fb::OpAttributes::LayerNorm:
      return RunLayerNorm;
    case fb::OpAttributes::Rope:
      return RunRope;
    case fb::OpAttributes::Add:
      return RunAdd;
    case fb::OpAttributes::Multiply:
      return RunMultiply;
    case fb::OpAttributes::Activation:
      return RunActivation;
    case fb::OpAttributes::GatedActivation:
      return RunGatedActivation;
    case fb::OpAttributes::SelectRows:
      return RunSelectRows;
    case fb::OpAttributes::Scale:
      return RunScale;
    case fb::OpAttributes::Clamp:
      return RunClamp;
    case fb::OpAttributes::Xielu:
      return RunXielu;
    default:
      return nullptr;
  }
}

}  // namespace

Status CheckOp(const fb::Op& op) {
  const fb::OpAttributes kind = op.attributes_type();
  const fb::Rope* rope = op.attributes_as_Rope();
  const fb::Attention* attention = op.attributes_as_Attention();
  bool computes = kind == fb::OpAttributes::Linear || FunctionOf(kind) != nullptr;
  if (rope != nullptr) computes = rope->table() < 0;
  if (attention != nullptr) {
    // Query, key, value and positions: one that reads another's cache has no keys. With a cache the
    // rows of keys are those of queries.
    computes = attention->causal() && attention->kv_cache() >= 0 && op.inputs()->size() == 4 &&
               attention->position_bias() < 0 && attention->position_tables() == nullptr &&
               !attention->both_ways() && !attention->alibi_rounded() && attention->sinks() < 0 &&
               attention->score_bias() < 0 && attention->block() == 0 &&
               attention->regions() == nullptr;
  }
  if (computes) return OkStatus();
  return Error(StatusCode::kUnsupported,
               "op '%s' is of kind %s%s, which calibration does not compute yet: convert without "
               "--calibrate",
               op.name() == nullptr ? "" : op.name()->c_str(), fb::EnumNameOpAttributes(kind),
               rope != nullptr || attention != nullptr ? " with settings" : "");
}

Status RunOp(const OpCall& call) {
  const fb::OpAttributes kind = call.op.attributes_type();
  if (kind == fb::OpAttributes::Linear) return RunLinear(call);
  if (kind == fb::OpAttributes::Attention) return RunAttention(call);
  return RunByRows(call, FunctionOf(kind));
}

}  // namespace graft::converter
