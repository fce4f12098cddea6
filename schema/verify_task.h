// SPDX-License-Identifier: Apache-2.0
// The rules a task must keep: outputs of the shape that it promises, labels and an image's
// preparation that fit them.
#pragma once

#include "schema/result.h"
#include "schema/verify_graph.h"

namespace graft::schema {

namespace fb {
struct ImageInput;
}  // namespace fb

/// The longest prompt of a task.
inline constexpr uint32_t kMaxPromptBytes = 1 << 16;

/// Bounds of what a file asks itself.
inline constexpr uint32_t kMaxProbes = 64;
inline constexpr uint32_t kMaxProbeBytes = 1 << 16;
inline constexpr uint32_t kMaxProbeIds = 1 << 14;
inline constexpr uint32_t kMaxAnsweredIds = 256;  ///< that are computed
inline constexpr uint32_t kMaxProbeTokens = 64;   ///< whose logits are compared

/// Checks the task of a model whose graph has been checked; `facts` are what that gave.
/// Errors   kCorrupt, kUnsupported; each says what the task needs.
Status CheckTask(const fb::Model& model, const GraphFacts& facts);

/// Checks the model's probes, if it has some: ids and tokens that there are, as many numbers as
/// tokens, all finite.
/// Errors   kCorrupt.
Status CheckProbes(const fb::Model& model, const GraphFacts& facts);

/// Sizes, filter and normalization of an image input, whatever the graph takes.
/// Errors   as CheckTask.
Status CheckImageSettings(const fb::ImageInput& image);

}  // namespace graft::schema
