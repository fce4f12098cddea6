// SPDX-License-Identifier: Apache-2.0
// A file that was named as the output by mistake is not worth losing.
#pragma once

#include <initializer_list>
#include <string>

#include "schema/status.h"

namespace graft::converter {

/// Errors   kInvalidArgument: `output` is one of `inputs`; empty names stand for none.
Status RefuseInputAsOutput(const std::string& output, std::initializer_list<std::string> inputs);

/// Errors   kInvalidArgument: `output` holds something, and is neither a .graft file nor a pack.
Status RefuseForeignOutput(const std::string& output);

}  // namespace graft::converter
