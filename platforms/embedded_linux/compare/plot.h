// SPDX-License-Identifier: Apache-2.0
// The comparison as a picture: mean KL by how much context there was, a line for each file.
#pragma once

#include <string>
#include <string_view>

#include "platforms/embedded_linux/compare/figures.h"

namespace graft_run {

/// An SVG document.
std::string PlotOf(const Comparison& comparison);

/// `text` with the characters escaped that mean something in XML and HTML.
std::string EscapeMarkup(std::string_view text);

/// The name of a file without its folders.
std::string_view BaseName(std::string_view path);

}  // namespace graft_run
