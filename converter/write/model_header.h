// SPDX-License-Identifier: Apache-2.0
// ModelHeader: the FlatBuffer of a .graft file, laid out before any weight is written and completed
// after all are.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/lower/model_description.h"
#include "converter/probes/answer_probes.h"
#include "converter/quantize/grid.h"
#include "converter/quantize/quantization_error.h"
#include "converter/quantize/stored_format.h"
#include "schema/container.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Where a tensor's bytes lie in the file, from its first byte.
struct TensorPlace {
  StoredFormat format;
  uint32_t segment = 0;
  uint64_t data_offset = 0;
  uint64_t data_bytes = 0;
  uint64_t scales_offset = 0;
  uint64_t scales_bytes = 0;
};

struct SegmentPlace {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// Measures of one weight matrix, filled in once it is written.
struct LayerMeasures {
  QuantizationError error;
  RetainedDelta retained;
  int64_t scales_offered = 0;  ///< By a file that this one is to be like ...
  int64_t scales_kept = 0;     ///< ... and taken.
  GridCounts grid;
};

class ModelHeader {
 public:
  /// Lays out the file for tensors of `formats` (one for each constant) and finishes `header`, the
  /// builder that description's graph and tokenizer lie in, with hashes and measures still zero.
  /// Requires header.ForceDefaults(true) since before anything was put into it: every scalar then
  ///          has a place of its own.
  /// Errors   kCorrupt: a shape whose bytes cannot be counted, a header beyond the format's limit.
  static Result<ModelHeader> Build(const ModelDescription& description,
                                   std::span<const StoredFormat> formats,
                                   const std::string& quantization,
                                   flatbuffers::FlatBufferBuilder& header);

  /// As it stands; its graph is whole.
  const schema::fb::Model& model() const { return *mutable_model(); }
  std::span<const TensorPlace> tensors() const { return tensors_; }
  std::span<const SegmentPlace> segments() const { return segments_; }
  uint64_t file_bytes() const { return file_bytes_; }

  void SetBaseHash(const schema::Hash128& hash);
  void SetContentHash(size_t tensor, const schema::Hash128& hash);
  void SetChecksum(size_t segment, uint64_t checksum);
  /// `tensor` must be a weight matrix.
  void SetMeasures(size_t tensor, const LayerMeasures& measures);

  /// No answers: probes keep their texts alone.
  void SetProbeAnswers(const ProbeAnswers& answers);

  /// Preamble and header, as they stand at the file's start. Complete once everything has been set.
  std::vector<uint8_t> Bytes() const;

 private:
  explicit ModelHeader(flatbuffers::FlatBufferBuilder& header) : header_(header) {}
  schema::fb::Model* mutable_model() const;

  flatbuffers::FlatBufferBuilder& header_;
  std::vector<TensorPlace> tensors_;
  std::vector<SegmentPlace> segments_;
  std::vector<int32_t> report_of_tensor_;  // index into Provenance.layers, -1: none
  uint64_t file_bytes_ = 0;
};

}  // namespace graft::converter
