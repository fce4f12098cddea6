// SPDX-License-Identifier: Apache-2.0
#include "schema/verify.h"

#include <cinttypes>
#include <limits>

#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"
#include "schema/ops/verify_pictures.h"
#include "schema/ops/verify_source.h"
#include "schema/verify_graph.h"
#include "schema/verify_task.h"
#include "schema/verify_tokenizer.h"

namespace graft::schema {
namespace {

constexpr int kMaxTensorRank = 8;
// Deep enough for every table of model.fbs, and a bound on the verifier's recursion and work.
constexpr flatbuffers::uoffset_t kMaxTableDepth = 16;
constexpr flatbuffers::uoffset_t kMaxTables = 4'000'000;

// The FlatBuffers verifier checks how a vector's length is aligned, but not its 8-byte elements.
template <typename T>
bool ElementsAligned(const flatbuffers::Vector<T>* vector) {
  return reinterpret_cast<uintptr_t>(vector->Data()) % alignof(uint64_t) == 0;
}

Status CheckAlignment(const fb::Model& model) {
  bool aligned = ElementsAligned(model.segments());
  for (const fb::Tensor* tensor : *model.tensors())
    aligned = aligned && ElementsAligned(tensor->shape());
  for (const fb::Value* value : *model.graph()->values())
    aligned = aligned && ElementsAligned(value->shape());
  if (!aligned)
    return Error(StatusCode::kCorrupt, "header has 8-byte numbers that are not aligned to 8");
  return OkStatus();
}

Status CheckSegments(const fb::Model& model, uint64_t header_end, uint64_t file_bytes) {
  uint64_t previous_end = header_end;
  for (uint32_t i = 0; i < model.segments()->size(); ++i) {
    const fb::Segment& segment = *model.segments()->Get(i);
    if (segment.offset() % kSegmentAlignment != 0) {
      return Error(StatusCode::kCorrupt,
                   "segment %u starts at %" PRIu64 ", not a multiple of %" PRIu64, i,
                   segment.offset(), kSegmentAlignment);
    }
    if (segment.offset() < previous_end) {
      return Error(StatusCode::kCorrupt,
                   "segment %u starts at %" PRIu64 ", before the end of what precedes it (%" PRIu64
                   ")",
                   i, segment.offset(), previous_end);
    }
    uint64_t needed = 0;
    if (!CheckedAdd(segment.bytes(), kTailBytes, &needed) ||
        !RangeFits(segment.offset(), needed, file_bytes)) {
      return Error(StatusCode::kCorrupt,
                   "segment %u of %" PRIu64 " bytes at %" PRIu64 " and its %" PRIu64
                   " readable bytes end past the file's %" PRIu64 " bytes",
                   i, segment.bytes(), segment.offset(), kTailBytes, file_bytes);
    }
    previous_end = segment.offset() + segment.bytes();
  }
  return OkStatus();
}

Status CheckSpan(const fb::Model& model, const fb::Span* span, uint64_t expected_bytes,
                 const char* what) {
  if (span == nullptr) {
    if (expected_bytes == 0) return OkStatus();
    return Error(StatusCode::kCorrupt, "has no %s; its format needs %" PRIu64 " bytes", what,
                 expected_bytes);
  }
  if (span->bytes() != expected_bytes) {
    return Error(StatusCode::kCorrupt,
                 "has %" PRIu64 " bytes of %s, its shape and format need %" PRIu64, span->bytes(),
                 what, expected_bytes);
  }
  if (span->segment() >= model.segments()->size()) {
    return Error(StatusCode::kCorrupt, "has its %s in segment %u of %u", what, span->segment(),
                 model.segments()->size());
  }
  const fb::Segment& segment = *model.segments()->Get(span->segment());
  if (!RangeFits(span->offset(), span->bytes(), segment.bytes())) {
    return Error(StatusCode::kCorrupt,
                 "has %s of %" PRIu64 " bytes at %" PRIu64 ", past the end of segment %u (%" PRIu64
                 " bytes)",
                 what, span->bytes(), span->offset(), span->segment(), segment.bytes());
  }
  if (span->offset() % kTensorAlignment != 0) {
    return Error(StatusCode::kCorrupt, "has its %s at %" PRIu64 ", not a multiple of %" PRIu64,
                 what, span->offset(), kTensorAlignment);
  }
  return OkStatus();
}

// Elements of a shape.
Result<uint64_t> CountElements(std::span<const int64_t> shape) {
  uint64_t elements = 1;
  for (const int64_t dimension : shape) {
    if (dimension < 1) return Error(StatusCode::kCorrupt, "has a dimension of %" PRId64, dimension);
    if (!CheckedMultiply(elements, static_cast<uint64_t>(dimension), &elements) ||
        elements > std::numeric_limits<uint64_t>::max() / 8) {
      return Error(StatusCode::kCorrupt, "has more elements than 64 bits can count in bytes");
    }
  }
  return elements;
}

// What quantized formats ask of a shape and a block size.
Status CheckQuantizedShape(fb::TensorFormat format, std::span<const int64_t> shape,
                           uint32_t block_size) {
  if (shape.size() != 2) {
    return Error(StatusCode::kCorrupt, "is %s but has %zu dimensions; it must have 2",
                 fb::EnumNameTensorFormat(format), shape.size());
  }
  if (format == fb::TensorFormat::Int4Block) {
    if (block_size != 32 && block_size != 64 && block_size != 128 && block_size != 256) {
      return Error(StatusCode::kCorrupt, "has a block size of %u; it must be 32, 64, 128 or 256",
                   block_size);
    }
    if (shape[1] % block_size != 0) {
      return Error(StatusCode::kCorrupt,
                   "has %" PRId64 " in_features, not a multiple of its block size %u", shape[1],
                   block_size);
    }
  }
  if (format == fb::TensorFormat::Int4PerChannel && shape[1] % 2 != 0) {
    return Error(StatusCode::kCorrupt,
                 "has %" PRId64 " in_features; two 4-bit codes to a byte need an even number",
                 shape[1]);
  }
  return OkStatus();
}

Status CheckTensor(const fb::Model& model, const fb::Tensor& tensor) {
  const auto* shape = tensor.shape();
  if (shape->size() > kMaxTensorRank) {
    return Error(StatusCode::kCorrupt, "has %u dimensions, at most %d are allowed", shape->size(),
                 kMaxTensorRank);
  }
  GRAFT_ASSIGN_OR_RETURN(const TensorSizes sizes,
                         SizesOf(static_cast<uint8_t>(tensor.format()),
                                 std::span(shape->data(), shape->size()), tensor.block_size()));
  GRAFT_RETURN_IF_ERROR(CheckSpan(model, tensor.data(), sizes.data_bytes, "data"));
  GRAFT_RETURN_IF_ERROR(CheckSpan(model, tensor.scales(), sizes.scales_bytes, "scales"));
  if (tensor.content_hash() == nullptr) return Error(StatusCode::kCorrupt, "has no content hash");
  return OkStatus();
}

}  // namespace

Result<TensorSizes> SizesOf(uint8_t format, std::span<const int64_t> shape, uint32_t block_size) {
  TensorSizes sizes;
  GRAFT_ASSIGN_OR_RETURN(sizes.elements, CountElements(shape));
  const auto known = static_cast<fb::TensorFormat>(format);
  const bool quantized = known == fb::TensorFormat::Int8PerChannel ||
                         known == fb::TensorFormat::Int4Block ||
                         known == fb::TensorFormat::Int4PerChannel;
  if (block_size != 0 && known != fb::TensorFormat::Int4Block) {
    return Error(StatusCode::kCorrupt, "has a block size of %u, which its format does not use",
                 block_size);
  }
  if (quantized) GRAFT_RETURN_IF_ERROR(CheckQuantizedShape(known, shape, block_size));
  const uint64_t rows = quantized ? static_cast<uint64_t>(shape[0]) : 0;
  switch (known) {
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      sizes.data_bytes = sizes.elements * 4;
      return sizes;
    case fb::TensorFormat::Float16:
    case fb::TensorFormat::BFloat16:
      sizes.data_bytes = sizes.elements * 2;
      return sizes;
    case fb::TensorFormat::Int8PerChannel:
      sizes.data_bytes = sizes.elements;
      sizes.scales_bytes = rows * sizeof(float);
      return sizes;
    case fb::TensorFormat::Int4Block:
      sizes.data_bytes = sizes.elements / 2;
      sizes.scales_bytes = sizes.elements / block_size * sizeof(uint16_t);
      return sizes;
    case fb::TensorFormat::Int4PerChannel:
      sizes.data_bytes = sizes.elements / 2;
      sizes.scales_bytes = rows * sizeof(float);
      return sizes;
  }
  return Error(StatusCode::kUnsupported, "has format %u, which this build does not know", format);
}

TensorBytes VerifiedModel::tensor_bytes(const fb::Tensor& tensor) const {
  const auto bytes_of = [&](const fb::Span* span) {
    if (span == nullptr) return std::span<const uint8_t>();
    return segment_bytes(span->segment()).subspan(span->offset(), span->bytes());
  };
  return TensorBytes{bytes_of(tensor.data()), bytes_of(tensor.scales())};
}

std::span<const uint8_t> VerifiedModel::segment_bytes(uint32_t segment) const {
  const fb::Segment& where = *model_->segments()->Get(segment);
  return bytes_.subspan(where.offset(), where.bytes());
}

Hash128 VerifiedModel::identity() const {
  const Result<Preamble> preamble = DecodePreamble(bytes_, bytes_.size());
  if (!preamble.ok()) return {};  // it was ok when this was made
  return ContentHash(bytes_.subspan(preamble->header_offset, preamble->header_bytes), {});
}

Result<VerifiedModel> Verify(std::span<const uint8_t> bytes) {
  if (reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint64_t) != 0) {
    return Error(StatusCode::kInvalidArgument, "the file's bytes are not aligned to %zu in memory",
                 alignof(uint64_t));
  }
  GRAFT_ASSIGN_OR_RETURN(const Preamble preamble, DecodePreamble(bytes, bytes.size()));

  const std::span<const uint8_t> header =
      bytes.subspan(preamble.header_offset, preamble.header_bytes);
  if (Checksum64(header) != preamble.header_checksum) {
    return Error(StatusCode::kCorrupt,
                 "header checksum is %016" PRIx64 ", its %" PRIu64 " bytes give %016" PRIx64,
                 preamble.header_checksum, preamble.header_bytes, Checksum64(header));
  }

  flatbuffers::Verifier verifier(header.data(), header.size(), kMaxTableDepth, kMaxTables);
  if (!fb::VerifyModelBuffer(verifier)) {
    return Error(StatusCode::kCorrupt,
                 "header of %" PRIu64 " bytes is not a valid FlatBuffer of a model",
                 preamble.header_bytes);
  }
  const fb::Model& model = *fb::GetModel(header.data());

  GRAFT_RETURN_IF_ERROR(CheckAlignment(model));
  GRAFT_RETURN_IF_ERROR(
      CheckSegments(model, preamble.header_offset + preamble.header_bytes, bytes.size()));
  for (uint32_t i = 0; i < model.tensors()->size(); ++i) {
    const fb::Tensor& tensor = *model.tensors()->Get(i);
    if (Status status = CheckTensor(model, tensor); !status.ok()) {
      return Error(status.code(), "tensor %u (%.200s) %.*s", i, tensor.name()->c_str(),
                   static_cast<int>(status.message().size()), status.message().data());
    }
  }
  GRAFT_ASSIGN_OR_RETURN(const GraphFacts facts, CheckGraph(model));
  GRAFT_RETURN_IF_ERROR(CheckTask(model, facts));
  GRAFT_RETURN_IF_ERROR(CheckTarget(model, facts));
  GRAFT_RETURN_IF_ERROR(CheckProbes(model, facts));
  GRAFT_RETURN_IF_ERROR(CheckPictures(model, facts));
  if (model.tokenizer() != nullptr) {
    if (Status status = VerifyTokenizer(*model.tokenizer(), facts.vocabulary); !status.ok()) {
      return status.WithContext("tokenizer");
    }
  }
  return VerifiedModel(&model, bytes, facts);
}

int64_t CountContents(const VerifiedModel& verified) {
  return int64_t{verified.model().segments()->size()} + verified.model().tensors()->size();
}

Status VerifyContent(const VerifiedModel& verified, int64_t index) {
  const fb::Model& model = verified.model();
  const auto part = static_cast<uint32_t>(index);
  const uint32_t segments = model.segments()->size();
  if (part < segments) {
    const uint64_t stored = model.segments()->Get(part)->checksum();
    const uint64_t computed = Checksum64(verified.segment_bytes(part));
    if (stored == computed) return OkStatus();
    return Error(StatusCode::kCorrupt,
                 "segment %u has checksum %016" PRIx64 ", its bytes give %016" PRIx64, part, stored,
                 computed);
  }
  const fb::Tensor& tensor = *model.tensors()->Get(part - segments);
  const TensorBytes content = verified.tensor_bytes(tensor);
  const Hash128 computed = ContentHash(content.data, content.scales);
  const Hash128 stored{tensor.content_hash()->high(), tensor.content_hash()->low()};
  if (stored == computed) return OkStatus();
  return Error(StatusCode::kCorrupt, "tensor %u (%.200s): its bytes do not give its content hash",
               part - segments, tensor.name()->c_str());
}

Status VerifyContents(const VerifiedModel& verified) {
  const int64_t contents = CountContents(verified);
  for (int64_t i = 0; i < contents; ++i) GRAFT_RETURN_IF_ERROR(VerifyContent(verified, i));
  return OkStatus();
}

}  // namespace graft::schema
