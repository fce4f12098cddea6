// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/rope.h"

#include <cmath>
#include <numbers>
#include <string>

namespace graft::converter {
namespace {

constexpr double kDefaultTheta = 10000.0;

Result<double> Positive(const JsonValue& object, std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const double value, object.GetDouble(key));
  if (!(value > 0.0) || !std::isfinite(value)) {
    return object.Find(key).Fail("is " + object.Find(key).Text() + "; it must be positive");
  }
  return value;
}

// Wavelengths that the training context shows often stay as they are, those it never shows whole
// are stretched by `factor`, and those between are blended.
Status ScaleAsLlama3(const JsonValue& scaling, std::vector<double>* inverse) {
  GRAFT_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor"));
  GRAFT_ASSIGN_OR_RETURN(const double low, Positive(scaling, "low_freq_factor"));
  GRAFT_ASSIGN_OR_RETURN(const double high, Positive(scaling, "high_freq_factor"));
  GRAFT_ASSIGN_OR_RETURN(const double context,
                         Positive(scaling, "original_max_position_embeddings"));
  if (high <= low) {
    return scaling.Find("high_freq_factor").Fail("must be larger than low_freq_factor");
  }
  for (double& frequency : *inverse) {
    const double turns = context * frequency / (2.0 * std::numbers::pi);  // within the context
    if (turns > high) continue;
    if (turns < low) {
      frequency /= factor;
    } else {
      const double share = (turns - low) / (high - low);
      frequency = (1.0 - share) * frequency / factor + share * frequency;
    }
  }
  return OkStatus();
}

}  // namespace

Result<RopeFrequencies> ReadRope(const JsonValue& config, int64_t head_dim) {
  const bool newer = config.Has("rope_parameters");
  const JsonValue scaling = config.Find(newer ? "rope_parameters" : "rope_scaling");
  if (!scaling.IsNull() && !scaling.IsObject()) return scaling.Fail("must be an object");

  const JsonValue& theta_home = newer && scaling.Has("rope_theta") ? scaling : config;
  double theta = kDefaultTheta;
  if (theta_home.Has("rope_theta")) {
    GRAFT_ASSIGN_OR_RETURN(theta, Positive(theta_home, "rope_theta"));
  }
  const JsonValue& part_home = newer && scaling.Has("partial_rotary_factor") ? scaling : config;
  GRAFT_ASSIGN_OR_RETURN(const double part, part_home.GetDouble("partial_rotary_factor", 1.0));
  const auto rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * part);
  if (!(part > 0.0 && part <= 1.0) || rotary_dim < 2 || rotary_dim % 2 != 0) {
    return config.Fail("a head_dim of " + std::to_string(head_dim) + " and a rotary share of " +
                       std::to_string(part) + " give " + std::to_string(rotary_dim) +
                       " rotated elements; they must be even and at least 2");
  }

  std::vector<double> inverse(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] =
        1.0 / std::pow(theta, static_cast<double>(2 * i) / static_cast<double>(rotary_dim));
  }

  // Older files say "type", newer ones "rope_type", some say both.
  const char* type_key = scaling.Has("rope_type") ? "rope_type" : "type";
  GRAFT_ASSIGN_OR_RETURN(const std::string type, scaling.GetString(type_key, "default"));
  if (type == "linear") {
    GRAFT_ASSIGN_OR_RETURN(const double factor, Positive(scaling, "factor"));
    for (double& frequency : inverse) frequency /= factor;
  } else if (type == "llama3") {
    GRAFT_RETURN_IF_ERROR(ScaleAsLlama3(scaling, &inverse));
  } else if (type != "default") {
    return scaling.Find(type_key).Fail(
        "is \"" + type + "\"; this version knows default, linear and llama3",
        StatusCode::kUnsupported);
  }

  RopeFrequencies rope;
  rope.inverse.reserve(inverse.size());
  for (const double frequency : inverse) rope.inverse.push_back(static_cast<float>(frequency));
  return rope;
}

}  // namespace graft::converter
