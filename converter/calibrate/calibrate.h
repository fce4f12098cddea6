// SPDX-License-Identifier: Apache-2.0
// Calibrated quantization: weights are rounded layer by layer, by what their errors do to the
// outputs on texts, each layer seeing what the layers rounded before it make of those texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/output_noise.h"
#include "converter/calibrate/write_texts.h"
#include "converter/lower/model_description.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Texts of one length, which the model itself writes unless they are given.
struct CalibrationOptions {
  int64_t texts = 64;
  int64_t tokens_each = 256;
  uint64_t seed = 1;
  std::vector<int32_t> ids = {};  ///< [texts, tokens_each]; empty: the model writes them.
  ChatFrame chat = {};            ///< Of the texts that it writes.
  /// Store an adapted matrix in int8 where int4, calibrated, is louder in its outputs than the
  /// adapter: OutputNoise::NoiseRatio above 1.
  bool keep_delta = false;
  int64_t delta_row_stride = 16;  ///< Rows of which that is measured; 0: none.
  std::string source = {};        ///< Where given ids come from, for people; empty: nothing given.
};

/// The codes of matrices that were rounded on texts.
class CalibratedWeights {
 public:
  struct Rows {
    std::vector<uint8_t> data, scales;
  };

  explicit CalibratedWeights(size_t tensors) : tensors_(tensors), noises_(tensors) {}
  /// Whether a tensor is one of those.
  bool Has(size_t tensor) const {
    return tensor < tensors_.size() && !tensors_[tensor].data.empty();
  }
  const Rows& of(size_t tensor) const { return tensors_[tensor]; }
  Rows& of(size_t tensor) { return tensors_[tensor]; }
  int64_t matrices() const;
  /// Of an adapted tensor that is one of those: what rounding did to its outputs.
  const OutputNoise& noise(size_t tensor) const { return noises_[tensor]; }
  OutputNoise& noise(size_t tensor) { return noises_[tensor]; }

 private:
  std::vector<Rows> tensors_;
  std::vector<OutputNoise> noises_;
};

/// Rounds every matrix of a quantized format that a linear op multiplies with, but those that are
/// tables, too. Ops that come later see rounded weights, and inputs rounded to int8 as the device
/// rounds them.
/// `model` holds the graph of `description`. `formats` are changed by CalibrationOptions::keep_delta
/// alone. `folder` is where scratch files lie: four bytes for
/// each weight, and what is computed of the texts.
/// Memory   the codes; 16 bytes for each two inputs of the widest layer.
/// Errors   kUnsupported: an op that calibration does not compute; those of `source` and Scratch;
///          kCancelled.
Result<CalibratedWeights> Calibrate(
    const ModelDescription& description, const schema::fb::Model& model,
    std::vector<StoredFormat>* formats, const TensorSource& source,
    const CalibrationOptions& options, const std::filesystem::path& folder, int threads,
    const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace graft::converter
