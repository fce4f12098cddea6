// SPDX-License-Identifier: Apache-2.0
// A bill of materials: what a .graft file was made of, in a form that inventories read.
#pragma once

#include <string>

#include "converter/commands/mapped_model.h"

namespace graft::converter {

/// CycloneDX 1.6, in JSON: the model with its SHA-256, its base, its adapters and the program that
/// made it. The same for the same file, whenever it is asked for.
/// Cost     reads the whole file.
std::string ModelBom(const std::string& path, const MappedModel& file);

}  // namespace graft::converter
