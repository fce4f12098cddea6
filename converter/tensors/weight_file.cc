// SPDX-License-Identifier: Apache-2.0
// Rows on demand, through a small buffer; the few tensors with strides take the way of
// strided_read.h.
#include "converter/tensors/weight_file.h"

#include <algorithm>
#include <limits>

#include "converter/base/cancellation.h"
#include "converter/tensors/float_kernels.h"
#include "converter/tensors/strided_read.h"
#include "schema/checked_math.h"

namespace graft::converter {

Result<uint64_t> TensorBytes(const TensorInfo& info) {
  // The whole product must fit even where a zero among the dimensions hides it: row_elements()
  // skips the first.
  int64_t elements = DTypeBytes(info.dtype);
  bool empty = false;
  for (const int64_t dimension : info.shape) {
    if (dimension == 0) {
      empty = true;
    } else if (dimension < 0 || !CheckedMultiply(elements, dimension, &elements)) {
      return Error(StatusCode::kCorrupt, "tensor '%s' has the impossible shape %s",
                   info.name.c_str(), info.ShapeText().c_str());
    }
  }
  // Loops over the rows of a tensor without elements must end in this lifetime.
  for (const int64_t dimension : info.shape) {
    if (empty && dimension > std::numeric_limits<int32_t>::max()) {
      return Error(StatusCode::kCorrupt, "tensor '%s' has the impossible shape %s",
                   info.name.c_str(), info.ShapeText().c_str());
    }
  }
  return empty ? 0 : static_cast<uint64_t>(elements);
}

std::vector<const InputFile*> WeightFile::files() const {
  std::vector<const InputFile*> files = {file_.get()};
  for (const auto& file : further_) files.push_back(file.get());
  return files;
}

Result<std::unique_ptr<WeightFile>> WeightFile::Join(
    std::vector<std::unique_ptr<WeightFile>> files) {
  std::unique_ptr<WeightFile> joined = std::move(files[0]);
  for (size_t i = 1; i < files.size(); ++i) {
    joined->further_.push_back(std::move(files[i]->file_));
    for (Entry& entry : files[i]->entries_) {
      entry.part = i;
      joined->entries_.push_back(std::move(entry));
    }
    joined->metadata_.insert(joined->metadata_.end(), files[i]->metadata_.begin(),
                             files[i]->metadata_.end());
  }
  std::vector<Entry>& entries = joined->entries_;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
  const auto twice =
      std::adjacent_find(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return a.info.name == b.info.name; });
  if (twice == entries.end()) return joined;
  return Error(StatusCode::kCorrupt, "tensor '%s' is both in %s and in %s",
               twice->info.name.c_str(), joined->FileOf(twice[0]).path().c_str(),
               joined->FileOf(twice[1]).path().c_str());
}

const WeightFile::Entry* WeightFile::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& e, std::string_view n) { return e.info.name < n; });
  return found != entries_.end() && found->info.name == name ? &*found : nullptr;
}

Status WeightFile::ReadRows(const Entry& entry, int64_t row_begin, int64_t row_end,
                            std::span<double> out) const {
  if (row_begin < 0 || row_end < row_begin || row_end > entry.info.rows()) {
    return Error(StatusCode::kOutOfRange,
                 "%s: tensor '%s' has %lld rows; %lld to %lld were asked for",
                 FileOf(entry).path().c_str(), entry.info.name.c_str(),
                 static_cast<long long>(entry.info.rows()), static_cast<long long>(row_begin),
                 static_cast<long long>(row_end));
  }
  if (entry.size_bytes == 0) return OkStatus();
  const int64_t row_elements = entry.info.row_elements();
  const uint64_t elements = static_cast<uint64_t>((row_end - row_begin) * row_elements);
  if (out.size() < elements) {
    return Error(StatusCode::kInternal, "%s: tensor '%s': the buffer holds %zu of %llu elements",
                 FileOf(entry).path().c_str(), entry.info.name.c_str(), out.size(),
                 static_cast<unsigned long long>(elements));
  }
  return ReadElements(entry, row_begin * row_elements, out.first(elements));
}

Status WeightFile::ReadElements(const Entry& entry, int64_t first, std::span<double> out) const {
  const uint64_t element_bytes = static_cast<uint64_t>(DTypeBytes(entry.info.dtype));
  if (first < 0 ||
      !RangeFits(static_cast<uint64_t>(first), out.size(), entry.size_bytes / element_bytes)) {
    return Error(StatusCode::kOutOfRange, "%s: tensor '%s' has no %zu elements from %lld on",
                 FileOf(entry).path().c_str(), entry.info.name.c_str(), out.size(),
                 static_cast<long long>(first));
  }
  const uint64_t offset = static_cast<uint64_t>(first) * element_bytes;
  if (!entry.strides.empty()) {
    // Whole: rows of a transposed tensor lie across one another, and reading a few at a time would
    // read most of it each time.
    std::vector<uint8_t> stored(out.size() * element_bytes);
    GRAFT_RETURN_IF_ERROR(ReadBytes(entry, offset, stored));
    Widen(entry.info.dtype, stored.data(), out.size(), out.data());
    return OkStatus();
  }
  // Through a buffer small enough to stay in the cache.
  constexpr size_t kChunkBytes = 128 << 10;
  thread_local std::vector<uint8_t> chunk(kChunkBytes);
  for (uint64_t position = entry.file_offset + offset; !out.empty();) {
    const size_t count = std::min<size_t>(out.size(), kChunkBytes / element_bytes);
    const std::span<uint8_t> stored = std::span(chunk).first(count * element_bytes);
    const Status status = FileOf(entry).ReadAt(position, stored);
    if (!status.ok()) return status.WithContext("tensor '" + entry.info.name + "'");
    Widen(entry.info.dtype, stored.data(), count, out.data());
    position += stored.size();
    out = out.subspan(count);
  }
  return OkStatus();
}

Status WeightFile::ReadBytes(const Entry& entry, uint64_t offset, std::span<uint8_t> out) const {
  const uint64_t element_bytes = static_cast<uint64_t>(DTypeBytes(entry.info.dtype));
  if (!RangeFits(offset, out.size(), entry.size_bytes) || offset % element_bytes != 0 ||
      out.size() % element_bytes != 0) {
    return Error(StatusCode::kOutOfRange, "%s: tensor '%s' has no %zu bytes from %llu on",
                 FileOf(entry).path().c_str(), entry.info.name.c_str(), out.size(),
                 static_cast<unsigned long long>(offset));
  }
  Status status;
  if (entry.strides.empty()) {
    status = FileOf(entry).ReadAt(entry.file_offset + offset, out);
  } else {
    const StridedLayout layout{entry.file_offset, element_bytes, entry.info.shape, entry.strides};
    status = ReadStrided(FileOf(entry), layout, static_cast<int64_t>(offset / element_bytes), out);
  }
  return status.ok() ? OkStatus() : status.WithContext("tensor '" + entry.info.name + "'");
}

Result<bool> WeightFile::Same(const Entry& a, const Entry& b) const {
  if (a.info.dtype != b.info.dtype || a.info.shape != b.info.shape) return false;
  constexpr uint64_t kBlockBytes = 1 << 20;
  std::vector<uint8_t> of_a, of_b;
  for (uint64_t offset = 0; offset < a.size_bytes; offset += kBlockBytes) {
    of_a.resize(std::min(kBlockBytes, a.size_bytes - offset));
    of_b.resize(of_a.size());
    GRAFT_RETURN_IF_ERROR(ReadBytes(a, offset, of_a));
    GRAFT_RETURN_IF_ERROR(ReadBytes(b, offset, of_b));
    if (of_a != of_b) return false;
  }
  return true;
}

Result<bool> WeightFile::SameNumbers(const Entry& entry, const WeightFile& other,
                                     const Entry& others_entry) const {
  if (entry.info.shape != others_entry.info.shape) return false;
  const bool one_type = entry.info.dtype == others_entry.info.dtype;
  const int64_t count = entry.info.rows() * entry.info.row_elements();
  constexpr int64_t kBlockElements = 1 << 18;
  std::vector<uint8_t> bytes, others_bytes;
  std::vector<double> numbers, others_numbers;
  for (int64_t first = 0; first < count; first += kBlockElements) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    const auto block = static_cast<size_t>(std::min(kBlockElements, count - first));
    if (one_type) {
      const auto element_bytes = static_cast<size_t>(DTypeBytes(entry.info.dtype));
      const uint64_t offset = static_cast<uint64_t>(first) * element_bytes;
      bytes.resize(block * element_bytes);
      others_bytes.resize(bytes.size());
      GRAFT_RETURN_IF_ERROR(ReadBytes(entry, offset, bytes));
      GRAFT_RETURN_IF_ERROR(other.ReadBytes(others_entry, offset, others_bytes));
      if (bytes == others_bytes) continue;
    }
    numbers.resize(block);
    others_numbers.resize(block);
    GRAFT_RETURN_IF_ERROR(ReadElements(entry, first, numbers));
    GRAFT_RETURN_IF_ERROR(other.ReadElements(others_entry, first, others_numbers));
    if (numbers != others_numbers) return false;
  }
  return true;
}

}  // namespace graft::converter
