// SPDX-License-Identifier: Apache-2.0
#include "schema/verify.h"

#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::AlignedBytes;
using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

// output = input * weight^T, with 3 in_features and 2 out_features.
AlignedBytes LinearModel() {
  ModelBuilder model;
  const int32_t rows = model.Symbol("rows");
  const int32_t input = model.Input("input", {Symbolic(rows), Fixed(3)}, fb::InputRole::Tensor,
                                    fb::ElementType::Float32);
  const int32_t output = model.Value("output", {Symbolic(rows), Fixed(2)});
  const std::vector<float> numbers = {1, 2, 3, 4, 5, 6};
  const int32_t weight = model.FloatTensor("weight", {2, 3}, numbers);
  model.Op("layer", {input}, {output}, fb::OpAttributes::Linear,
           fb::CreateLinear(model.builder(), weight).Union());
  model.Output(output);
  return model.Finish();
}

bool Contains(const Status& status, const std::string& needle) {
  return std::string(status.message()).find(needle) != std::string::npos;
}

fb::Model* MutableModel(AlignedBytes& file) {
  return flatbuffers::GetMutableRoot<fb::Model>(file.data() + kPreambleBytes);
}

template <typename T>
T* Mutable(const T* part) {
  return const_cast<T*>(part);
}

TEST_SUITE("schema/verify") {
  TEST_CASE("accepts a good file and gives its tensors' bytes") {
    const AlignedBytes file = LinearModel();
    const Result<VerifiedModel> verified = Verify(file.span());
    REQUIRE_MESSAGE(verified.ok(), std::string(verified.status().message()));
    const TensorBytes bytes = verified->tensor_bytes(*verified->model().tensors()->Get(0));
    REQUIRE(bytes.data.size() == 24);
    CHECK(reinterpret_cast<const float*>(bytes.data.data())[5] == 6.0f);
    CHECK(bytes.scales.empty());
    CHECK(VerifyContents(*verified).ok());
  }

  TEST_CASE("refuses a file cut at any length") {
    const AlignedBytes file = LinearModel();
    for (size_t length = 0; length < file.size(); length += length < 2048 ? 1 : 64) {
      CAPTURE(length);
      CHECK_FALSE(Verify(file.span().first(length)).ok());
    }
  }

  TEST_CASE("refuses any changed bit of preamble and header") {
    AlignedBytes file = LinearModel();
    const uint64_t end = kPreambleBytes + DecodePreamble(file.span(), file.size())->header_bytes;
    for (uint64_t bit = 0; bit < end * 8; ++bit) {
      file.data()[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      CAPTURE(bit);
      CHECK_FALSE(Verify(file.span()).ok());
      file.data()[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
    CHECK(Verify(file.span()).ok());
  }

  TEST_CASE("follows no number of a header that was changed and sealed again") {
    // Whatever the header says, Verify must come back; what it accepts must be safe to read.
    // Sanitizer builds see the rest.
    const AlignedBytes good = LinearModel();
    const uint64_t header_bytes = DecodePreamble(good.span(), good.size())->header_bytes;
    std::mt19937_64 random(20240607);
    for (int round = 0; round < 20000; ++round) {
      AlignedBytes file(good.span());
      const int changes = 1 + static_cast<int>(random() % 3);
      for (int i = 0; i < changes; ++i) {
        uint8_t& byte = file.data()[kPreambleBytes + random() % header_bytes];
        const uint8_t choices[] = {
            0, 0xff, 0x7f, 0x80, static_cast<uint8_t>(random()), static_cast<uint8_t>(byte + 1)};
        byte = choices[random() % 6];
      }
      Reseal(file);
      const Result<VerifiedModel> verified = Verify(file.span());
      if (!verified.ok()) {
        CHECK_FALSE(verified.status().message().empty());
        continue;
      }
      uint64_t sum = 0;
      for (const fb::Tensor* tensor : *verified->model().tensors()) {
        const TensorBytes bytes = verified->tensor_bytes(*tensor);
        for (const uint8_t byte : bytes.data) sum += byte;
        for (const uint8_t byte : bytes.scales) sum += byte;
      }
      CHECK(sum < ~uint64_t{0});
    }
  }

  TEST_CASE("refuses random bytes") {
    std::mt19937_64 random(7);
    for (int round = 0; round < 1000; ++round) {
      std::vector<uint8_t> bytes(random() % 4096);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      CHECK_FALSE(Verify(AlignedBytes(bytes).span()).ok());
    }
  }

  TEST_CASE("names a segment that lies wrongly") {
    const auto with_segment = [](uint64_t offset, uint64_t bytes) {
      AlignedBytes file = LinearModel();
      *Mutable(MutableModel(file)->segments()->Get(0)) = fb::Segment(offset, bytes, 0);
      Reseal(file);
      return Verify(file.span()).status();
    };
    CHECK(Contains(with_segment(16384 + 64, 24), "segment 0 starts at 16448"));
    CHECK(Contains(with_segment(0, 24), "before the end of what precedes it"));
    CHECK(Contains(with_segment(16384, 24 + 129), "past the file's"));
    CHECK(Contains(with_segment(16384, ~uint64_t{0} - 5), "past the file's"));
    CHECK(Contains(with_segment(~uint64_t{0} - 16383, 24), "past the file's"));
  }

  TEST_CASE("names a tensor whose bytes lie wrongly") {
    const auto with_span = [](fb::Span span) {
      AlignedBytes file = LinearModel();
      *Mutable(MutableModel(file)->tensors()->Get(0)->data()) = span;
      Reseal(file);
      return Verify(file.span()).status();
    };
    CHECK(Contains(with_span(fb::Span(0, 25, 0)),
                   "tensor 0 (weight) has 25 bytes of data, its shape and format need 24"));
    CHECK(Contains(with_span(fb::Span(64, 24, 0)), "past the end of segment 0"));
    CHECK(Contains(with_span(fb::Span(~uint64_t{0} - 8, 24, 0)), "past the end of segment 0"));
    CHECK(Contains(with_span(fb::Span(0, 24, 1)), "in segment 1 of 1"));
  }

  TEST_CASE("names dimensions that are zero, negative or overflow") {
    const auto with_shape = [](int64_t rows, int64_t columns) {
      AlignedBytes file = LinearModel();
      auto* shape = Mutable(MutableModel(file)->tensors()->Get(0)->shape());
      shape->Mutate(0, rows);
      shape->Mutate(1, columns);
      Reseal(file);
      return Verify(file.span()).status();
    };
    CHECK(Contains(with_shape(0, 3), "dimension of 0"));
    CHECK(Contains(with_shape(-2, -3), "dimension of -2"));
    CHECK(Contains(with_shape(int64_t{1} << 62, 6), "more elements"));
    CHECK(Contains(with_shape(int64_t{1} << 33, int64_t{1} << 33), "more elements"));
    CHECK(Contains(with_shape(3, 2), "width of 2"));
  }

  TEST_CASE("contents are checked when asked for") {
    AlignedBytes file = LinearModel();
    file.data()[16384] ^= 1;
    const Result<VerifiedModel> verified = Verify(file.span());
    REQUIRE(verified.ok());
    CHECK(Contains(VerifyContents(*verified), "segment 0 has checksum"));
    // In parts: the segment and the tensor that the byte lies in, and no other.
    int64_t failures = 0;
    for (int64_t i = 0; i < CountContents(*verified); ++i) {
      failures += VerifyContent(*verified, i).ok() ? 0 : 1;
    }
    CHECK(failures == 2);
    CHECK(Contains(VerifyContent(*verified, 0), "segment 0 has checksum"));
  }

  TEST_CASE("bytes that are not aligned are refused, not read") {
    const AlignedBytes file = LinearModel();
    std::vector<uint8_t> shifted(file.size() + 16);
    const size_t misaligned = 8 - reinterpret_cast<uintptr_t>(shifted.data()) % 8 + 1;
    std::memcpy(shifted.data() + misaligned, file.data(), file.size());
    CHECK(Verify(std::span<const uint8_t>(shifted).subspan(misaligned, file.size()))
              .status()
              .code() == StatusCode::kInvalidArgument);
  }
}

TEST_SUITE("schema/tensor formats") {
  TEST_CASE("each format needs the bytes FORMAT.md says") {
    const auto sizes = [](fb::TensorFormat format, std::vector<int64_t> shape,
                          uint32_t block_size = 0) {
      const auto result = SizesOf(static_cast<uint8_t>(format), shape, block_size);
      REQUIRE_MESSAGE(result.ok(), std::string(result.status().message()));
      return std::pair(result->data_bytes, result->scales_bytes);
    };
    using Pair = std::pair<uint64_t, uint64_t>;
    CHECK(sizes(fb::TensorFormat::Float32, {3, 5, 7}) == Pair(420, 0));
    CHECK(sizes(fb::TensorFormat::BFloat16, {11}) == Pair(22, 0));
    CHECK(sizes(fb::TensorFormat::Int8PerChannel, {3, 7}) == Pair(21, 12));
    CHECK(sizes(fb::TensorFormat::Int4Block, {3, 64}, 32) == Pair(96, 12));
    CHECK(sizes(fb::TensorFormat::Int4Block, {3, 512}, 256) == Pair(768, 12));
    CHECK(sizes(fb::TensorFormat::Int4PerChannel, {3, 10}) == Pair(15, 12));
  }

  TEST_CASE("shapes a format cannot have are refused") {
    const auto fails = [](uint8_t format, std::vector<int64_t> shape, uint32_t block_size = 0) {
      return !SizesOf(format, shape, block_size).ok();
    };
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int4Block), {3, 48}, 32));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int4Block), {3, 64}, 0));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int4Block), {3, 64}, 16));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int8PerChannel), {3, 7}, 32));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int8PerChannel), {21}));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Int4PerChannel), {3, 7}));
    CHECK(fails(static_cast<uint8_t>(fb::TensorFormat::Float32), {3, 0}));
    CHECK(fails(200, {3, 7}));
  }
}

}  // namespace
}  // namespace graft::schema
