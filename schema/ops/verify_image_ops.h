// SPDX-License-Identifier: Apache-2.0
// The rules of ops over images and over fixed numbers of rows.
#pragma once

#include "schema/op_checker.h"

namespace graft::schema {

namespace fb {
struct Attention;
}  // namespace fb

/// Of attention: blocks of rows, regions of them, and numbers that are added to scores.
Status CheckBlocks(const OpChecker& op, const fb::Attention& attention);

/// Holds the op to its rule, if it is one of images.
Status CheckImageKind(const OpChecker& op);

}  // namespace graft::schema
