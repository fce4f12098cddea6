// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>

#include "converter/lower/numbers.h"

namespace graft::converter {
namespace {

// What a type of rope is computed from.
struct Scaling {
  const JsonValue& config;      // where the model's context stands
  const JsonValue& parameters;  // the type's own numbers
  int64_t context;              // max_position_embeddings
  int64_t original;             // the context before it was made longer
  double theta;
  bool by_layer_type;
};

std::vector<double> Frequencies(double theta, int64_t rotary_dim) {
  std::vector<double> inverse(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] =
        1.0 / std::pow(theta, static_cast<double>(2 * i) / static_cast<double>(rotary_dim));
  }
  return inverse;
}

// Wavelengths that the training context shows often stay as they are, those it never shows whole
// are stretched by `factor`, and those between are blended.
Status ScaleAsLlama3(const Scaling& scaling, std::vector<double>* inverse) {
  const JsonValue& parameters = scaling.parameters;
  GRAFT_ASSIGN_OR_RETURN(const double factor, ReadPositive(parameters, "factor"));
  GRAFT_ASSIGN_OR_RETURN(const double low, ReadPositive(parameters, "low_freq_factor"));
  GRAFT_ASSIGN_OR_RETURN(const double high, ReadPositive(parameters, "high_freq_factor"));
  if (high <= low) {
    return parameters.Find("high_freq_factor").Fail("must be larger than low_freq_factor");
  }
  for (double& frequency : *inverse) {
    const double turns =  // within the context
        static_cast<double>(scaling.original) * frequency / (2.0 * std::numbers::pi);
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

// Divides each frequency by its own factor.
Status DivideByFactors(const JsonValue& parameters, std::string_view key,
                       std::vector<double>* inverse) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue factors, parameters.Get(key, JsonKind::kArray));
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
  return OkStatus();
}

// Each frequency is divided by its own factor. The magnitude makes up for the longer context.
Status ScaleAsLongRope(const Scaling& scaling, std::vector<double>* inverse,
                       RopeFrequencies* rope) {
  const JsonValue& parameters = scaling.parameters;
  if (parameters.Has("long_factor")) {
    std::vector<double> longer = *inverse;
    GRAFT_RETURN_IF_ERROR(DivideByFactors(parameters, "long_factor", &longer));
    for (const double frequency : longer) {
      rope->long_inverse.push_back(static_cast<float>(frequency));
      if (!std::isfinite(rope->long_inverse.back()))
        return parameters.Find("long_factor").Fail("gives a rope frequency that is not finite");
    }
  }
  GRAFT_RETURN_IF_ERROR(DivideByFactors(parameters, "short_factor", inverse));
  if (scaling.original < 2) {
    return parameters.Find("original_max_position_embeddings").Fail("must be at least 2");
  }
  rope->positions = scaling.original;
  const auto original = static_cast<double>(scaling.original);
  GRAFT_ASSIGN_OR_RETURN(
      const double longer,
      ReadPositive(parameters, "factor", static_cast<double>(scaling.context) / original));
  const double usual = longer <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(longer) / std::log(original));
  GRAFT_ASSIGN_OR_RETURN(const double magnitude,
                         ReadPositive(parameters, "attention_factor", usual));
  rope->magnitude = static_cast<float>(magnitude);
  return OkStatus();
}

// A number that is `usual` if it is missing, null or 0.
Result<double> ReadOr(const JsonValue& object, std::string_view key, double usual) {
  GRAFT_ASSIGN_OR_RETURN(const double value, object.GetDouble(key, 0.0));
  return value == 0.0 ? Result<double>(usual) : ReadPositive(object, key);
}

// What makes up for the longer context, in the rope's magnitude.
Result<double> ReadYarnMagnitude(const JsonValue& parameters, double factor) {
  const auto grown = [&](double weight) {
    return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
  };
  GRAFT_ASSIGN_OR_RETURN(const double scale, ReadOr(parameters, "mscale", 0.0));
  GRAFT_ASSIGN_OR_RETURN(const double scale_all, ReadOr(parameters, "mscale_all_dim", 0.0));
  const bool both = scale != 0.0 && scale_all != 0.0;
  return ReadPositive(parameters, "attention_factor",
                      both ? grown(scale) / grown(scale_all) : grown(1.0));
}

// Elements that turn more than beta_fast times within the original context stay, those that turn
// less than beta_slow times are stretched by `factor`, and a ramp leads from the first to the
// last.
Status ScaleAsYarn(const Scaling& scaling, std::vector<double>* inverse, RopeFrequencies* rope) {
  const JsonValue& parameters = scaling.parameters;
  const auto original = static_cast<double>(scaling.original);
  GRAFT_ASSIGN_OR_RETURN(
      const double factor,
      ReadPositive(parameters, "factor", static_cast<double>(scaling.context) / original));
  GRAFT_ASSIGN_OR_RETURN(const double fast, ReadOr(parameters, "beta_fast", 32.0));
  GRAFT_ASSIGN_OR_RETURN(const double slow, ReadOr(parameters, "beta_slow", 1.0));
  GRAFT_ASSIGN_OR_RETURN(bool whole_elements, parameters.GetBool("truncate", true));
  // transformers looks for it where ropes of layer types never have it.
  whole_elements |= scaling.by_layer_type;

  const double elements = 2.0 * static_cast<double>(inverse->size());
  const auto element_that_turns = [&](double times) {
    return elements * std::log(original / (times * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(scaling.theta));
  };
  double first = element_that_turns(fast);
  double last = element_that_turns(slow);
  if (whole_elements) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, elements - 1.0);
  if (first == last) last += 0.001;
  for (size_t i = 0; i < inverse->size(); ++i) {
    const double share = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
    (*inverse)[i] *= share / factor + (1.0 - share);
  }
  GRAFT_ASSIGN_OR_RETURN(const double magnitude, ReadYarnMagnitude(parameters, factor));
  rope->magnitude = static_cast<float>(magnitude);
  rope->stretched_to =
      static_cast<int64_t>(std::min(factor * original, static_cast<double>(kMaxContext)));
  return OkStatus();
}

// The plain frequencies up to the trained context, others for all positions of a longer text.
Status ScaleAsDynamic(const Scaling& scaling, RopeFrequencies* rope) {
  GRAFT_RETURN_IF_ERROR(ReadPositive(scaling.parameters, "factor").status());
  rope->positions = scaling.context;
  return OkStatus();
}

Status ScaleAs(std::string_view type, const Scaling& scaling, std::vector<double>* inverse,
               RopeFrequencies* rope) {
  if (type == "default") return OkStatus();
  if (type == "llama3") return ScaleAsLlama3(scaling, inverse);
  if (type == "longrope" || type == "su") return ScaleAsLongRope(scaling, inverse, rope);
  if (type == "yarn") return ScaleAsYarn(scaling, inverse, rope);
  if (type == "dynamic") return ScaleAsDynamic(scaling, rope);
  if (type == "linear") {
    GRAFT_ASSIGN_OR_RETURN(const double factor, ReadPositive(scaling.parameters, "factor"));
    for (double& frequency : *inverse) frequency /= factor;
    return OkStatus();
  }
  const char* key = scaling.parameters.Has("rope_type") ? "rope_type" : "type";
  return scaling.parameters.Find(key).Fail(
      "is \"" + std::string(type) +
          "\"; this version knows default, proportional, linear, llama3, longrope, yarn and "
          "dynamic",
      StatusCode::kUnsupported);
}

// The angles of a whole head's halves, of which only the first turn.
Result<std::vector<float>> Proportional(const JsonValue& parameters, double theta, int64_t head_dim,
                                        int64_t rotary_dim) {
  GRAFT_ASSIGN_OR_RETURN(const double factor, ReadPositive(parameters, "factor", 1.0));
  std::vector<float> inverse;
  for (const double frequency : Frequencies(theta, head_dim)) {
    const bool turns = static_cast<int64_t>(inverse.size()) < rotary_dim / 2;
    inverse.push_back(turns ? static_cast<float>(frequency / factor) : 0.0f);
    if (!std::isfinite(inverse.back()))
      return parameters.Fail("gives a rope frequency that is not finite");
  }
  return inverse;
}

// original_max_position_embeddings: beside the parameters it wins over the one among them.
Result<int64_t> ReadOriginalContext(const JsonValue& config, const JsonValue& parameters,
                                    int64_t context, const RopeDefaults& defaults) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  const bool outside = !defaults.by_layer_type && config.Has(kKey);
  if (!outside && defaults.original_context > 0) return defaults.original_context;
  return (outside ? config : parameters).GetIntIn(kKey, 2, kMaxContext, context);
}

}  // namespace

Result<RopeFrequencies> ReadRope(const JsonValue& config, int64_t head_dim,
                                 const RopeDefaults& defaults) {
  RopeDefaults outside = defaults;
  GRAFT_ASSIGN_OR_RETURN(outside.theta, ReadPositive(config, defaults.theta_key, defaults.theta));
  GRAFT_ASSIGN_OR_RETURN(outside.rotated_part,
                         config.GetDouble(defaults.rotated_part_key, defaults.rotated_part));
  // Where a file has both, what its user wrote into it wins over what transformers 5 saved.
  const JsonValue older = config.Find("rope_scaling");
  const bool has_older = !older.IsNull() && !(older.IsObject() && older.size() == 0);
  const JsonValue parameters = has_older ? older : config.Find("rope_parameters");
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (!parameters.Has(layer_type)) continue;
    return parameters.Find(layer_type)
        .Fail("is a rope for some layers, which this family does not have",
              StatusCode::kUnsupported);
  }
  return ReadRopeParameters(config, parameters, head_dim, outside);
}

Result<RopeFrequencies> ReadRopeParameters(const JsonValue& config, const JsonValue& parameters,
                                           int64_t head_dim, const RopeDefaults& defaults) {
  if (!parameters.IsNull() && !parameters.IsObject()) return parameters.Fail("must be an object");
  GRAFT_ASSIGN_OR_RETURN(double theta, ReadPositive(parameters, "rope_theta", defaults.theta));
  if (theta == 1.0) return parameters.Find("rope_theta").Fail("must not be 1");
  GRAFT_ASSIGN_OR_RETURN(double part,
                         parameters.GetDouble("partial_rotary_factor", defaults.rotated_part));
  // Older files say "type", newer ones "rope_type", some say both.
  const char* type_key = parameters.Has("rope_type") ? "rope_type" : "type";
  GRAFT_ASSIGN_OR_RETURN(std::string type, parameters.GetString(type_key, defaults.type));
  if (type == "yarn" && defaults.yarn_is_longrope) type = "longrope";
  // The plain ropes of layer types turn whole heads, whatever is said of parts.
  if (type == "default" && defaults.by_layer_type) part = 1.0;
  auto rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * part);
  if (type == "proportional") rotary_dim = rotary_dim / 2 * 2;
  if (!(part > 0.0 && part <= 1.0) || rotary_dim < 2 || rotary_dim % 2 != 0) {
    return config.Fail("a head_dim of " + std::to_string(head_dim) + " and a rotary share of " +
                       std::to_string(part) + " give " + std::to_string(rotary_dim) +
                       " rotated elements; they must be even and at least 2");
  }
  RopeFrequencies rope;
  if (type == "proportional") {
    GRAFT_ASSIGN_OR_RETURN(rope.inverse, Proportional(parameters, theta, head_dim, rotary_dim));
    return rope;
  }
  if (type == "dynamic" && defaults.alpha_grows_theta && head_dim > 2) {
    GRAFT_ASSIGN_OR_RETURN(const double alpha, parameters.GetDouble("alpha", 0.0));
    const auto width = static_cast<double>(head_dim);
    if (alpha > 0.0) theta *= std::pow(alpha, width / (width - 2.0));
  }
  std::vector<double> inverse = Frequencies(theta, rotary_dim);
  GRAFT_ASSIGN_OR_RETURN(const int64_t context,
                         config.GetIntIn("max_position_embeddings", 1, kMaxContext, kUsualContext));
  GRAFT_ASSIGN_OR_RETURN(const int64_t original,
                         ReadOriginalContext(config, parameters, context, defaults));
  GRAFT_RETURN_IF_ERROR(
      ScaleAs(type, {config, parameters, context, original, theta, defaults.by_layer_type},
              &inverse, &rope));
  rope.inverse.reserve(inverse.size());
  for (const double frequency : inverse) {
    rope.inverse.push_back(static_cast<float>(frequency));
    if (!std::isfinite(rope.inverse.back())) {
      return parameters.Fail("gives a rope frequency that is not finite");
    }
  }
  return rope;
}

Result<LayerRopes> ReadLayerRopes(const JsonValue& config, int64_t head_dim) {
  const JsonValue parameters = config.Find("rope_parameters");
  RopeDefaults full = {.by_layer_type = true};
  RopeDefaults sliding = {.by_layer_type = true};
  GRAFT_ASSIGN_OR_RETURN(full.theta, ReadPositive(config, "rope_theta", 1e6));
  GRAFT_ASSIGN_OR_RETURN(sliding.theta, ReadPositive(config, "rope_local_base_freq", 1e4));
  // What rope_scaling says comes over what rope_parameters says of the full layers.
  JsonValue of_full = parameters.Find("full_attention");
  if (config.Has("rope_scaling")) {
    GRAFT_ASSIGN_OR_RETURN(full.theta, ReadPositive(of_full, "rope_theta", full.theta));
    of_full = config.Find("rope_scaling");
  }
  LayerRopes ropes;
  GRAFT_ASSIGN_OR_RETURN(ropes.full, ReadRopeParameters(config, of_full, head_dim, full));
  GRAFT_ASSIGN_OR_RETURN(
      ropes.sliding,
      ReadRopeParameters(config, parameters.Find("sliding_attention"), head_dim, sliding));
  return ropes;
}

RopeFrequencies PlainRope(double theta, int64_t rotary_dim) {
  RopeFrequencies rope;
  for (const double frequency : Frequencies(theta, rotary_dim))
    rope.inverse.push_back(static_cast<float>(frequency));
  return rope;
}

Result<RopeFrequencies> LongRope(const JsonValue& config, RopeFrequencies rope) {
  if (rope.long_inverse.empty()) {
    return config.Fail(
        "has no rope of type longrope with a long_factor, which a longer context needs",
        StatusCode::kUnsupported);
  }
  rope.inverse = std::move(rope.long_inverse);
  rope.long_inverse.clear();
  rope.positions = 0;
  return rope;
}

int64_t ContextOf(const RopeFrequencies& rope, int64_t context) {
  if (rope.positions > 0) return std::min(context, rope.positions);
  return std::max(context, rope.stretched_to);
}

}  // namespace graft::converter
