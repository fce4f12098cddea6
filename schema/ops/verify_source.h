// SPDX-License-Identifier: Apache-2.0
// The rules of encoder-decoders: what attends to the source, and what is generated about it: tokens
// of the vocabulary, languages, and how sound becomes features.
#pragma once

#include "schema/result.h"
#include "schema/verify_graph.h"

namespace graft::schema {

namespace fb {
struct Attention;
}  // namespace fb

class OpChecker;

/// Whether an attention's cache is of the source.
bool AttendsToSource(const OpChecker& op, const fb::Attention& attention);

/// The rule of such attention's rows: keys and values have a row for each of the source's, which are
/// as many for every such op.
Status CheckCrossAttention(OpChecker& op, const fb::Attention& attention);

/// Checks the target of a model's task, which may be missing where the graph has no source or
/// generates no text.
/// Errors   kCorrupt, kUnsupported; each says what is wrong.
Status CheckTarget(const fb::Model& model, const GraphFacts& facts);

}  // namespace graft::schema
