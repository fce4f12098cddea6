// SPDX-License-Identifier: Apache-2.0
// SessionPictures: the pictures of a session's text. What a model sees of a picture, a row for each
// of its tokens, is computed once and kept, and tokens find theirs by counting: the first token of
// pictures has the first row of the first picture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/memory_budget.h"
#include "runtime/base/page_memory.h"
#include "runtime/kernels/attention.h"
#include "runtime/session/saved_session.h"
#include "schema/container.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Pictures;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Normalized pixels [channels, height, width] that someone else owns.
struct ImagePixels {
  const float* values = nullptr;
  uint32_t height = 0;
  uint32_t width = 0;
  bool in_patches = false;  ///< values are those of patches already, in their order
};

/// A picture as the images that a model is shown.
class PictureImages {
 public:
  PictureImages() = default;
  PictureImages(const PictureImages&) = delete;
  PictureImages& operator=(const PictureImages&) = delete;
  virtual ~PictureImages() = default;

  /// Equal for what is equal: such a picture is not computed again.
  virtual schema::Hash128 hash() const = 0;
  virtual size_t count() const = 0;
  /// The sides of image `index`; no values.
  virtual ImagePixels sides(size_t index) const = 0;
  /// Image `index`, until the next call.
  /// Errors   kOutOfMemory.
  virtual Result<ImagePixels> Prepare(size_t index) = 0;
};

class SessionPictures {
 public:
  /// pictures: the model's; null: it takes none. width: of an image row. has_axes: ropes of tokens
  /// turn by rows and columns.
  void Create(const schema::fb::Pictures* pictures, size_t width, bool has_runs, bool has_axes);

  bool taken() const { return settings_ != nullptr; }
  size_t count() const { return table_.count; }
  /// All image rows, which are as many tokens.
  size_t rows() const { return rows_before(table_.count); }
  size_t rows_before(size_t picture) const;
  const SavedPicture& picture(size_t index) const { return table_.entries[index]; }
  SavedPictures* saved() { return &table_; }
  bool has_values(size_t picture) const { return values_[picture].size() > 0; }

  /// Image rows of a picture.
  /// Errors   kInvalidArgument: sides that the model does not take; kOutOfRange: too many of them.
  Result<size_t> RowsOf(const PictureImages& picture, uint32_t context_tokens) const;
  /// Image rows of one image.
  /// Requires sides that RowsOf has accepted.
  size_t RowsOf(const ImagePixels& image) const;
  /// How many of them lie beside each other.
  uint32_t ColumnsOf(const ImagePixels& image) const;
  /// Sets memory aside for what is computed of one picture, [rows, width]; it becomes a picture's by
  /// Assign, or is given back by the next call of this or of Truncate.
  Result<float*> Allocate(size_t rows, MemoryBudget* budget);
  size_t width() const { return width_; }
  /// Forgets the pictures from `first` on.
  void Truncate(size_t first, MemoryBudget* budget);
  /// Adds a picture, or gives one the values that it has lost: those that were allocated last.
  void Assign(size_t index, const SavedPicture& picture);
  /// Says that saved() was overwritten: there are no values of any.
  void Lose(MemoryBudget* budget);

  /// Whether a token stands for an image row, if `used` of these are before it.
  bool Places(int32_t id, size_t used) const {
    return settings_ != nullptr && id == token_ && used < rows();
  }
  /// How many ids are the token that stands for image rows.
  size_t CountTokens(std::span<const int32_t> ids) const;
  /// Whether a whole text has as many of these as there are image rows, if there are any.
  /// Errors   kInvalidArgument.
  Status CheckCount(std::span<const int32_t> ids) const;
  /// How many of the first ids stand for image rows.
  size_t CountIn(std::span<const int32_t> ids) const;
  /// How many ids go before the one that stands for image row `row`; all if none does.
  size_t PositionOf(size_t row, std::span<const int32_t> ids) const;
  /// How many of `rest`, after `held`, are computed in one pass, where `most` are wanted: rows that
  /// see each other are not parted.
  size_t Chunk(std::span<const int32_t> held, std::span<const int32_t> rest, size_t most) const;
  /// Whether a pass may begin with `first`, after `held`.
  Status CheckStart(std::span<const int32_t> held, int32_t first) const;
  /// Where the run of rows that see each other begins which holds token `position`, if the one
  /// before is in it too; else `position`.
  size_t StartOfRun(std::span<const int32_t> ids, size_t position) const;

  struct Pass {
    const float* const* rows = nullptr;
    const PositionRange* runs = nullptr;
    const int32_t* axes = nullptr;
  };
  /// What a pass over `chunk`, after `held`, has of images; until the next call.
  /// Errors   kFailedPrecondition: a row that is not there any more.
  Result<Pass> PassOver(std::span<const int32_t> held, std::span<const int32_t> chunk);

  /// Writes the patches of an image, [patches, channels * patch * patch], and the place of each, in
  /// the order of schema/model.fbs. places may be null.
  void WritePatches(const ImagePixels& image, float* patches, int32_t* places) const;

 private:
  const float* ValuesOf(size_t row) const;
  // Counts the numbers of a pass's tokens, as schema/model.fbs's Rope has them.
  void CountAxes(std::span<const int32_t> held, std::span<const int32_t> chunk);
  // Where the last of `ids` that stands for an image row ends, if `used` rows are before them.
  size_t PlacedEnd(size_t used, std::span<const int32_t> ids) const;

  const schema::fb::Pictures* settings_ = nullptr;
  int32_t token_ = -1;
  size_t width_ = 0;
  bool has_runs_ = false;
  bool has_axes_ = false;
  SavedPictures table_;
  std::array<PageMemory, kMaxPictures> values_;
  PageMemory pending_;
  std::vector<const float*> pass_rows_;
  std::vector<PositionRange> pass_runs_;
  std::vector<int32_t> pass_axes_;
};

}  // namespace graft::runtime
