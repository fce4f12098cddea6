// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/pack_ranges.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using schema::PackUnit;

// So many bytes of two tensors tell whether they are alike.
constexpr size_t kSampledBytes = size_t{1} << 16;

PackUnit UnitOf(fb::TensorFormat format) {
  switch (format) {
    case fb::TensorFormat::Int4Block:
    case fb::TensorFormat::Int4PerChannel:
      return PackUnit::kNibbles;
    case fb::TensorFormat::Float16:
    case fb::TensorFormat::BFloat16:
      return PackUnit::kPairs;
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      return PackUnit::kQuads;
    case fb::TensorFormat::Int8PerChannel:
      break;
  }
  return PackUnit::kBytes;
}

PackUnit UnitOfScales(fb::TensorFormat format) {
  return format == fb::TensorFormat::Int4Block ? PackUnit::kPairs : PackUnit::kQuads;
}

// Rows of both begin alike, so that one may have more of them than the other.
bool HasRowsLike(const fb::Tensor& a, const fb::Tensor& b) {
  if (a.format() != b.format() || a.block_size() != b.block_size() ||
      a.shape()->size() != b.shape()->size()) {
    return false;
  }
  return std::equal(a.shape()->begin() + (a.shape()->size() > 0 ? 1 : 0), a.shape()->end(),
                    b.shape()->begin() + (b.shape()->size() > 0 ? 1 : 0));
}

// Equal bytes at the start of two tensors, out of 65536.
size_t Likeness(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  const size_t size = std::min({a.size(), b.size(), kSampledBytes});
  size_t equal = 0;
  for (size_t i = 0; i < size; ++i) equal += a[i] == b[i] ? 1 : 0;
  return size == 0 ? 0 : equal * kSampledBytes / size;
}

class RangeCutter {
 public:
  RangeCutter(const schema::VerifiedModel& base, const schema::VerifiedModel& result)
      : base_(base), result_(result) {
    for (const fb::Tensor* tensor : *base.model().tensors()) {
      by_name_.emplace(tensor->name()->string_view(), tensor);
    }
  }

  std::vector<UnitRange> Run() {
    const uint64_t header_end = HeaderEnd(result_);
    for (const PackRange& range : MatchBytes(result_.file_bytes().first(header_end),
                                             base_.file_bytes().first(HeaderEnd(base_)))) {
      ranges_.push_back({range, PackUnit::kBytes});
    }
    end_ = header_end;
    base_end_ = HeaderEnd(base_);
    for (const fb::Tensor* tensor : *result_.model().tensors()) AddTensor(*tensor);
    std::sort(found_.begin(), found_.end(), [](const UnitRange& a, const UnitRange& b) {
      return a.range.offset < b.range.offset;
    });
    for (const UnitRange& range : found_) {
      if (range.range.offset < end_) continue;  // of bytes that two tensors share
      AddGap(range.range.offset);
      Append(range);
    }
    AddGap(result_.file_bytes().size());
    return std::move(ranges_);
  }

 private:
  static uint64_t HeaderEnd(const schema::VerifiedModel& model) {
    const auto preamble = schema::DecodePreamble(model.file_bytes(), model.file_bytes().size());
    return preamble.ok() ? preamble->header_offset + preamble->header_bytes : 0;
  }

  void AddTensor(const fb::Tensor& tensor) {
    const schema::TensorBytes bytes = result_.tensor_bytes(tensor);
    const fb::Tensor* like = FindLike(tensor, bytes);
    schema::TensorBytes base;
    if (like != nullptr) base = base_.tensor_bytes(*like);
    AddBytes(bytes.data, base.data, UnitOf(tensor.format()));
    AddBytes(bytes.scales, base.scales, UnitOfScales(tensor.format()));
  }

  const fb::Tensor* FindLike(const fb::Tensor& tensor, const schema::TensorBytes& bytes) const {
    const auto same_name = by_name_.find(tensor.name()->string_view());
    if (same_name != by_name_.end() && HasRowsLike(*same_name->second, tensor)) {
      return same_name->second;
    }
    const fb::Tensor* best = nullptr;
    size_t most = kSampledBytes / 4;  // below this it is not the same matrix
    for (const fb::Tensor* other : *base_.model().tensors()) {
      if (!HasRowsLike(*other, tensor)) continue;
      const size_t likeness = Likeness(bytes.data, base_.tensor_bytes(*other).data);
      if (likeness <= most) continue;
      most = likeness;
      best = other;
    }
    return best;
  }

  // Rows that the base does not have are like nothing.
  void AddBytes(std::span<const uint8_t> bytes, std::span<const uint8_t> base, PackUnit unit) {
    const auto offset = static_cast<uint64_t>(bytes.data() - result_.file_bytes().data());
    const uint64_t both = std::min(bytes.size(), base.size());
    if (both > 0) {
      const auto base_offset = static_cast<uint64_t>(base.data() - base_.file_bytes().data());
      found_.push_back({{offset, both, base_offset}, unit});
    }
    if (bytes.size() > both) {
      found_.push_back({{offset + both, bytes.size() - both, schema::kZeros}, unit});
    }
  }

  // What lies between tensors is held against what follows the bytes before it.
  void AddGap(uint64_t until) {
    if (until <= end_) return;
    uint64_t bytes = until - end_;
    const uint64_t base_left = base_.file_bytes().size() - base_end_;
    if (const uint64_t both = std::min(bytes, base_left); both > 0) {
      Append({{end_, both, base_end_}, PackUnit::kBytes});
      bytes -= both;
    }
    if (bytes > 0) Append({{end_, bytes, schema::kZeros}, PackUnit::kBytes});
  }

  void Append(const UnitRange& range) {
    ranges_.push_back(range);
    end_ = range.range.offset + range.range.bytes;
    if (range.range.base_offset != schema::kZeros) {
      base_end_ = range.range.base_offset + range.range.bytes;
    }
  }

  const schema::VerifiedModel& base_;
  const schema::VerifiedModel& result_;
  std::map<std::string_view, const fb::Tensor*> by_name_;
  std::vector<UnitRange> found_;   // of tensors
  std::vector<UnitRange> ranges_;  // of everything up to end_
  uint64_t end_ = 0;
  uint64_t base_end_ = 0;
};

}  // namespace

std::vector<UnitRange> CutIntoRanges(const schema::VerifiedModel& base,
                                     const schema::VerifiedModel& result) {
  return RangeCutter(base, result).Run();
}

}  // namespace graft::converter
