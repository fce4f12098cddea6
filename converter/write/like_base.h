// SPDX-License-Identifier: Apache-2.0
// LikeBase: a .graft file whose formats and scales another one is to have where they serve it too,
// so that the two differ in little and a pack of them is small.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "converter/lower/constant.h"
#include "converter/quantize/stored_format.h"
#include "schema/verify.h"

namespace graft::converter {

class LikeBase {
 public:
  /// `base` and its bytes must outlive this.
  explicit LikeBase(const schema::VerifiedModel& base);

  /// The format that most weights of the base are stored in.
  StoredFormat usual_format() const { return usual_format_; }

  /// The format of the base's matrix of that name; nothing if it has none of that width.
  std::optional<StoredFormat> FormatOf(const Constant& constant) const;

  /// The base's scales for rows [row_begin, row_end) of a constant that is stored in `format`, or
  /// for the first of those rows if the base has fewer. Empty if there are none.
  std::span<const uint8_t> ScalesOf(const Constant& constant, const StoredFormat& format,
                                    int64_t row_begin, int64_t row_end) const;

  /// What the base has for a constant that is stored in `format`; empty if it is not of that shape.
  schema::TensorBytes All(const Constant& constant, const StoredFormat& format) const;

 private:
  struct Matrix {
    StoredFormat format;
    int64_t rows = 0;
    int64_t width = 0;
    schema::TensorBytes bytes;
  };
  const Matrix* Find(const Constant& constant) const;

  std::map<std::string_view, Matrix> matrices_;
  StoredFormat usual_format_;
};

}  // namespace graft::converter
