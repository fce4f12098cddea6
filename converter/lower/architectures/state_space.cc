// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/state_space.h"

#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kMostTaps = 1024;
constexpr size_t kParts = 5;

// One end of time_step_limit. Infinity is written as a number that JSON does not have, or as
// {"__float__": "Infinity"}.
Result<float> ReadLimit(const JsonValue& limit) {
  if (limit.IsObject()) return 0.0f;
  GRAFT_ASSIGN_OR_RETURN(const double number, limit.AsDouble());
  if (!(number >= 0.0)) return limit.Fail("must be 0 or more");
  return std::isfinite(static_cast<float>(number)) ? static_cast<float>(number) : 0.0f;
}

Status ReadLimits(const JsonValue& config, ScanShape* scan) {
  const JsonValue limits = config.Find("time_step_limit");
  if (limits.IsNull()) return OkStatus();
  if (!limits.IsArray() || limits.size() != 2) return limits.Fail("must be two numbers");
  GRAFT_ASSIGN_OR_RETURN(scan->step_low, ReadLimit(limits.at(0)));
  GRAFT_ASSIGN_OR_RETURN(scan->step_high, ReadLimit(limits.at(1)));
  if (scan->step_high != 0.0f && scan->step_high < scan->step_low)
    return limits.Fail("has its ends in the wrong order");
  return OkStatus();
}

// `rows` rows of in_proj from `begin` on. factors: of parts of these rows, one after the other.
struct Slice {
  std::string_view name;
  int64_t begin;
  std::vector<std::pair<double, int64_t>> factors;

  int64_t rows() const {
    int64_t sum = 0;
    for (const auto& [factor, count] : factors) sum += count;
    return sum;
  }
};

ValueId InProjection(const StateSpace& space, const Module& m, ValueId x, const Slice& slice,
                     bool is_step) {
  GraphBuilder& g = m.graph();
  const ScanShape& scan = space.scan;
  TensorPart part;
  part.source_rows = 2 * scan.width() + 2 * scan.shared() + scan.heads;
  part.rows.begin = slice.begin;
  for (const auto& [factor, count] : slice.factors)
    part.row_factors.insert(part.row_factors.end(), static_cast<size_t>(count), factor);
  const bool plain = space.factors.empty();
  if (plain) part.row_factors.clear();
  const std::string name = m.Name("in_proj." + std::string(slice.name));
  TensorPart weight = part;
  weight.source = m.Name("in_proj.weight");
  weight.factor = space.in_factor;
  const TensorId matrix = g.Matrix(name + ".weight", std::move(weight), slice.rows(), g.Width(x));
  if (is_step) g.KeepFromInt4(matrix);
  TensorId bias;
  if (space.in_bias) {
    part.source = m.Name("in_proj.bias");
    bias = g.Vector(name + ".bias", std::move(part), slice.rows());
  }
  return g.Linear(name, x, matrix, bias);
}

ValueId GateRows(const StateSpace& space, const Module& m, ValueId gate, ValueId y) {
  GraphBuilder& g = m.graph();
  const auto multiply = [&](ValueId v) {
    return g.GatedActivation(m.Name("gated"), gate, v, schema::fb::ActivationKind::Silu);
  };
  const auto normalize = [&](ValueId v) {
    const TensorId weight = g.Vector(m.Name("norm.weight"), g.Width(v));
    return g.RmsNorm(m.Name("norm"), v, weight, space.epsilon, space.norm_runs);
  };
  switch (space.norm) {
    case StateSpace::Norm::kNone:
      return multiply(y);
    case StateSpace::Norm::kGatedFirst:
      return normalize(multiply(y));
    case StateSpace::Norm::kGatedAfter:
      return multiply(normalize(y));
  }
  return y;
}

Status ReadHeads(const JsonValue& config, const StateSpaceKeys& keys, int64_t hidden, int64_t width,
                 ScanShape* scan) {
  GRAFT_ASSIGN_OR_RETURN(scan->heads, config.GetIntIn(keys.heads, 1, kMaxHeads, keys.usual_heads));
  GRAFT_ASSIGN_OR_RETURN(scan->groups,
                         config.GetIntIn(keys.groups, 1, kMaxHeads, keys.usual_groups));
  GRAFT_ASSIGN_OR_RETURN(scan->state_dim,
                         config.GetIntIn(keys.state_dim, 1, kMaxHeadDim, keys.usual_state_dim));
  if (width == 0) {
    GRAFT_ASSIGN_OR_RETURN(const double expand, config.GetDouble(keys.expand, 2.0));
    const double expanded = expand * static_cast<double>(hidden);
    if (!(expanded >= 1.0 && expanded <= static_cast<double>(kMaxWidth)))
      return config.Find(keys.expand).Fail("gives a width that is too small or large");
    width = static_cast<int64_t>(expanded);
  }
  const JsonValue head_dim = config.Find(keys.head_dim);
  if (head_dim.IsNull() ? keys.usual_head_dim == 0 : head_dim.Text() == "\"auto\"") {
    scan->head_dim = width / scan->heads;
  } else {
    GRAFT_ASSIGN_OR_RETURN(scan->head_dim,
                           config.GetIntIn(keys.head_dim, 1, kMaxHeadDim, width / scan->heads));
  }
  if (scan->width() != width || scan->heads % scan->groups != 0) {
    return config.Find(keys.heads)
        .Fail("is " + std::to_string(scan->heads) + ", which does not fit a width of " +
              std::to_string(width) + " in " + std::to_string(scan->groups) + " groups");
  }
  return OkStatus();
}

}  // namespace

Result<StateSpace> ReadStateSpace(const JsonValue& config, const StateSpaceKeys& keys,
                                  int64_t hidden, int64_t width) {
  StateSpace space;
  GRAFT_RETURN_IF_ERROR(ReadHeads(config, keys, hidden, width, &space.scan));
  GRAFT_RETURN_IF_ERROR(ReadLimits(config, &space.scan));
  GRAFT_ASSIGN_OR_RETURN(space.kernel, config.GetIntIn(keys.kernel, 2, kMostTaps, 4));
  GRAFT_ASSIGN_OR_RETURN(space.conv_bias, config.GetBool(keys.conv_bias, true));
  GRAFT_ASSIGN_OR_RETURN(space.in_bias, config.GetBool(keys.proj_bias, false));
  space.out_bias = space.in_bias;
  space.activation = schema::fb::ActivationKind::Silu;
  if (config.Has("hidden_act")) {
    GRAFT_ASSIGN_OR_RETURN(space.activation, ReadActivation(config, "hidden_act"));
  }
  return space;
}

ValueId MixByStateSpace(const StateSpace& space, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  ScanShape scan = space.scan;
  const int64_t hidden = g.Width(x);
  const int64_t width = scan.width();
  const int64_t shared = scan.shared();
  const std::vector<double> f =
      space.factors.empty() ? std::vector<double>(kParts, 1.0) : space.factors;
  const ValueId gate = InProjection(space, m, x, {"gate", 0, {{f[0], width}}}, false);
  const Slice of_mixed = {"xbc", width, {{f[1], width}, {f[2], shared}, {f[3], shared}}};
  ValueId mixed = InProjection(space, m, x, of_mixed, false);
  const ValueId steps =
      InProjection(space, m, x, {"dt", 2 * width + 2 * shared, {{f[4], scan.heads}}}, true);
  const int64_t mixed_width = width + 2 * shared;
  const TensorId kernels = g.ColumnKernels(m.Name("conv1d.weight"), mixed_width, space.kernel);
  const TensorId bias = space.conv_bias ? g.Vector(m.Name("conv1d.bias"), mixed_width) : TensorId{};
  mixed = g.ShortConvolution(m.Name("conv1d"), mixed, kernels, bias);
  mixed = g.Activation(m.Name("act"), mixed, space.activation);
  scan.rates = AddDecayRates(m, scan.heads);
  scan.offsets = g.Vector(m.Name("dt_bias"), scan.heads);
  scan.skips = g.Vector(m.Name("D"), scan.heads);
  ValueId y = g.SelectiveScan(m.path(), mixed, {}, steps, scan);
  y = GateRows(space, m, gate, y);
  return m.Linear("out_proj", y, hidden, space.out_bias, space.out_factor);
}

TensorId AddDecayRates(const Module& m, int64_t rows, int64_t width) {
  GraphBuilder& g = m.graph();
  const std::string source = m.Name("A_log");
  const std::vector<double> logarithms =
      width == 0 ? g.Numbers(source, rows) : g.Numbers(source, rows, width);
  std::vector<float> rates;
  rates.reserve(logarithms.size());
  for (const double logarithm : logarithms)
    rates.push_back(static_cast<float>(-std::exp(logarithm)));
  return g.Literal(m.Name("rates"), std::move(rates));
}

ValueId StepLinear(const Module& m, std::string_view name, ValueId x, int64_t out_features,
                   bool bias) {
  GraphBuilder& g = m.graph();
  const std::string module = m.Name(name);
  const TensorId matrix = g.Matrix(module + ".weight", out_features, g.Width(x));
  g.KeepFromInt4(matrix);
  return g.Linear(module, x, matrix, bias ? g.Vector(module + ".bias", out_features) : TensorId{});
}

}  // namespace graft::converter
