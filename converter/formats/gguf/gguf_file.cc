// SPDX-License-Identifier: Apache-2.0
// What is asked for is turned into runs of stored elements, and these into whole blocks.
#include "converter/formats/gguf/gguf_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "converter/base/sanitize.h"
#include "converter/tensors/float_kernels.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr int64_t kChunkBytes = 128 << 10;

int64_t Elements(const GgufTensor& tensor) {
  return static_cast<int64_t>(tensor.size_bytes) / tensor.type->block_bytes *
         tensor.type->block_elements;
}

int64_t StoredRows(const GgufTensor& tensor) { return tensor.shape.empty() ? 1 : tensor.shape[0]; }

// The stored element that is shown first.
int64_t SliceBegin(const GgufTensor& tensor, const GgufLayout& layout) {
  return layout.slice < 0 ? 0 : Elements(tensor) / StoredRows(tensor) * layout.slice;
}
uint64_t SliceBytes(const GgufTensor& tensor, const GgufLayout& layout) {
  return static_cast<uint64_t>(SliceBegin(tensor, layout) / tensor.type->block_elements *
                               tensor.type->block_bytes);
}

}  // namespace

Result<std::unique_ptr<GgufFile>> GgufFile::Open(const std::filesystem::path& path) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<InputFile> file, InputFile::Open(path));
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<GgufHeader> header, GgufHeader::Read(*file));
  std::unique_ptr<GgufFile> opened(new GgufFile(std::move(file), std::move(header)));
  std::vector<View> views;
  const std::vector<GgufTensor>& tensors = opened->header_->tensors();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].type->IsRead()) {
      return Error(StatusCode::kUnsupported,
                   "%s: tensor '%s' is of type %s, which graft does not read; start from a file of "
                   "a type such as Q4_K, or from the checkpoint that it was made from",
                   opened->path().c_str(), Sanitize(tensors[i].name).c_str(),
                   tensors[i].type->name);
    }
    views.push_back({tensors[i].name, i, {}});
  }
  GRAFT_RETURN_IF_ERROR(opened->Show(std::move(views)));
  return opened;
}

Status GgufFile::CheckLayout(const View& view) const {
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  const GgufLayout& layout = view.layout;
  bool fits = LayoutFits(layout, tensor.shape);
  if (fits && layout.slice >= 0)
    fits = Elements(tensor) / StoredRows(tensor) % tensor.type->block_elements == 0;
  if (fits && layout.join != GgufLayout::Join::kNone) {
    const std::vector<GgufTensor>& others = layout.joined_file->header().tensors();
    const auto other = static_cast<size_t>(layout.joined);
    fits = other < others.size() && others[other].shape == tensor.shape;
  }
  if (fits) return OkStatus();
  const bool by_heads = layout.order != GgufLayout::Order::kAsStored && layout.heads > 1;
  return Error(StatusCode::kCorrupt, "%s: tensor '%s' of shape %s does not fit the model's %s",
               path().c_str(), Sanitize(tensor.name).c_str(), ShapeText(tensor.shape).c_str(),
               by_heads ? (std::to_string(layout.heads) + " heads").c_str() : "settings");
}

Status GgufFile::Show(std::vector<View> views) {
  std::stable_sort(views.begin(), views.end(),
                   [](const View& a, const View& b) { return a.name < b.name; });
  views_ = std::move(views);
  entries_.clear();
  for (const View& view : views_) {
    GRAFT_RETURN_IF_ERROR(CheckLayout(view));
    const GgufTensor& tensor = header_->tensors()[view.tensor];
    Entry entry;
    entry.info = {view.name, tensor.type->plain, ShownShape(view.layout, tensor.shape)};
    const GgufTensor* joined = JoinedTo(view);
    const bool is_mixed = joined != nullptr && joined->type->plain != tensor.type->plain;
    if (view.layout.added != 0 || view.layout.logarithms || is_mixed)
      entry.info.dtype = DType::kFloat32;
    auto size = TensorBytes(entry.info);
    if (!size.ok()) return size.status().WithContext(path());
    entry.size_bytes = *size;
    entry.file_offset = tensor.file_offset + SliceBytes(tensor, view.layout);
    if (!entries_.empty() && entries_.back().info.name == view.name) {
      return Error(StatusCode::kCorrupt, "%s: has two tensors for '%s'", path().c_str(),
                   Sanitize(view.name).c_str());
    }
    entries_.push_back(std::move(entry));
  }
  return OkStatus();
}

const GgufFile::View& GgufFile::ViewOf(const Entry& entry) const {
  return views_[static_cast<size_t>(&entry - entries_.data())];
}

Status GgufFile::ReadElements(const Entry& entry, int64_t first, std::span<double> out) const {
  const uint64_t element_bytes = static_cast<uint64_t>(DTypeBytes(entry.info.dtype));
  if (first < 0 ||
      !RangeFits(static_cast<uint64_t>(first), out.size(), entry.size_bytes / element_bytes)) {
    return Error(StatusCode::kOutOfRange, "%s: tensor '%s' has no %zu elements from %lld on",
                 path().c_str(), entry.info.name.c_str(), out.size(),
                 static_cast<long long>(first));
  }
  if (out.empty()) return OkStatus();
  const GgufLayout& layout = ViewOf(entry).layout;
  GRAFT_RETURN_IF_ERROR(ReadOrdered(entry, first, out));
  if (layout.added != 0) {
    for (double& number : out) number += layout.added;
  }
  if (!layout.logarithms) return OkStatus();
  for (double& number : out) {
    // None at all may be 0, whose logarithm is infinite.
    if (!(number <= 0.0)) {
      return Error(StatusCode::kCorrupt, "%s: tensor '%s' has a number that is not 0 or below",
                   path().c_str(), entry.info.name.c_str());
    }
    number = std::log(-number);
  }
  return OkStatus();
}

// The model's order of what is stored.
Status GgufFile::ReadOrdered(const Entry& entry, int64_t first, std::span<double> out) const {
  const View& view = ViewOf(entry);
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  const GgufLayout& layout = view.layout;
  if (layout.order == GgufLayout::Order::kColumns) return ReadColumns(view, first, out);
  if (layout.join != GgufLayout::Join::kNone) return ReadJoined(view, first, out);
  if (KeepsRows(layout)) return ReadStored(tensor, SliceBegin(tensor, layout) + first, out);
  const int64_t row_elements =
      tensor.shape.empty() ? 1 : Elements(tensor) / std::max<int64_t>(StoredRows(tensor), 1);
  const int64_t end = first + static_cast<int64_t>(out.size());
  for (int64_t at = first; at < end;) {
    const int64_t row = at / row_elements;
    const int64_t next = std::min(end, (row + 1) * row_elements);
    GRAFT_RETURN_IF_ERROR(
        ReadRow(view, row, at % row_elements,
                out.subspan(static_cast<size_t>(at - first), static_cast<size_t>(next - at))));
    at = next;
  }
  return OkStatus();
}

Status GgufFile::ReadRow(const View& view, int64_t row, int64_t column,
                         std::span<double> out) const {
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  if (row < view.layout.zero_rows) {
    std::fill(out.begin(), out.end(), 0.0);
    return OkStatus();
  }
  const int64_t rows = StoredRows(tensor);
  if (view.layout.order == GgufLayout::Order::kColumnsByHead) {
    const int64_t columns = tensor.shape[1];
    const int64_t run = columns / (view.layout.heads * view.layout.parts);
    while (!out.empty()) {
      const size_t count = std::min(out.size(), static_cast<size_t>(run - column % run));
      const int64_t stored = StoredRow(view.layout, columns, column);
      GRAFT_RETURN_IF_ERROR(ReadStored(tensor, row * columns + stored, out.first(count)));
      column += static_cast<int64_t>(count);
      out = out.subspan(count);
    }
    return OkStatus();
  }
  const int64_t stored = StoredRow(view.layout, rows, row - view.layout.zero_rows);
  return ReadStored(tensor, stored * (Elements(tensor) / rows) + column, out);
}

const GgufTensor* GgufFile::JoinedTo(const View& view) const {
  const GgufLayout& layout = view.layout;
  if (layout.join == GgufLayout::Join::kNone) return nullptr;
  return &layout.joined_file->header().tensors()[static_cast<size_t>(layout.joined)];
}

// Runs of this tensor and the other take turns: whole matrices, or single numbers.
Status GgufFile::ReadJoined(const View& view, int64_t first, std::span<double> out) const {
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  const GgufLayout& layout = view.layout;
  const auto columns = tensor.shape.end() - 1;
  if (layout.join == GgufLayout::Join::kBehind) {
    const int64_t matrix = *columns * *(columns - 1);
    while (!out.empty()) {
      const int64_t at = first % matrix;
      const bool is_other = first / matrix % 2 != 0;
      const size_t count = std::min(out.size(), static_cast<size_t>(matrix - at));
      GRAFT_RETURN_IF_ERROR((is_other ? *layout.joined_file : *this)
                                .ReadStored(is_other ? *JoinedTo(view) : tensor,
                                            first / matrix / 2 * matrix + at, out.first(count)));
      first += static_cast<int64_t>(count);
      out = out.subspan(count);
    }
    return OkStatus();
  }
  const int64_t begin = first / 2;
  const int64_t end = (first + static_cast<int64_t>(out.size()) - 1) / 2 + 1;
  std::vector<double> own(static_cast<size_t>(end - begin)), other(own.size());
  GRAFT_RETURN_IF_ERROR(ReadStored(tensor, begin, own));
  GRAFT_RETURN_IF_ERROR(layout.joined_file->ReadStored(*JoinedTo(view), begin, other));
  for (double& number : out) {
    const auto at = static_cast<size_t>(first / 2 - begin);
    number = first++ % 2 == 0 ? own[at] : other[at];
  }
  return OkStatus();
}

// Of each stored row of a matrix the columns that are asked for, as rows; rows of two tensors may
// take turns.
Status GgufFile::ReadColumns(const View& view, int64_t first, std::span<double> out) const {
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  const GgufLayout& layout = view.layout;
  const int64_t stored_columns = tensor.shape.back();
  const int64_t stored_rows = tensor.shape[tensor.shape.size() - 2];
  const int64_t turns = layout.join == GgufLayout::Join::kInTurn ? 2 : 1;
  const int64_t shown_columns = stored_rows * turns;
  const int64_t matrix = shown_columns * stored_columns;
  std::vector<double> part;
  while (!out.empty()) {
    const int64_t begin = first % matrix;
    const size_t count = std::min(out.size(), static_cast<size_t>(matrix - begin));
    const int64_t end = begin + static_cast<int64_t>(count);
    const int64_t row_begin = begin / shown_columns;
    const int64_t row_end = (end - 1) / shown_columns + 1;
    part.resize(static_cast<size_t>(row_end - row_begin));
    for (int64_t column = 0; column < shown_columns; ++column) {
      const bool is_other = column % turns != 0;
      const int64_t stored_row = first / matrix * stored_rows + column / turns;
      GRAFT_RETURN_IF_ERROR((is_other ? *layout.joined_file : *this)
                                .ReadStored(is_other ? *JoinedTo(view) : tensor,
                                            stored_row * stored_columns + row_begin, part));
      for (int64_t row = row_begin; row < row_end; ++row) {
        const int64_t at = row * shown_columns + column;
        if (at < begin || at >= end) continue;
        out[static_cast<size_t>(at - begin)] = part[static_cast<size_t>(row - row_begin)];
      }
    }
    first += static_cast<int64_t>(count);
    out = out.subspan(count);
  }
  return OkStatus();
}

Status GgufFile::ReadStored(const GgufTensor& tensor, int64_t first, std::span<double> out) const {
  if (first < 0 || !RangeFits(static_cast<uint64_t>(first), out.size(),
                              static_cast<uint64_t>(Elements(tensor)))) {
    return Error(StatusCode::kOutOfRange, "%s: tensor '%s' has no %zu elements from %lld on",
                 path().c_str(), Sanitize(tensor.name).c_str(), out.size(),
                 static_cast<long long>(first));
  }
  const int64_t block = tensor.type->block_elements;
  const int64_t chunk = kChunkBytes / tensor.type->block_bytes * block;
  while (!out.empty()) {
    // As far as the chunk that begins with the first element's block goes.
    const int64_t end = first - first % block + chunk;
    const size_t count = std::min(out.size(), static_cast<size_t>(end - first));
    const Status status = ReadBlocks(tensor, first, out.first(count));
    if (!status.ok()) return status.WithContext("tensor '" + Sanitize(tensor.name) + "'");
    first += static_cast<int64_t>(count);
    out = out.subspan(count);
  }
  return OkStatus();
}

Status GgufFile::ReadBlocks(const GgufTensor& tensor, int64_t first, std::span<double> out) const {
  thread_local std::vector<uint8_t> bytes(static_cast<size_t>(kChunkBytes));
  const GgufType& type = *tensor.type;
  const int64_t first_block = first / type.block_elements;
  const int64_t last = first + static_cast<int64_t>(out.size()) - 1;
  const int64_t blocks = last / type.block_elements - first_block + 1;
  const std::span<uint8_t> stored =
      std::span(bytes).first(static_cast<size_t>(blocks * type.block_bytes));
  GRAFT_RETURN_IF_ERROR(file_->ReadAt(
      tensor.file_offset + static_cast<uint64_t>(first_block * type.block_bytes), stored));
  if (type.IsPlain()) {
    Widen(type.plain, stored.data(), out.size(), out.data());
    return OkStatus();
  }
  std::array<float, kMaxGgufBlockElements> numbers{};
  auto skipped = static_cast<size_t>(first % type.block_elements);
  double* to = out.data();
  double* const to_end = to + out.size();
  const auto elements = static_cast<size_t>(type.block_elements);
  for (const uint8_t* from = stored.data(); to != to_end; from += type.block_bytes) {
    type.decode(from, numbers.data());
    const size_t count = std::min(elements - skipped, static_cast<size_t>(to_end - to));
    to = std::copy_n(numbers.data() + skipped, count, to);
    skipped = 0;
  }
  return OkStatus();
}

Status GgufFile::ReadBytes(const Entry& entry, uint64_t offset, std::span<uint8_t> out) const {
  const uint64_t element_bytes = static_cast<uint64_t>(DTypeBytes(entry.info.dtype));
  if (!RangeFits(offset, out.size(), entry.size_bytes) || offset % element_bytes != 0 ||
      out.size() % element_bytes != 0) {
    return Error(StatusCode::kOutOfRange, "%s: tensor '%s' has no %zu bytes from %llu on",
                 path().c_str(), entry.info.name.c_str(), out.size(),
                 static_cast<unsigned long long>(offset));
  }
  const View& view = ViewOf(entry);
  const GgufTensor& tensor = header_->tensors()[view.tensor];
  const bool as_it_is = tensor.type->IsPlain() && view.layout.added == 0 &&
                        !view.layout.logarithms && KeepsRows(view.layout);
  if (as_it_is) {
    const Status status = file_->ReadAt(entry.file_offset + offset, out);
    return status.ok() ? OkStatus() : status.WithContext("tensor '" + entry.info.name + "'");
  }
  if (!IsFloat(entry.info.dtype)) {
    return Error(StatusCode::kUnsupported, "%s: tensor '%s' holds integers in another order",
                 path().c_str(), entry.info.name.c_str());
  }
  std::vector<double> numbers(out.size() / static_cast<size_t>(element_bytes));
  GRAFT_RETURN_IF_ERROR(ReadElements(entry, static_cast<int64_t>(offset / element_bytes), numbers));
  Narrow(entry.info.dtype, numbers.data(), numbers.size(), out.data());
  return OkStatus();
}

}  // namespace graft::converter
