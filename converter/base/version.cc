// SPDX-License-Identifier: Apache-2.0
#include "converter/base/version.h"

namespace graft::converter {

const char* ConverterVersion() { return GRAFT_CONVERTER_VERSION; }

}  // namespace graft::converter
