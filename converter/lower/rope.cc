// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/rope.h"

#include <cmath>
#include <numbers>
#include <string>

#include "converter/lower/numbers.h"

namespace graft::converter {
namespace {

// Wavelengths that the training context shows often stay as they are, those it never shows whole
// are stretched by `factor`, and those between are blended.
Status ScaleAsLlama3(const JsonValue& scaling, std::vector<double>* inverse) {
  GRAFT_ASSIGN_OR_RETURN(const double factor, ReadPositive(scaling, "factor"));
  GRAFT_ASSIGN_OR_RETURN(const double low, ReadPositive(scaling, "low_freq_factor"));
  GRAFT_ASSIGN_OR_RETURN(const double high, ReadPositive(scaling, "high_freq_factor"));
  GRAFT_ASSIGN_OR_RETURN(const double context,
                         ReadPositive(scaling, "original_max_position_embeddings"));
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

// Each frequency is divided by its own factor. The magnitude makes up for the longer context.
Status ScaleAsLongRope(const JsonValue& config, const JsonValue& scaling,
                       std::vector<double>* inverse, RopeFrequencies* rope) {
  const JsonValue& original_home =
      scaling.Has("original_max_position_embeddings") ? scaling : config;
  GRAFT_ASSIGN_OR_RETURN(
      rope->positions, original_home.GetIntIn("original_max_position_embeddings", 2, kMaxContext));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue factors, scaling.Get("short_factor", JsonKind::kArray));
  if (factors.size() != inverse->size()) {
    return factors.Fail("has " + std::to_string(factors.size()) + " numbers; the heads need " +
                        std::to_string(inverse->size()));
  }
  for (size_t i = 0; i < inverse->size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const double factor, factors.at(i).AsDouble());
    if (!(factor > 0.0) || !std::isfinite(factor)) {
      return factors.at(i).Fail("is " + factors.at(i).Text() + "; it must be positive");
    }
    (*inverse)[i] /= factor;
  }
  const auto original = static_cast<double>(rope->positions);
  GRAFT_ASSIGN_OR_RETURN(const int64_t context, config.GetIntIn("max_position_embeddings", 1,
                                                                kMaxContext, rope->positions));
  GRAFT_ASSIGN_OR_RETURN(const double longer,
                         ReadPositive(scaling, "factor", static_cast<double>(context) / original));
  const double usual = longer <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(longer) / std::log(original));
  GRAFT_ASSIGN_OR_RETURN(const double magnitude, ReadPositive(scaling, "attention_factor", usual));
  rope->magnitude = static_cast<float>(magnitude);
  return OkStatus();
}

}  // namespace

Result<RopeFrequencies> ReadRope(const JsonValue& config, int64_t head_dim,
                                 const RopeDefaults& defaults) {
  RopeDefaults outside = defaults;
  GRAFT_ASSIGN_OR_RETURN(outside.theta, ReadPositive(config, defaults.theta_key, defaults.theta));
  GRAFT_ASSIGN_OR_RETURN(outside.rotated_part,
                         config.GetDouble(defaults.rotated_part_key, defaults.rotated_part));
  const bool newer = config.Has("rope_parameters");
  return ReadRopeParameters(config, config.Find(newer ? "rope_parameters" : "rope_scaling"),
                            head_dim, outside);
}

Result<RopeFrequencies> ReadRopeParameters(const JsonValue& config, const JsonValue& parameters,
                                           int64_t head_dim, const RopeDefaults& defaults) {
  if (!parameters.IsNull() && !parameters.IsObject()) return parameters.Fail("must be an object");
  GRAFT_ASSIGN_OR_RETURN(const double theta,
                         ReadPositive(parameters, "rope_theta", defaults.theta));
  GRAFT_ASSIGN_OR_RETURN(const double part,
                         parameters.GetDouble("partial_rotary_factor", defaults.rotated_part));
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

  RopeFrequencies rope;
  // Older files say "type", newer ones "rope_type", some say both.
  const char* type_key = parameters.Has("rope_type") ? "rope_type" : "type";
  GRAFT_ASSIGN_OR_RETURN(const std::string type, parameters.GetString(type_key, "default"));
  if (type == "linear") {
    GRAFT_ASSIGN_OR_RETURN(const double factor, ReadPositive(parameters, "factor"));
    for (double& frequency : inverse) frequency /= factor;
  } else if (type == "llama3") {
    GRAFT_RETURN_IF_ERROR(ScaleAsLlama3(parameters, &inverse));
  } else if (type == "longrope" || type == "su") {
    GRAFT_RETURN_IF_ERROR(ScaleAsLongRope(config, parameters, &inverse, &rope));
  } else if (type != "default") {
    return parameters.Find(type_key).Fail(
        "is \"" + type + "\"; this version knows default, linear, llama3 and longrope",
        StatusCode::kUnsupported);
  }
  rope.inverse.reserve(inverse.size());
  for (const double frequency : inverse) rope.inverse.push_back(static_cast<float>(frequency));
  return rope;
}

}  // namespace graft::converter
