// SPDX-License-Identifier: Apache-2.0
// How a comparison is shown: as lines, as one JSON object, as a page.
#pragma once

#include <string>

#include "platforms/embedded_linux/compare/figures.h"

namespace graft_run {

/// Lines on stdout.
void ShowComparison(const Comparison& comparison);
/// One JSON object on stdout.
void ShowComparisonAsJson(const Comparison& comparison);
/// An HTML page that needs nothing else.
std::string PageOf(const Comparison& comparison);

}  // namespace graft_run
