// SPDX-License-Identifier: Apache-2.0
// What the headers of graft.h declare, read from their text.
#pragma once

#include <map>
#include <set>
#include <string>

namespace graft::test {

/// The out-parameters, by name, of each function that has some: what is a pointer that the function
/// writes through, except for graft_error.
std::map<std::string, std::set<std::string>> OutParametersOfHeaders();

/// All functions.
std::set<std::string> FunctionsOfHeaders();

}  // namespace graft::test
