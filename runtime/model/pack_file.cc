// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/pack_file.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "runtime/platform/cache_folder.h"
#include "runtime/xnn/layout_sample.h"
#include "schema/checked_math.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"
#include "schema/little_endian.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Changes with what the key says, the file holds, or our own packing does.
constexpr uint32_t kVersion = 1;
constexpr std::array<uint8_t, 8> kPackMagic = {0x89, 'G', 'P', 'A', 'C', 'K', '\r', '\n'};
constexpr size_t kKeyOffset = 48;
constexpr uint64_t kDataAlignment = 16384;  // the largest page size of the devices that map it
constexpr uint64_t kMaxSlices = uint64_t{1} << 24;

void PutU32(uint32_t value, std::vector<uint8_t>* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}
void PutU64(uint64_t value, std::vector<uint8_t>* out) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}
void PutHash(const schema::Hash128& hash, std::vector<uint8_t>* out) {
  PutU64(hash.high, out);
  PutU64(hash.low, out);
}

/// HashLayout of each kind of weight, computed once for all weights of a kind.
class LayoutHashes {
 public:
  Result<schema::Hash128> Of(const char* name, const LinearWeights& weights) {
    const auto known = std::find_if(known_.begin(), known_.end(), [&](const Known& other) {
      return other.weights.format == weights.format &&
             other.weights.block_size == weights.block_size &&
             other.weights.in_features == weights.in_features &&
             other.weights.tile_rows == weights.tile_rows && weights.tile_rows != 0;
    });
    if (known != known_.end()) return known->hash;
    GRAFT_ASSIGN_OR_RETURN(const schema::Hash128 hash, HashLayout(name, weights));
    if (known_.size() < kMaxKnown) known_.push_back({weights, hash});
    return hash;
  }

 private:
  static constexpr size_t kMaxKnown = 64;
  struct Known {
    LinearWeights weights;
    schema::Hash128 hash;
  };
  std::vector<Known> known_;
};

schema::Hash128 ContentOf(const fb::Tensor& tensor) {
  const fb::Hash128* hash = tensor.content_hash();
  if (hash == nullptr) return {};
  return {hash->high(), hash->low()};
}

// Packed in floats, of whatever is stored.
void PutConvolution(const ImageKernelShape& shape, const fb::Tensor& weight,
                    std::vector<uint8_t>* out) {
  if (shape.groups == 0) return;
  for (const uint32_t number :
       {shape.groups, shape.kernel_height, shape.kernel_width, shape.stride_height,
        shape.stride_width, shape.dilation_height, shape.dilation_width,
        static_cast<uint32_t>(weight.format()), weight.block_size()}) {
    PutU64(number, out);
  }
}

}  // namespace

Result<PackFile> PackFile::Describe(const schema::VerifiedModel& model, const PackLayout& layout) {
  const auto& tensors = *model.model().tensors();
  PackFile file;
  constexpr std::string_view kLibrary = GRAFT_XNNPACK_COMMIT;
  PutU64(kLibrary.size(), &file.key_);
  file.key_.insert(file.key_.end(), kLibrary.begin(), kLibrary.end());
  PutU64(layout.entries.size(), &file.key_);
  LayoutHashes layouts;
  for (const PackedEntry& entry : layout.entries) {
    const fb::Tensor& weight = *tensors.Get(static_cast<uint32_t>(entry.source.weight));
    const LinearWeights& packed = entry.weights;
    GRAFT_ASSIGN_OR_RETURN(const schema::Hash128 layout_hash,
                           layouts.Of(weight.name()->c_str(), packed));
    PutU64(static_cast<uint64_t>(packed.format), &file.key_);
    for (const uint64_t number :
         {uint64_t{packed.out_features}, uint64_t{packed.in_features}, uint64_t{packed.block_size},
          packed.packed_bytes, uint64_t{packed.tile_rows}, packed.row_bytes, entry.offset}) {
      PutU64(number, &file.key_);
    }
    PutConvolution(packed.convolution, weight, &file.key_);
    PutHash(layout_hash, &file.key_);
    PutHash(ContentOf(weight), &file.key_);
    const bool has_bias = entry.source.bias >= 0;
    const bool has_experts = entry.source.matrices > 1;
    PutU64((has_bias ? 1 : 0) + (has_experts ? 2 : 0), &file.key_);
    if (has_bias) {
      PutHash(ContentOf(*tensors.Get(static_cast<uint32_t>(entry.source.bias))), &file.key_);
    }
    if (has_experts) {
      PutU64(entry.source.matrices, &file.key_);
      PutU64(entry.stride, &file.key_);
    }
  }
  while (file.key_.size() % sizeof(uint64_t) != 0) file.key_.push_back(0);

  const schema::Hash128 hash = schema::ContentHash(file.key_, {});
  char hex[33];
  std::snprintf(hex, sizeof(hex), "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
  file.name_ = std::string(hex) + kCacheSuffix;

  file.slices_ = layout.slices.size();
  file.checksums_offset_ = kKeyOffset + file.key_.size();
  if (file.slices_ > kMaxSlices ||
      !CheckedAlignUp(file.checksums_offset_ + file.slices_ * sizeof(uint64_t), kDataAlignment,
                      &file.data_offset_) ||
      !CheckedAdd(file.data_offset_, layout.bytes, &file.file_bytes_)) {
    return Status(StatusCode::kUnsupported, "the packed weights are too large for a file");
  }
  return file;
}

std::vector<uint8_t> PackFile::Head(std::span<const uint64_t> checksums) const {
  std::vector<uint8_t> body = key_;
  for (const uint64_t checksum : checksums) PutU64(checksum, &body);
  std::vector<uint8_t> head(kPackMagic.begin(), kPackMagic.end());
  PutU32(kVersion, &head);
  PutU32(static_cast<uint32_t>(slices_), &head);
  PutU64(key_.size(), &head);
  PutU64(data_offset_, &head);
  PutU64(file_bytes_, &head);
  PutU64(schema::Checksum64(body), &head);
  head.insert(head.end(), body.begin(), body.end());
  head.resize(data_offset_, 0);
  return head;
}

Result<std::vector<uint64_t>> PackFile::ReadHead(std::span<const uint8_t> file) const {
  if (file.size() != file_bytes_) {
    return Error(StatusCode::kCorrupt, "is %zu bytes, not the %" PRIu64 " of these weights",
                 file.size(), file_bytes_);
  }
  std::vector<uint64_t> checksums(slices_);
  for (size_t i = 0; i < checksums.size(); ++i) {
    checksums[i] = schema::GetU64(file.data() + checksums_offset_ + i * sizeof(uint64_t));
  }
  const std::vector<uint8_t> expected = Head(checksums);
  if (std::memcmp(file.data(), expected.data(), expected.size()) != 0) {
    return Status(StatusCode::kCorrupt, "has a head that is not the one of these weights");
  }
  return checksums;
}

}  // namespace graft::runtime
