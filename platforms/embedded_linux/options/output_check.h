// SPDX-License-Identifier: Apache-2.0
// A file that was named as the output by mistake is not worth losing.
#pragma once

#include <initializer_list>
#include <string>

namespace graft_run {

/// What is wrong with writing to `output`, or an empty string: it is one of `inputs`. Empty names
/// stand for none.
std::string OutputProblem(const std::string& output, std::initializer_list<std::string> inputs);

}  // namespace graft_run
