// SPDX-License-Identifier: Apache-2.0
// A model of three matrices, one in each format whose packed codes are changed where they lie.
#pragma once

#include "tests/support/model_builder.h"

namespace graft::test {

/// Each multiplies the same input of 128 columns; rows fill no whole tile.
AlignedBytes MatricesModel();

}  // namespace graft::test
