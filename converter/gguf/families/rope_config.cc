// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families/rope_config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFactors = "rope_freqs.weight";
constexpr std::string_view kLongFactors = "rope_factors_long.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight";
constexpr double kMaxContext = 1 << 24;

/// The numbers of a small tensor; none if the file does not have it.
Result<std::optional<std::vector<double>>> ReadFactors(const GgufParts& parts,
                                                       std::string_view name, int64_t count) {
  const GgufTensor* found = parts.Find(name);
  if (found == nullptr) return std::optional<std::vector<double>>();
  const int64_t size = found->shape.size() == 1 ? found->shape[0] : -1;
  if (size != count) {
    return Error(StatusCode::kCorrupt, "%s: tensor '%s' has the shape %s; the heads need [%lld]",
                 parts.path().c_str(), std::string(name).c_str(), ShapeText(found->shape).c_str(),
                 static_cast<long long>(count));
  }
  std::vector<double> factors(static_cast<size_t>(count));
  GRAFT_RETURN_IF_ERROR(parts.Read(*found, factors));
  for (const double factor : factors) {
    if (!(factor > 0.0) || !std::isfinite(factor)) {
      return Error(StatusCode::kCorrupt, "%s: tensor '%s' has a factor that is not positive",
                   parts.path().c_str(), std::string(name).c_str());
    }
  }
  return std::optional(std::move(factors));
}

/// How Llama 3 lengthens the context.
struct Llama3Scaling {
  double factor = 8.0;
  double low = 1.0;   // low_freq_factor
  double high = 4.0;  // high_freq_factor
  double original = 8192.0;
};

// Turns within the original context, of each rotated pair.
double FrequencyOf(double theta, size_t pair, size_t pairs) {
  return std::pow(theta, -static_cast<double>(pair) / static_cast<double>(pairs));
}

double FactorOf(const Llama3Scaling& scaling, double frequency) {
  const double turns = scaling.original * frequency / (2.0 * std::numbers::pi);
  if (turns > scaling.high) return 1.0;
  if (turns < scaling.low) return scaling.factor;
  const double share = (turns - scaling.low) / (scaling.high - scaling.low);
  return 1.0 / ((1.0 - share) / scaling.factor + share);
}

bool Explains(const Llama3Scaling& scaling, const std::vector<double>& factors, double theta) {
  for (size_t i = 0; i < factors.size(); ++i) {
    const double expected = FactorOf(scaling, FrequencyOf(theta, i, factors.size()));
    if (std::fabs(factors[i] - expected) > 2e-5 * expected) return false;
  }
  return true;
}

/// The scaling that has these factors. Only `original / (high - low)` and `low / (high - low)` can be
/// told from them: the usual original context is taken, which gives Llama 3 its own numbers.
std::optional<Llama3Scaling> FindScaling(const std::vector<double>& factors, double theta) {
  Llama3Scaling scaling;
  scaling.factor = *std::max_element(factors.begin(), factors.end());
  if (Explains(scaling, factors, theta)) return scaling;
  // The share of what stays, against the frequency, is a line between two factors in the blend.
  std::vector<std::pair<double, double>> points;
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i] < 1.001 || factors[i] > scaling.factor * 0.999) continue;
    const double rest = 1.0 / scaling.factor;
    points.emplace_back(FrequencyOf(theta, i, factors.size()),
                        (1.0 / factors[i] - rest) / (1.0 - rest));
  }
  if (points.empty()) return std::nullopt;
  const auto& [frequency_a, share_a] = points.front();
  const auto& [frequency_b, share_b] = points.back();
  double width = 0.0;  // high - low
  if (points.size() == 1) {
    // Then any two that are as far apart as usual.
    const double turns = scaling.original * frequency_a / (2.0 * std::numbers::pi);
    scaling.low = turns / (1.0 + 3.0 * share_a);
    width = 3.0 * scaling.low;
  } else {
    const double slope = (share_a - share_b) / (frequency_a - frequency_b);
    width = scaling.original / (2.0 * std::numbers::pi * slope);
    scaling.low = (slope * frequency_a - share_a) * width;
  }
  scaling.high = scaling.low + width;
  const bool is_sound =
      std::isfinite(scaling.low) && scaling.low > 0.0 && scaling.high > scaling.low;
  return is_sound && Explains(scaling, factors, theta) ? std::optional(scaling) : std::nullopt;
}

Status DescribeFactors(const GgufParts& parts, const std::vector<double>& factors, double theta,
                       Json* config) {
  const bool plain = std::all_of(factors.begin(), factors.end(), [](double f) { return f == 1.0; });
  if (plain) return OkStatus();
  const std::optional<Llama3Scaling> scaling = FindScaling(factors, theta);
  if (!scaling) {
    return Error(StatusCode::kUnsupported,
                 "%s: the factors of tensor '%s' are not those of Llama 3's scaling of positions",
                 parts.path().c_str(), std::string(kFactors).c_str());
  }
  (*config)["rope_scaling"] = {
      {"rope_type", "llama3"},
      {"factor", scaling->factor},
      {"low_freq_factor", scaling->low},
      {"high_freq_factor", scaling->high},
      {"original_max_position_embeddings", static_cast<int64_t>(scaling->original)}};
  return OkStatus();
}

// Phi 3: a factor for each pair, for texts within the original context and for longer ones.
Status DescribeLongRope(const GgufSettings& settings, const std::vector<double>& short_factors,
                        const std::vector<double>& long_factors, Json* config) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t original,
                         settings.GetIntIn("rope.scaling.original_context_length", 2,
                                           static_cast<int64_t>(kMaxContext)));
  (*config)["original_max_position_embeddings"] = original;
  Json scaling = {
      {"type", "longrope"}, {"short_factor", short_factors}, {"long_factor", long_factors}};
  GRAFT_ASSIGN_OR_RETURN(const auto magnitude, settings.FindNumber("rope.scaling.attn_factor"));
  if (magnitude) scaling["attention_factor"] = *magnitude;
  (*config)["rope_scaling"] = std::move(scaling);
  return OkStatus();
}

Status DescribeSetting(const GgufSettings& settings, Json* config) {
  if (!settings.Has("rope.scaling.type")) {
    // An older way to say linear.
    GRAFT_ASSIGN_OR_RETURN(const double scale, settings.GetNumber("rope.scale_linear", 1.0));
    if (scale != 1.0) (*config)["rope_scaling"] = {{"rope_type", "linear"}, {"factor", scale}};
    return OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string_view type,
                         settings.header().GetString(settings.Key("rope.scaling.type")));
  if (type == "none") return OkStatus();
  if (type != "linear" && type != "yarn") {
    return settings.Fail("rope.scaling.type", "is \"" + Sanitize(type) +
                                                  "\"; graft reads none, linear, yarn and "
                                                  "longrope with its tensors");
  }
  GRAFT_ASSIGN_OR_RETURN(const double factor, settings.GetNumber("rope.scaling.factor"));
  Json scaling = {{"rope_type", std::string(type)}, {"factor", factor}};
  if (type == "yarn") {
    GRAFT_ASSIGN_OR_RETURN(const int64_t original,
                           settings.GetIntIn("rope.scaling.original_context_length", 2,
                                             static_cast<int64_t>(kMaxContext)));
    scaling["original_max_position_embeddings"] = original;
    constexpr std::pair<const char*, const char*> kNumbers[] = {
        {"rope.scaling.yarn_attn_factor", "attention_factor"},
        {"rope.scaling.yarn_beta_fast", "beta_fast"},
        {"rope.scaling.yarn_beta_slow", "beta_slow"}};
    for (const auto& [key, name] : kNumbers) {
      GRAFT_ASSIGN_OR_RETURN(const auto number, settings.FindNumber(key));
      if (number) scaling[name] = *number;
    }
    GRAFT_ASSIGN_OR_RETURN(const double extrapolation,
                           settings.GetNumber("rope.scaling.yarn_ext_factor", 1.0));
    if (extrapolation != 1.0) return settings.Fail("rope.scaling.yarn_ext_factor", "is not 1");
    if (settings.Has("rope.scaling.yarn_truncate")) {
      GRAFT_ASSIGN_OR_RETURN(const bool truncates,
                             settings.GetBool("rope.scaling.yarn_truncate", true));
      scaling["truncate"] = truncates;
    }
  }
  (*config)["rope_scaling"] = std::move(scaling);
  return OkStatus();
}

}  // namespace

bool IsRopeTensor(std::string_view name) {
  return name == kFactors || name == kLongFactors || name == kShortFactors;
}

Status DescribeRope(const GgufParts& parts, const GgufSettings& settings, int64_t head_dim,
                    Json* config) {
  GRAFT_ASSIGN_OR_RETURN(const double theta, settings.GetNumber("rope.freq_base", 10000.0));
  if (!(theta > 0.0)) return settings.Fail("rope.freq_base", "must be positive");
  (*config)["rope_theta"] = theta;
  GRAFT_ASSIGN_OR_RETURN(const int64_t rotated,
                         settings.GetIntIn("rope.dimension_count", 2, head_dim, head_dim));
  if (rotated != head_dim) {
    (*config)["partial_rotary_factor"] =
        static_cast<double>(rotated) / static_cast<double>(head_dim);
  }
  const int64_t pairs = rotated / 2;
  GRAFT_ASSIGN_OR_RETURN(const auto long_factors, ReadFactors(parts, kLongFactors, pairs));
  GRAFT_ASSIGN_OR_RETURN(const auto short_factors, ReadFactors(parts, kShortFactors, pairs));
  if (long_factors && short_factors)
    return DescribeLongRope(settings, *short_factors, *long_factors, config);
  GRAFT_ASSIGN_OR_RETURN(const auto factors, ReadFactors(parts, kFactors, pairs));
  if (factors) return DescribeFactors(parts, *factors, theta, config);
  return DescribeSetting(settings, config);
}

}  // namespace graft::converter
