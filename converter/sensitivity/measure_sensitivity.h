// SPDX-License-Identifier: Apache-2.0
// What rounding a matrix does to a model's answers, measured on texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "converter/calibrate/scratch.h"
#include "converter/lower/constant.h"
#include "converter/quantize/stored_format.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Graph;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Texts of one length: ids [texts, tokens_each].
struct MeasuredTexts {
  size_t texts = 0, tokens_each = 0;
  std::vector<int32_t> ids;
};

struct SensitivityOptions {
  std::filesystem::path folder;  ///< See Scratch.
  int threads = 1;
  size_t most_parts = 32;  ///< Of the graph; each costs a pass through what follows it.
  std::function<void(int64_t done, int64_t total)> progress = {};
};

/// For each tensor the KL divergence of the next token, in nats, that comes of rounding it alone to
/// `rounding`; 0 where that is not a quantized format.
/// The graph is cut into parts. Of each the divergence of all its matrices together is measured. It
/// is divided among them by what each alone changes in the value that the part leaves, squared and
/// relative to its row.
/// `numbers`: all tensors; those of matrices are put back when the call returns.
/// Shapes   rounding: one for each of `constants`
/// Cost     a pass through what follows for each part, one through the part for each of its matrices.
/// Errors   kUnsupported: an op that is not computed; kCorrupt: logits that are not finite; those of
///          EncodeRows and Scratch; kCancelled.
Result<std::vector<double>> MeasureSensitivity(const schema::fb::Graph& graph,
                                               std::span<const Constant> constants,
                                               std::span<Scratch> numbers,
                                               std::span<const StoredFormat> rounding,
                                               const MeasuredTexts& texts,
                                               const SensitivityOptions& options);

/// The mean KL divergence, in nats, of each row's softmax from that of `reference`.
/// Shapes   reference, logits [rows, width]
double MeanDivergence(std::span<const float> reference, std::span<const float> logits, size_t width,
                      int threads);

}  // namespace graft::converter
