// SPDX-License-Identifier: Apache-2.0
// The rules of pictures in texts: how patches become rows for tokens, and how pictures become
// patches.
#pragma once

#include "schema/result.h"
#include "schema/verify_graph.h"

namespace graft::schema {

/// The most images that a picture is cut into.
inline constexpr uint32_t kMaxTiles = 256;

/// Checks the pictures of a model's task, which must be missing where the graph takes none.
/// Errors   kCorrupt, kUnsupported; each says what is wrong.
Status CheckPictures(const fb::Model& model, const GraphFacts& facts);

}  // namespace graft::schema
