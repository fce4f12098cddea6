// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/numbers.h"

#include <cmath>

namespace graft::converter {

Result<float> ReadEpsilon(const JsonValue& config, std::string_view key, double fallback) {
  GRAFT_ASSIGN_OR_RETURN(const double epsilon, config.GetDouble(key, fallback));
  if (!(epsilon > 0.0 && epsilon < 1.0)) {
    return config.Find(key).Fail("is " + config.Find(key).Text() + "; it must lie between 0 and 1");
  }
  return static_cast<float>(epsilon);
}

Result<double> ReadPositive(const JsonValue& object, std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const double value, object.GetDouble(key));
  if (!(value > 0.0) || !std::isfinite(static_cast<float>(value))) {
    return object.Find(key).Fail("is " + object.Find(key).Text() + "; it must be positive");
  }
  return value;
}

Result<double> ReadPositive(const JsonValue& object, std::string_view key, double fallback) {
  return object.Has(key) ? ReadPositive(object, key) : Result<double>(fallback);
}

}  // namespace graft::converter
