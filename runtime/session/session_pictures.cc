// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/session_pictures.h"

#include <algorithm>
#include <cinttypes>
#include <utility>

#include "schema/generated/model_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;

namespace {

// Image rows beside each other; of several images, as if they were one row.
size_t SideBySide(const SavedPicture& picture) {
  return picture.columns == 0 ? picture.rows : picture.columns;
}

size_t LongerSide(const SavedPicture& picture) {
  return std::max(SideBySide(picture), picture.rows / SideBySide(picture));
}

}  // namespace

void SessionPictures::Create(const fb::Pictures* pictures, size_t width, bool has_runs,
                             bool has_axes) {
  settings_ = pictures;
  width_ = width;
  has_runs_ = has_runs;
  has_axes_ = has_axes;
  if (pictures != nullptr) token_ = static_cast<int32_t>(pictures->token());
}

size_t SessionPictures::rows_before(size_t picture) const {
  size_t rows = 0;
  for (size_t i = 0; i < picture; ++i) rows += static_cast<size_t>(table_.entries[i].rows);
  return rows;
}

size_t SessionPictures::RowsOf(const ImagePixels& image) const {
  const uint32_t block = settings_->patch() * settings_->merge();
  return size_t{image.height / block} * (image.width / block);
}

uint32_t SessionPictures::ColumnsOf(const ImagePixels& image) const {
  return image.width / (settings_->patch() * settings_->merge());
}

Result<size_t> SessionPictures::RowsOf(const PictureImages& picture,
                                       uint32_t context_tokens) const {
  const uint32_t block = settings_->patch() * settings_->merge();
  const uint32_t most = settings_->side() * settings_->patch();
  const bool is_fixed = settings_->layout() == fb::PictureLayout::Square ||
                        settings_->layout() == fb::PictureLayout::Tiles;
  const uint64_t patch_pixels = uint64_t{settings_->patch()} * settings_->patch();
  size_t rows = 0;
  for (size_t i = 0; i < picture.count(); ++i) {
    const ImagePixels image = picture.sides(i);
    for (const uint32_t side : {image.height, image.width}) {
      if (side >= 1 && side <= most && side % block == 0 && (!is_fixed || side == most)) continue;
      return Error(StatusCode::kInvalidArgument,
                   "an image of %u x %u pixels; the model takes %s%u a side, a multiple of %u",
                   image.height, image.width, is_fixed ? "" : "at most ", most, block);
    }
    const uint64_t patches = uint64_t{image.height} * image.width / patch_pixels;
    if (settings_->most_patches() != 0 && patches > settings_->most_patches()) {
      return Error(StatusCode::kInvalidArgument,
                   "an image of %u x %u pixels has more patches than %u, the model's most",
                   image.height, image.width, settings_->most_patches());
    }
    rows += RowsOf(image);
    if (rows <= context_tokens) continue;
    return Error(StatusCode::kOutOfRange,
                 "a picture of %zu images takes more tokens than the context of %u",
                 picture.count(), context_tokens);
  }
  return rows;
}

Result<float*> SessionPictures::Allocate(size_t rows, MemoryBudget* budget) {
  budget->Release(pending_.size());
  pending_ = PageMemory();
  GRAFT_ASSIGN_OR_RETURN(
      pending_, budget->Allocate(uint64_t{rows} * width_ * sizeof(float), "the rows of a picture"));
  return reinterpret_cast<float*>(pending_.data());
}

void SessionPictures::Truncate(size_t first, MemoryBudget* budget) {
  for (size_t i = first; i < table_.count; ++i) {
    budget->Release(values_[i].size());
    values_[i] = PageMemory();
  }
  budget->Release(pending_.size());
  pending_ = PageMemory();
  table_.count = std::min(table_.count, first);
}

void SessionPictures::Assign(size_t index, const SavedPicture& picture) {
  table_.entries[index] = picture;
  values_[index] = std::move(pending_);
  table_.count = std::max(table_.count, index + 1);
}

void SessionPictures::Lose(MemoryBudget* budget) {
  for (PageMemory& values : values_) {
    budget->Release(values.size());
    values = PageMemory();
  }
}

size_t SessionPictures::CountTokens(std::span<const int32_t> ids) const {
  if (settings_ == nullptr) return 0;
  return static_cast<size_t>(std::count(ids.begin(), ids.end(), token_));
}

Status SessionPictures::CheckCount(std::span<const int32_t> ids) const {
  if (table_.count == 0 || CountTokens(ids) == rows()) return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "the text has %zu tokens for pictures (id %" PRId32 "), the %zu pictures take %zu",
               CountTokens(ids), token_, table_.count, rows());
}

size_t SessionPictures::CountIn(std::span<const int32_t> ids) const {
  return table_.count == 0 ? 0 : std::min(rows(), CountTokens(ids));
}

size_t SessionPictures::PositionOf(size_t row, std::span<const int32_t> ids) const {
  size_t used = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == token_ && used++ == row) return i;
  }
  return ids.size();
}

size_t SessionPictures::PlacedEnd(size_t used, std::span<const int32_t> ids) const {
  if (table_.count == 0) return 0;
  const size_t last = rows() - std::min(used, rows());
  return last == 0 ? 0 : std::min(ids.size(), PositionOf(last - 1, ids) + 1);
}

size_t SessionPictures::Chunk(std::span<const int32_t> held, std::span<const int32_t> rest,
                              size_t most) const {
  const size_t count = std::min(most, rest.size());
  if (!has_runs_ || table_.count == 0 || count == rest.size()) return count;
  const size_t placed_end = PlacedEnd(CountIn(held), rest);
  const auto is_placed = [&](size_t i) { return i < placed_end && rest[i] == token_; };
  if (!is_placed(count - 1) || !is_placed(count)) return count;
  size_t begin = count;
  while (begin > 0 && is_placed(begin - 1)) --begin;
  if (begin > 0) return begin;
  size_t end = count;
  while (is_placed(end)) ++end;
  return end;
}

Status SessionPictures::CheckStart(std::span<const int32_t> held, int32_t first) const {
  if (!has_runs_ || held.empty() || table_.count == 0) return OkStatus();
  const size_t used = CountIn(held);
  if (!Places(first, used) || !Places(held.back(), used - std::min<size_t>(used, 1)))
    return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "token %zu goes on with a picture that the tokens held end in: the model sees a "
               "picture as a whole, so go back to where it begins",
               held.size());
}

size_t SessionPictures::StartOfRun(std::span<const int32_t> ids, size_t position) const {
  if (!has_runs_ || table_.count == 0 || position == 0 || position >= ids.size()) return position;
  const size_t used = CountIn(ids.first(position));
  if (!Places(ids[position], used)) return position;
  while (position > 0 && ids[position - 1] == token_) --position;
  return position;
}

const float* SessionPictures::ValuesOf(size_t row) const {
  for (size_t i = 0; i < table_.count; ++i) {
    const auto rows = static_cast<size_t>(table_.entries[i].rows);
    if (row >= rows) {
      row -= rows;
      continue;
    }
    if (!has_values(i)) return nullptr;
    return reinterpret_cast<const float*>(values_[i].data()) + row * width_;
  }
  return nullptr;
}

void SessionPictures::CountAxes(std::span<const int32_t> held, std::span<const int32_t> chunk) {
  size_t used = CountIn(held);
  size_t next = held.size() - used;
  size_t picture = 0;       // of the next row
  size_t row = used;        // of this picture
  size_t first_number = 0;  // of its first row
  for (; picture < table_.count && row >= table_.entries[picture].rows; ++picture) {
    row -= table_.entries[picture].rows;
    next += LongerSide(table_.entries[picture]);
  }
  if (row > 0) {
    const size_t begun = used - row;
    first_number = next + row - (held.size() - PositionOf(begun, held));
    next += LongerSide(table_.entries[picture]);
  }
  pass_axes_.clear();
  for (const int32_t id : chunk) {
    size_t numbers[3] = {next, next, next};
    if (!Places(id, used)) {
      ++next;
    } else {
      const SavedPicture& of = table_.entries[picture];
      if (row == 0) {
        first_number = next;
        next += LongerSide(of);
      }
      numbers[0] = first_number;
      numbers[1] = first_number + row / SideBySide(of);
      numbers[2] = first_number + row % SideBySide(of);
      ++used;
      if (++row == of.rows) {
        row = 0;
        ++picture;
      }
    }
    for (const size_t number : numbers) pass_axes_.push_back(static_cast<int32_t>(number));
  }
}

Result<SessionPictures::Pass> SessionPictures::PassOver(std::span<const int32_t> held,
                                                        std::span<const int32_t> chunk) {
  if (table_.count == 0) return Pass{};
  if (has_axes_) CountAxes(held, chunk);
  const int32_t* axes = has_axes_ ? pass_axes_.data() : nullptr;
  size_t used = CountIn(held);
  const size_t placed_end = PlacedEnd(used, chunk);
  const auto is_placed = [&](size_t i) { return i < placed_end && chunk[i] == token_; };
  if (placed_end == 0 || std::find(chunk.begin(), chunk.end(), token_) == chunk.end())
    return Pass{.axes = axes};
  pass_rows_.assign(chunk.size(), nullptr);
  pass_runs_.assign(has_runs_ ? chunk.size() : 0, PositionRange{});
  for (size_t begin = 0, end = 0; begin < chunk.size(); begin = end + 1) {
    for (end = begin; is_placed(end); ++end) {
      pass_rows_[end] = ValuesOf(used++);
      if (pass_rows_[end] != nullptr) continue;
      return Error(StatusCode::kFailedPrecondition,
                   "token %zu stands for a picture that is not held any more: set the pictures of "
                   "the text again",
                   held.size() + end);
    }
    if (!has_runs_) continue;
    const PositionRange run = {static_cast<uint32_t>(held.size() + begin),
                               static_cast<uint32_t>(held.size() + end)};
    std::fill(pass_runs_.begin() + static_cast<ptrdiff_t>(begin),
              pass_runs_.begin() + static_cast<ptrdiff_t>(end), run);
  }
  return Pass{pass_rows_.data(), has_runs_ ? pass_runs_.data() : nullptr, axes};
}

void SessionPictures::WritePatches(const ImagePixels& image, float* patches,
                                   int32_t* places) const {
  const size_t patch = settings_->patch();
  const size_t merge = settings_->merge();
  const size_t channels = settings_->image()->channels();
  const size_t block = patch * merge;
  const size_t plane = size_t{image.height} * image.width;
  const size_t frames = settings_->frames();
  if (image.in_patches) patches = std::copy_n(image.values, plane * channels * frames, patches);
  for (size_t top = 0; top < image.height; top += block) {
    for (size_t left = 0; left < image.width; left += block) {
      for (size_t i = 0; i < merge * merge; ++i) {
        const size_t y = top + i / merge * patch;
        const size_t x = left + i % merge * patch;
        if (places != nullptr)
          *places++ = static_cast<int32_t>(y / patch * settings_->side() + x / patch);
        if (image.in_patches) continue;
        for (size_t plane_of_patch = 0; plane_of_patch < channels * frames; ++plane_of_patch) {
          const float* from = image.values + plane_of_patch / frames * plane;
          for (size_t row = 0; row < patch; ++row)
            patches = std::copy_n(from + (y + row) * image.width + x, patch, patches);
        }
      }
    }
  }
}

}  // namespace graft::runtime
