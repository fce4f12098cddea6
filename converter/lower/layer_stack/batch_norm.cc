// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/layer_stack/batch_norm.h"

#include <cinttypes>
#include <cmath>

namespace graft::converter {
namespace {

Result<std::vector<double>> ReadVector(const TensorSource& source, const std::string& source_name,
                                       const StackLayer& norm, const std::string& name,
                                       int64_t channels, double fallback) {
  std::vector<double> numbers(static_cast<size_t>(channels), fallback);
  if (name.empty()) return numbers;
  const TensorInfo* info = source.Find(name);
  if (info == nullptr) {
    return Error(StatusCode::kMismatch, "%s: has no tensor '%s', which graft.json names",
                 source_name.c_str(), name.c_str());
  }
  if (info->shape != std::vector<int64_t>{channels} || !IsFloat(info->dtype)) {
    return Error(StatusCode::kMismatch,
                 "%s: tensor '%s' is %s of %s; %s needs [%" PRId64
                 "] of floats, one for each "
                 "channel",
                 source_name.c_str(), name.c_str(), info->ShapeText().c_str(),
                 DTypeName(info->dtype), norm.place.c_str(), channels);
  }
  GRAFT_RETURN_IF_ERROR(source.ReadRows(name, 0, channels, numbers));
  return numbers;
}

}  // namespace

Result<ChannelAffine> ReadBatchNorm(const StackLayer& norm, const TensorSource& source,
                                    const std::string& source_name, int64_t channels) {
  const auto read = [&](const std::string& name, double fallback) {
    return ReadVector(source, source_name, norm, name, channels, fallback);
  };
  ChannelAffine affine;
  GRAFT_ASSIGN_OR_RETURN(affine.factor, read(norm.weight, 1.0));
  GRAFT_ASSIGN_OR_RETURN(affine.offset, read(norm.bias, 0.0));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> mean, read(norm.running_mean, 0.0));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> variance, read(norm.running_var, 1.0));
  for (size_t i = 0; i < mean.size(); ++i) {
    affine.factor[i] /= std::sqrt(variance[i] + norm.epsilon);
    affine.offset[i] -= mean[i] * affine.factor[i];
    if (variance[i] >= 0.0 && std::isfinite(affine.factor[i]) && std::isfinite(affine.offset[i]))
      continue;
    return Error(
        StatusCode::kCorrupt,
        "%s: the batch norm of %s has a variance of %g and a mean of %g in channel %zu; it "
        "must be finite, and a variance not below 0",
        source_name.c_str(), norm.place.c_str(), variance[i], mean[i], i);
  }
  return affine;
}

}  // namespace graft::converter
