// SPDX-License-Identifier: Apache-2.0
// The weights of a .graft file, block of rows by block of rows, on as many threads as there are.
#pragma once

#include <span>
#include <vector>

#include "converter/base/output_file.h"
#include "converter/write/model_header.h"
#include "converter/write/write_model.h"

namespace graft::converter {

/// Reads, encodes and writes every tensor of `header` to its place in `file`; those of `calibrated` are
/// encoded already.
/// Returns  the measures of each tensor; those of tensors that are not weight matrices mean
///          nothing.
Result<std::vector<LayerMeasures>> WriteWeights(
    const ModelDescription& description, const ModelHeader& header, const TensorSource& source,
    const WriteOptions& options, const CalibratedWeights& calibrated, OutputFile& file);

/// Hashes what lies in `bytes`, the whole file, and enters content hashes and checksums into
/// `header`.
Status HashWeights(std::span<const uint8_t> bytes, int threads, ModelHeader* header);

}  // namespace graft::converter
