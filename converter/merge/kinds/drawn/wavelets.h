// SPDX-License-Identifier: Apache-2.0
// Filters of the wavelets that PEFT knows.
#pragma once

#include <string_view>
#include <vector>

namespace graft::converter {

/// The low-pass filter of synthesis of db1 to db10, sym2 to sym10 and coif1 to coif4, of even
/// length; empty if `family` is none of these. The high-pass filter is the same backwards, every
/// other number negated from the second one on.
std::vector<double> FindWavelet(std::string_view family);

}  // namespace graft::converter
