// SPDX-License-Identifier: Apache-2.0
// The version this converter was built as.
#pragma once

namespace graft::converter {

/// "0.1.0". Static storage.
const char* ConverterVersion();

}  // namespace graft::converter
