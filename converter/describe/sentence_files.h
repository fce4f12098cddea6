// SPDX-License-Identifier: Apache-2.0
// What sentence-transformers stores beside an encoder: how rows become one vector.
#pragma once

#include <filesystem>

#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

/// Reads modules.json and the pooling's config.json of a model's folder. Without modules.json: the
/// mean, to a length of 1. An adapter may bring files of its own, in `own`, which is empty if none
/// does: with its own modules.json they alone count, without it each takes the place of the base's.
/// Errors   kUnsupported: a module or a pooling that this version does not know; kCorrupt, kIo.
///          Each names the file and what in it.
Result<TextPooling> ReadTextPooling(const std::filesystem::path& folder,
                                    const std::filesystem::path& own = {});

}  // namespace graft::converter
