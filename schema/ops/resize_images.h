// SPDX-License-Identifier: Apache-2.0
// A model of images for images of another size than its file says: the same ops and weights, over
// windows of that size.
#pragma once

#include <cstdint>
#include <vector>

#include "schema/result.h"
#include "schema/verify.h"

namespace graft::schema {

struct ImageSides {
  int64_t height = 0;
  int64_t width = 0;
};

/// The model for images of `sides`. Its header lies in *header, which must outlive it; its tensors
/// stay where `model` has them. It has passed the checks of a graph, as a file's does.
/// Errors   kInvalidArgument: some op has numbers for the file's size alone, named; or a window does
///          not fit.
/// Cost     a copy of the header, linear in it.
Result<VerifiedModel> ResizeImages(const VerifiedModel& model, const ImageSides& sides,
                                   std::vector<uint64_t>* header);

}  // namespace graft::schema
