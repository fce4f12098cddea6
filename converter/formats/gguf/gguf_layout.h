// SPDX-License-Identifier: Apache-2.0
// GgufLayout: how a tensor is shown that a program wrote in another order than the model has it.
#pragma once

#include <cstdint>
#include <vector>

namespace graft::converter {

class GgufFile;

struct GgufLayout {
  enum class Order : uint8_t {
    kAsStored,
    kHalves,  ///< Rows of each head: stored in pairs (0, n/2), (1, n/2 + 1), ..., shown 0, 1, ....
    kByHead,  ///< Rows stored as [parts, heads, n], shown as [heads, parts, n].
    /// Rows stored as the `parts` of each of `heads`, then one of each head, then another one; shown
    /// head by head, each with its parts and its two.
    kByGroup,
    kColumns,        ///< Matrices that are stored transposed; in a stack each by itself.
    kColumnsByHead,  ///< Columns as kByHead has rows.
  };
  /// How the rows of another tensor of the same shape are shown behind this one's.
  enum class Join : uint8_t {
    kNone,
    kBehind,  ///< Of each matrix all rows of this tensor, then those of the other.
    kInTurn,  ///< One row of each in turn; of vectors, one number.
  };
  Order order = Order::kAsStored;
  int64_t heads = 1;        ///< Of kHalves, kByHead, kByGroup, kColumnsByHead; divides the rows.
  int64_t parts = 1;        ///< Of the last three.
  int64_t kept_rows = 0;    ///< Of kByHead: so many rows before the others are as stored.
  int64_t zero_rows = 0;    ///< Rows of zeros that are shown before the first stored one.
  double added = 0;         ///< To every number.
  bool logarithms = false;  ///< Stored are the negated exponentials of what is shown.
  bool flat = false;        ///< Shown with one axis.
  int64_t slice = -1;       ///< This one alone of those along the first axis, as it is stored.
  int64_t inserted = -1;    ///< Before this axis one of a single element is shown.
  Join join = Join::kNone;
  const GgufFile* joined_file = nullptr;  ///< Where the other tensor is.
  int64_t joined = -1;                    ///< Its number in that file's header.
};

/// Whether a tensor of `shape` can be shown so. A joined tensor is not looked at.
bool LayoutFits(const GgufLayout& layout, const std::vector<int64_t>& shape);

/// Requires   LayoutFits.
std::vector<int64_t> ShownShape(const GgufLayout& layout, std::vector<int64_t> shape);

/// Whether rows are shown as they are stored, and in their order.
bool KeepsRows(const GgufLayout& layout);

/// The stored row that is shown as `row`, of so many; of kColumnsByHead the column.
int64_t StoredRow(const GgufLayout& layout, int64_t rows, int64_t row);

}  // namespace graft::converter
