// SPDX-License-Identifier: Apache-2.0
// The answers to a file's probes: what the model computes of some prompts, before and after its
// weights were rounded, with its adapters and without them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "converter/lower/model_description.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Graph;
struct Model;
}  // namespace graft::schema::fb

namespace graft::converter {

/// What one probe gives for some tokens: those that the adapted model finds likeliest and those that
/// the base does.
struct ProbeNumbers {
  std::vector<uint32_t> tokens;
  std::vector<float> logits;   ///< Of the weights as they are stored, computed as a device does.
  std::vector<float> adapted;  ///< Of the weights before.
  std::vector<float> base;     ///< The same without adapters; empty: there are none.
  std::vector<float> stored_base;  ///< Of the base's weights as they are stored; empty: not known.
};

struct ProbeAnswers {
  /// Of those with answered_ids, in their order; none if some answer is not finite.
  std::vector<ProbeNumbers> probes;
  float noise = 0;  ///< Root mean square of what the logits change by when inputs' last bits do.
};

/// Says which of description->probes will have answers, and of how many tokens: all if the graph is
/// one that this computes, a decoder of tokens alone, else none.
/// most_ids: what is asked follows so many ids of each at the most.
void PlanAnswers(const schema::fb::Graph& graph, int64_t most_ids, ModelDescription* description);

/// How a tensor's rows are stored, and where.
struct WrittenTensor {
  StoredFormat format;
  std::span<const uint8_t> data, scales;
  std::span<const uint8_t> base_data, base_scales;  ///< What the base's file has; empty: not known.
};

/// Computes description.probes as PlanAnswers says. The same bits on every CPU and for any number of threads.
/// `stored` are the tensors as they were written, one for each constant. A base whose file is not known
/// is rounded as these are if `rounds_base`.
/// progress: empty, or called now and then with the weights that were multiplied, and are to be.
/// Memory   activations; some rows of weights for each thread.
/// Cost     reads every weight twice, four times with adapters; computes some tens of rows.
/// Errors   those of `source`; kCancelled.
Result<ProbeAnswers> AnswerProbes(const ModelDescription& description,
                                  const schema::fb::Model& model,
                                  std::span<const WrittenTensor> stored, const TensorSource& source,
                                  bool rounds_base, int threads,
                                  const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace graft::converter
