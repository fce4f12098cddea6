// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/families/gguf_settings.h"

#include <algorithm>
#include <vector>

namespace graft::converter {

Result<int64_t> GgufSettings::GetIntIn(std::string_view key, int64_t least, int64_t most) const {
  GRAFT_ASSIGN_OR_RETURN(const int64_t value, header_->GetInt(Key(key)));
  if (value >= least && value <= most) return value;
  return Fail(key,
              "is " + std::to_string(value) + "; it must be " + std::to_string(least) + " to " +
                  std::to_string(most),
              StatusCode::kCorrupt);
}

Result<int64_t> GgufSettings::GetIntIn(std::string_view key, int64_t least, int64_t most,
                                       int64_t usual) const {
  return Has(key) ? GetIntIn(key, least, most) : Result<int64_t>(usual);
}

Result<int64_t> GgufSettings::GetForAllLayers(std::string_view key, int64_t least,
                                              int64_t most) const {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> values, header_->GetInts(Key(key)));
  return TheOne(key, values, least, most);
}

Result<int64_t> GgufSettings::GetFirst(std::string_view key, int64_t least, int64_t most) const {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> values, header_->GetInts(Key(key)));
  if (!values.empty()) values.erase(values.begin() + 1, values.end());
  return TheOne(key, values, least, most);
}

Result<int64_t> GgufSettings::GetForSomeLayers(std::string_view key, int64_t most) const {
  GRAFT_ASSIGN_OR_RETURN(std::vector<int64_t> values, header_->GetInts(Key(key)));
  std::erase(values, 0);
  return TheOne(key, values, 1, most);
}

Result<int64_t> GgufSettings::TheOne(std::string_view key, const std::vector<int64_t>& values,
                                     int64_t least, int64_t most) const {
  if (values.empty()) return Fail(key, "is empty", StatusCode::kCorrupt);
  if (std::any_of(values.begin(), values.end(), [&](int64_t v) { return v != values[0]; }))
    return Fail(key, "differs from layer to layer, which graft does not convert");
  if (values[0] >= least && values[0] <= most) return values[0];
  return Fail(key,
              "is " + std::to_string(values[0]) + "; it must be " + std::to_string(least) + " to " +
                  std::to_string(most),
              StatusCode::kCorrupt);
}

Result<double> GgufSettings::GetNumber(std::string_view key, double usual) const {
  return Has(key) ? GetNumber(key) : Result<double>(usual);
}

Result<bool> GgufSettings::GetBool(std::string_view key, bool usual) const {
  return Has(key) ? header_->GetBool(Key(key)) : Result<bool>(usual);
}

Result<std::optional<double>> GgufSettings::FindNumber(std::string_view key) const {
  if (!Has(key)) return std::optional<double>();
  GRAFT_ASSIGN_OR_RETURN(const double value, GetNumber(key));
  return std::optional(value);
}

Result<int64_t> ModelLayers(const GgufSettings& settings) {
  constexpr int64_t kMaxLayers = 4096;
  GRAFT_ASSIGN_OR_RETURN(const int64_t blocks, settings.GetIntIn("block_count", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(const int64_t ahead,
                         settings.GetIntIn("nextn_predict_layers", 0, blocks - 1, 0));
  return blocks - ahead;
}

}  // namespace graft::converter
