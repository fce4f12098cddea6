// SPDX-License-Identifier: Apache-2.0
// What sentence-transformers stores beside an encoder: how rows become one vector.
#pragma once

#include <filesystem>

#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

/// Reads modules.json and the pooling's config.json of a model's folder. Without modules.json: the
/// mean, to a length of 1.
/// Errors   kUnsupported: a module or a pooling that this version does not know; kCorrupt, kIo.
///          Each names the file and what in it.
Result<TextPooling> ReadTextPooling(const std::filesystem::path& folder);

}  // namespace graft::converter
