// SPDX-License-Identifier: Apache-2.0
// Streams a described model's weights from their source into a .graft file: merge, quantize,
// measure, hash, verify, rename.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/base/output_file.h"
#include "converter/calibrate/calibrate.h"
#include "converter/sensitivity/mixed_formats.h"
#include "converter/tensors/tensor_source.h"
#include "converter/write/model_header.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::converter {

class LikeBase;

struct WriteOptions {
  std::filesystem::path path;
  StoredFormat format;  ///< Of weight matrices; see FormatFor.
  /// Store adapted matrices in int8 where int4 would drown the adapter; see FormatWish, and
  /// CalibrationOptions where there is a calibration.
  bool keep_delta = false;
  /// Whose formats and scales are taken where they serve; null: none.
  const LikeBase* like = nullptr;
  /// The format of the embedding and the head, if not `format`.
  std::optional<StoredFormat> head_format = {};
  /// Round weights by what their errors do to outputs on texts; nothing: by themselves.
  std::optional<CalibrationOptions> calibration = {};
  /// Bits of a weight on average, of all that is stored: each matrix gets int8 or int4 by what
  /// rounding it costs; see ChooseMixedFormats. Requires `format` to be int4 in blocks of 32.
  std::optional<double> bits = {};
  /// Of what rounding costs where there is no calibration: texts that the model writes.
  CalibrationOptions measuring = {8, 64};
  /// As `progress`, while texts are written and layers are rounded.
  std::function<void(int64_t done, int64_t total)> calibration_progress = {};
  /// The same, while what rounding costs is measured.
  std::function<void(int64_t done, int64_t total)> measuring_progress = {};
  /// The same, while the probes are answered, with the weights that were multiplied.
  std::function<void(int64_t done, int64_t total)> probing_progress = {};
  int threads = 1;
  /// Of adapted matrices, every n-th row is also quantized as it was before the adapter, to measure
  /// what is left of the adapter. 1: every row, which takes about twice the time. 0: none.
  int64_t delta_row_stride = 16;
  /// The hash of the base for the record, asked for once all weights are written, so that it can be
  /// computed meanwhile. Empty: zeros stand there.
  std::function<Result<schema::Hash128>()> base_hash;
  /// Called now and then, from any thread, with the elements done so far and in all.
  std::function<void(int64_t done, int64_t total)> progress;
};

/// One weight matrix of the file.
struct LayerOutcome {
  std::string name;
  std::vector<int64_t> shape;
  StoredFormat format;
  bool fell_back = false;   ///< The format asked for does not fit; `format` is another.
  bool kept_delta = false;  ///< `format` is int8 for the adapter's sake.
  uint64_t bytes = 0;
  bool adapted = false;
  AdaptedTensor change;  ///< If adapted.
  LayerMeasures measures;
  double int4_divergence = 0.0;  ///< What rounding it to int4 costs; 0 if that was not measured.
  OutputNoise output_noise;      ///< Of what is adapted and calibrated.
};

/// All tensors of the file that share a format.
struct FormatTotal {
  StoredFormat format;
  int64_t tensors = 0;
  uint64_t bytes = 0;
};

struct WriteOutcome {
  uint64_t file_bytes = 0;
  int64_t scales_offered = 0;  ///< By WriteOptions::like ...
  int64_t scales_kept = 0;     ///< ... and taken.
  int64_t calibrated_matrices = 0;
  std::optional<MixedFormats> mixed;  ///< Of WriteOptions::bits.
  std::optional<double> probe_divergence;
  uint64_t header_bytes = 0;
  schema::Hash128 base_hash;
  std::vector<FormatTotal> formats;
  std::vector<LayerOutcome> layers;
};

/// Writes the file of `description`, whose graph and tokenizer lie in `header` (see
/// ModelHeader::Build).
/// Memory   some row blocks for each thread, whatever the size of the model. The bytes do not
///          depend on options.threads.
/// Errors   those of `source`;
///          kCorrupt: numbers that are not finite;
///          kIo, kNotFound: the output; kCancelled. No file is left behind, and an older file at
///          the path is only replaced by a whole and verified one.
Result<WriteOutcome> WriteModel(const ModelDescription& description, const TensorSource& source,
                                const WriteOptions& options,
                                flatbuffers::FlatBufferBuilder& header);

/// A file that is whole and verified, but for its name.
struct WrittenModel {
  std::unique_ptr<OutputFile> file;
  std::span<const uint8_t> bytes;  ///< Of the file, as long as it is not committed.
  WriteOutcome outcome;
};

/// WriteModel up to the last step, for whoever wants the bytes and not the file.
Result<WrittenModel> WriteUnnamedModel(const ModelDescription& description,
                                       const TensorSource& source, const WriteOptions& options,
                                       flatbuffers::FlatBufferBuilder& header);

/// schema::VerifyContents on several threads, with the same first failure.
/// Errors   also kCancelled.
Status VerifyContents(const schema::VerifiedModel& model, int threads);

}  // namespace graft::converter
