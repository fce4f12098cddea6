// SPDX-License-Identifier: Apache-2.0
#include "converter/quantize/stored_format.h"

#include <cinttypes>

#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr bool Same(StorageKind kind, fb::TensorFormat format) {
  return static_cast<uint8_t>(kind) == static_cast<uint8_t>(format);
}
static_assert(Same(StorageKind::kFloat32, fb::TensorFormat::Float32));
static_assert(Same(StorageKind::kFloat16, fb::TensorFormat::Float16));
static_assert(Same(StorageKind::kBFloat16, fb::TensorFormat::BFloat16));
static_assert(Same(StorageKind::kInt8PerChannel, fb::TensorFormat::Int8PerChannel));
static_assert(Same(StorageKind::kInt4Block, fb::TensorFormat::Int4Block));
static_assert(Same(StorageKind::kInt4PerChannel, fb::TensorFormat::Int4PerChannel));

}  // namespace

int64_t StoredFormat::RowDataBytes(int64_t row_elements) const {
  switch (kind) {
    case StorageKind::kFloat32:
      return row_elements * 4;
    case StorageKind::kFloat16:
    case StorageKind::kBFloat16:
      return row_elements * 2;
    case StorageKind::kInt8PerChannel:
      return row_elements;
    case StorageKind::kInt4Block:
    case StorageKind::kInt4PerChannel:
      return row_elements / 2;
  }
  return 0;
}

int64_t StoredFormat::RowScaleBytes(int64_t row_elements) const {
  switch (kind) {
    case StorageKind::kFloat32:
    case StorageKind::kFloat16:
    case StorageKind::kBFloat16:
      return 0;
    case StorageKind::kInt8PerChannel:
    case StorageKind::kInt4PerChannel:
      return 4;
    case StorageKind::kInt4Block:
      return row_elements / block_size * 2;
  }
  return 0;
}

std::string StoredFormat::Name() const {
  switch (kind) {
    case StorageKind::kFloat32:
      return "f32";
    case StorageKind::kFloat16:
      return "f16";
    case StorageKind::kBFloat16:
      return "bf16";
    case StorageKind::kInt8PerChannel:
      return "int8";
    case StorageKind::kInt4Block:
      return "int4-block" + std::to_string(block_size);
    case StorageKind::kInt4PerChannel:
      return "int4-channel";
  }
  return "unknown";
}

Result<StoredFormat> ParseStoredFormat(std::string_view word, int64_t block_size) {
  if (word == "f32") return StoredFormat{StorageKind::kFloat32};
  if (word == "f16") return StoredFormat{StorageKind::kFloat16};
  if (word == "int8") return StoredFormat{StorageKind::kInt8PerChannel};
  if (word == "int4-channel") return StoredFormat{StorageKind::kInt4PerChannel};
  if (word != "int4") {
    return Error(StatusCode::kInvalidArgument,
                 "--quant is '%.*s'; it must be f32, f16, int8, int4 or int4-channel",
                 static_cast<int>(word.size()), word.data());
  }
  if (block_size != 32 && block_size != 64 && block_size != 128 && block_size != 256) {
    return Error(StatusCode::kInvalidArgument,
                 "--block-size is %" PRId64 "; it must be 32, 64, 128 or 256", block_size);
  }
  return StoredFormat{StorageKind::kInt4Block, static_cast<uint32_t>(block_size)};
}

StoredFormat FormatFor(const StoredFormat& wanted, int64_t row_elements) {
  const bool fits =
      (wanted.kind != StorageKind::kInt4Block || row_elements % wanted.block_size == 0) &&
      (wanted.kind != StorageKind::kInt4PerChannel || row_elements % 2 == 0);
  return fits ? wanted : StoredFormat{StorageKind::kInt8PerChannel};
}

}  // namespace graft::converter
