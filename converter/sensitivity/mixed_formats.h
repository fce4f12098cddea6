// SPDX-License-Identifier: Apache-2.0
// A format for each matrix, so that all weights together take so many bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/calibrate.h"
#include "converter/lower/model_description.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

struct MixedOptions {
  double bits = 0.0;  ///< Of all tensors of the file on average, scales included.
  /// Matrices but tables are rounded by calibration later, which leaves less of their loss.
  bool calibrated = false;
  std::filesystem::path folder;  ///< See Scratch.
  int threads = 1;
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct CurvePoint {
  double bits = 0.0;
  double divergence = 0.0;
};

struct MixedFormats {
  std::vector<StoredFormat> formats;  ///< One for each constant.
  double bits = 0.0;                  ///< What they come to.
  double divergence = 0.0;            ///< The measured ones of all matrices, added up.
  /// For each constant: what rounding it to int4 in blocks of 32 costs.
  std::vector<double> sensitivities;
  std::vector<CurvePoint> curve;  ///< From the fewest bits to the most there could be.
};

/// Chooses among int4 in blocks of 32, 64 and 128 and int8 for each matrix that `formats` has in
/// int4, embedding and head among them: from the smallest on, what saves most KL divergence per byte
/// (MeasureSensitivity; other formats than int4 in blocks of 32 by their squared error). Where `texts`
/// have no ids, the model writes so many first.
/// `model` holds the graph of `description`.
/// Errors   kInvalidArgument: no format is that small; those of MeasureSensitivity.
Result<MixedFormats> ChooseMixedFormats(const ModelDescription& description,
                                        const schema::fb::Model& model,
                                        std::span<const StoredFormat> formats,
                                        const TensorSource& source, const CalibrationOptions& texts,
                                        const MixedOptions& options);

/// "5.00 bits a weight: ...", with the curve; for people.
std::string DescribeMixed(const MixedFormats& mixed);

}  // namespace graft::converter
