// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/match_headers.h"
#include "converter/packs/write_pack.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"
#include "tests/support/plain_pack.h"
#include "tests/support/sealed_pack.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using test::AlignedBytes;
using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

// What one model of a family of nearly equal ones is.
struct Variant {
  fb::TensorFormat format = fb::TensorFormat::Int4Block;
  int64_t rows = 64;
  int changed_codes = 0;   // in a thousand
  int changed_scales = 0;  // in a thousand
  bool has_head = false;
  std::string chat_template = {};
};

struct FormatFacts {
  size_t bytes_each;  // of two numbers
  size_t scale_bytes;
  size_t scales_for_row;
};

constexpr int64_t kWidth = 64;

FormatFacts FactsOf(fb::TensorFormat format) {
  switch (format) {
    case fb::TensorFormat::Int4Block:
      return {1, 2, kWidth / 32};
    case fb::TensorFormat::Int4PerChannel:
      return {1, 4, 1};
    case fb::TensorFormat::Int8PerChannel:
      return {2, 4, 1};
    case fb::TensorFormat::Float16:
    case fb::TensorFormat::BFloat16:
      return {4, 0, 0};
    default:
      return {8, 0, 0};
  }
}

int32_t AddWeight(ModelBuilder& model, const std::string& name, const Variant& variant,
                  uint32_t seed) {
  std::mt19937 random(seed);
  std::mt19937 changes(seed + 1000);
  const FormatFacts facts = FactsOf(variant.format);
  const auto rows = static_cast<size_t>(variant.rows);
  const auto happens = [&](int thousandths) {
    return static_cast<int>(changes() % 1000) < thousandths;
  };
  std::vector<uint8_t> data(rows * kWidth / 2 * facts.bytes_each);
  for (uint8_t& byte : data) {
    byte = static_cast<uint8_t>(random() % 64 + 96);
    if (happens(variant.changed_codes)) ++byte;
  }
  std::vector<uint8_t> scales;
  for (size_t i = 0; i < rows * facts.scales_for_row; ++i) {
    float scale = 0.01f + 0.0001f * static_cast<float>(random() % 64);
    if (happens(variant.changed_scales)) scale *= 1.25f;
    uint8_t bytes[4];
    std::memcpy(bytes, &scale, 4);
    scales.insert(scales.end(), bytes + 4 - facts.scale_bytes, bytes + 4);
  }
  return model.Tensor(name, variant.format, {variant.rows, kWidth}, data, scales,
                      variant.format == fb::TensorFormat::Int4Block ? 32 : 0);
}

AlignedBytes Make(const Variant& variant) {
  ModelBuilder model;
  const int32_t rows = model.Symbol("rows");
  const int32_t input = model.Input("input", {Symbolic(rows), Fixed(kWidth)}, fb::InputRole::Tensor,
                                    fb::ElementType::Float32);
  const auto linear = [&](const std::string& name, uint32_t seed) {
    const int32_t weight = AddWeight(model, name, variant, seed);
    const int32_t output = model.Value(name, {Symbolic(rows), Fixed(variant.rows)});
    model.Op(name, {input}, {output}, fb::OpAttributes::Linear,
             fb::CreateLinear(model.builder(), weight).Union());
    return output;
  };
  for (uint32_t i = 0; i < 3; ++i) model.Output(linear("layer" + std::to_string(i), i));
  if (variant.has_head) model.Output(linear("head", 77));
  if (!variant.chat_template.empty()) model.SetChatTemplate(variant.chat_template);
  return model.Finish();
}

struct Packed {
  std::vector<uint8_t> bytes;
  PackOutcome outcome;
};

std::vector<uint8_t> FileBytes(const std::filesystem::path& path) {
  const std::string text = ReadBytes(path);
  return {text.begin(), text.end()};
}

// Packs, applies in a file and in memory, and holds both against the original.
Packed CheckedPack(const AlignedBytes& base, const AlignedBytes& result) {
  const TemporaryFolder folder;
  const auto base_model = schema::Verify(base.span());
  const auto result_model = schema::Verify(result.span());
  REQUIRE(base_model.ok());
  REQUIRE(result_model.ok());
  PackOptions options;
  options.path = folder / "a.graftpack";
  options.threads = 2;
  const auto outcome = WritePack(*base_model, *result_model, options);
  REQUIRE_MESSAGE(outcome.ok(), std::string(outcome.status().message()));
  Packed packed{FileBytes(options.path), *outcome};
  CHECK(packed.bytes.size() == outcome->pack_bytes);
  options.threads = 1;
  REQUIRE(WritePack(*base_model, *result_model, options).ok());
  CHECK(FileBytes(options.path) == packed.bytes);

  const std::vector<uint8_t> wanted(result.span().begin(), result.span().end());
  const auto pack = schema::Pack::Open(packed.bytes, *base_model);
  REQUIRE_MESSAGE(pack.ok(), std::string(pack.status().message()));
  options.path = folder / "made.graft";
  REQUIRE(ApplyPack(*base_model, *pack, options).ok());
  CHECK(FileBytes(options.path) == wanted);
  const auto made = test::Unpack(packed.bytes, *base_model);
  REQUIRE(made.ok());
  CHECK(*made == wanted);
  return packed;
}

// How often each difference is there, in each byte of the numbers.
struct Differences {
  uint64_t count = 0;  // of numbers
  std::vector<std::map<unsigned, uint64_t>> counts;

  double EntropyBytes() const {
    double bits = 0;
    for (const auto& plane : counts) {
      for (const auto& [difference, times] : plane) {
        const double share = static_cast<double>(times) / static_cast<double>(count);
        bits -= static_cast<double>(times) * std::log2(share);
      }
    }
    return bits / 8;
  }
};

// Of all codes, or of all scales.
Differences DifferencesOf(const AlignedBytes& base, const AlignedBytes& result, unsigned bits,
                          bool is_of_scales) {
  const auto before = schema::Verify(base.span()), after = schema::Verify(result.span());
  Differences found;
  found.counts.resize(std::max(1u, bits / 8));
  for (uint32_t i = 0; i < after->model().tensors()->size(); ++i) {
    const auto from = before->tensor_bytes(*before->model().tensors()->Get(i));
    const auto to = after->tensor_bytes(*after->model().tensors()->Get(i));
    const auto a = is_of_scales ? from.scales : from.data;
    const auto b = is_of_scales ? to.scales : to.data;
    for (size_t bit = 0; bit < b.size() * 8; bit += bits) {
      uint64_t difference = 0;  // b - a
      for (unsigned byte = 0; byte < std::max(1u, bits / 8); ++byte) {
        const size_t at = bit / 8 + byte;
        const unsigned shift = 8 * byte;
        difference += (uint64_t{b[at]} << shift) - (uint64_t{a[at]} << shift);
      }
      if (bits == 4)
        difference = (unsigned{b[bit / 8]} >> bit % 8) - (unsigned{a[bit / 8]} >> bit % 8);
      for (auto& plane : found.counts) {
        ++plane[static_cast<unsigned>(difference & (bits == 4 ? 15 : 255))];
        difference >>= 8;
      }
      ++found.count;
    }
  }
  return found;
}

TEST_SUITE("converter/packs") {
  TEST_CASE("base and pack make the file that was packed, in each format") {
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Float32, fb::TensorFormat::Float16, fb::TensorFormat::BFloat16,
          fb::TensorFormat::Int8PerChannel, fb::TensorFormat::Int4Block,
          fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(static_cast<int>(format));
      const Packed packed = CheckedPack(Make({format, 64, 0, 0}), Make({format, 64, 30, 100}));
      CHECK(packed.outcome.changed_bytes > 0);
      CHECK(packed.bytes.size() < Make({format}).size() / 3);
    }
  }

  TEST_CASE("base and pack make files of another shape") {
    const Variant base{fb::TensorFormat::Int4Block, 64, 0, 0};
    Variant grown = base;
    grown.rows = 67;
    Variant with_head = base;
    with_head.has_head = true;
    Variant with_template = base;
    with_template.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}";
    Variant other_template = base;
    other_template.chat_template = "{{ messages[0].content }}";
    Variant other_format = base;
    other_format.format = fb::TensorFormat::Int8PerChannel;
    const std::vector<Variant> all = {base,           grown,        with_head, with_template,
                                      other_template, other_format, {}};
    for (const Variant& from : all) {
      for (const Variant& to : all) CheckedPack(Make(from), Make(to));
    }
    // Rows that are the same cost nothing.
    CHECK(CheckedPack(Make(base), Make(grown)).outcome.new_bytes < 2000);
  }

  TEST_CASE("a pack tells how many codes changed, and the entropy of all that it codes") {
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Int4Block, fb::TensorFormat::Int8PerChannel}) {
      CAPTURE(static_cast<int>(format));
      const bool is_int4 = format == fb::TensorFormat::Int4Block;
      // So many that no piece of a matrix is the same.
      const AlignedBytes base = Make({format, 64, 0, 0}), result = Make({format, 64, 300, 100});
      const PackOutcome outcome = CheckedPack(base, result).outcome;
      const Differences codes = DifferencesOf(base, result, is_int4 ? 4 : 8, false);
      CHECK(outcome.codes == codes.count);
      CHECK(outcome.changed_codes == codes.count - codes.counts.at(0).at(0));
      const double numbers = codes.EntropyBytes() +
                             DifferencesOf(base, result, is_int4 ? 16 : 32, true).EntropyBytes();
      CHECK(outcome.entropy_bytes > numbers);
      // The rest is the header's, whose bytes take no more than they are.
      const size_t scale_bytes = size_t{3} * 64 * 4;  // of two blocks, or of a row
      const uint64_t others = outcome.changed_bytes + outcome.new_bytes -
                              outcome.codes / (is_int4 ? 2 : 1) - scale_bytes;
      CHECK(outcome.entropy_bytes < numbers + static_cast<double>(others));
    }
  }

  TEST_CASE("the pack of equal files is next to nothing") {
    const AlignedBytes file = Make({});
    const Packed packed = CheckedPack(file, file);
    CHECK(packed.bytes.size() <= 2048);
    CHECK(packed.outcome.same_bytes == file.size());
  }

  TEST_CASE("a pack is refused by another base") {
    const AlignedBytes base = Make({});
    Variant other;
    other.changed_codes = 1;
    const Packed packed = CheckedPack(base, Make({fb::TensorFormat::Int4Block, 64, 20, 0}));
    const AlignedBytes other_base = Make(other);
    const auto pack = schema::Pack::Open(packed.bytes, *schema::Verify(other_base.span()));
    REQUIRE_FALSE(pack.ok());
    CHECK(pack.status().code() == StatusCode::kMismatch);
  }

  TEST_CASE("a pack that was cut or changed anywhere is refused") {
    const AlignedBytes base = Make({});
    const auto model = schema::Verify(base.span());
    const Packed packed = CheckedPack(base, Make({fb::TensorFormat::Int4Block, 64, 5, 0}));
    for (size_t size = 0; size < packed.bytes.size(); size += size < 200 ? 1 : 37) {
      CHECK_FALSE(schema::Pack::Open(std::span(packed.bytes).first(size), *model).ok());
    }
    std::mt19937 random(4);
    for (size_t i = 0; i < packed.bytes.size(); i += i < 200 ? 1 : 7) {
      std::vector<uint8_t> changed = packed.bytes;
      changed[i] = static_cast<uint8_t>(changed[i] ^ (1u << random() % 8));
      CAPTURE(i);
      CHECK_FALSE(test::Unpack(changed, *model).ok());
    }
  }

  TEST_CASE("a changed pack that was sealed again makes nothing beyond its bounds") {
    const AlignedBytes base = Make({});
    const auto model = schema::Verify(base.span());
    const Packed packed = CheckedPack(base, Make({fb::TensorFormat::Int4Block, 66, 5, 5}));
    std::mt19937 random(5);
    const uint64_t index = test::GetLittleEndian(&packed.bytes[88]);
    size_t refused = 0;
    for (int round = 0; round < 600; ++round) {
      std::vector<uint8_t> changed = packed.bytes;
      const size_t changes = 1 + random() % 4;
      for (size_t i = 0; i < changes; ++i) {
        // Half of them where sizes and places are.
        const size_t at = round % 2 == 0 ? index + random() % (changed.size() - index)
                                         : 48 + random() % (changed.size() - 48);
        changed[at] = static_cast<uint8_t>(random());
      }
      test::SealPack(changed);
      refused += test::Unpack(changed, *model).ok() ? 0 : 1;
    }
    CHECK(refused > 300);
  }

  TEST_CASE("a pack that makes more than the base allows is refused") {
    const AlignedBytes base = Make({});
    const auto model = schema::Verify(base.span());
    // Each block repeats one byte.
    const std::vector<uint8_t> block = {2, 1, 7};
    std::vector<uint8_t> index;
    const uint64_t count = 1100;
    PutNumber(count, &index);
    for (uint64_t i = 0; i < count; ++i) {
      index.push_back(2 | 8 | 16);
      PutNumber(schema::kMaxBlockBytes, &index);
      PutNumber(block.size(), &index);
      index.resize(index.size() + 8);
    }
    schema::PackPreamble preamble;
    preamble.base_bytes = base.size();
    preamble.base_identity = model->identity();
    preamble.result_bytes = count * schema::kMaxBlockBytes;
    preamble.index_offset = schema::kPackPreambleBytes + count * block.size();
    preamble.index_bytes = index.size();
    preamble.pack_bytes = preamble.index_offset + index.size();
    const auto head = schema::EncodePackPreamble(preamble);
    std::vector<uint8_t> pack(head.begin(), head.end());
    for (uint64_t i = 0; i < count; ++i) pack.insert(pack.end(), block.begin(), block.end());
    pack.insert(pack.end(), index.begin(), index.end());
    test::SealPack(pack);
    const auto opened = schema::Pack::Open(pack, *model);
    REQUIRE_FALSE(opened.ok());
    CHECK(std::string(opened.status().message()).find("allows") != std::string::npos);
  }

  TEST_CASE("packs of older versions are read, without what came later; later ones are not read") {
    const AlignedBytes base = Make({});
    const auto model = schema::Verify(base.span());
    const AlignedBytes result = Make({fb::TensorFormat::Int4Block, 64, 5, 0});
    const std::vector<uint8_t> wanted(result.span().begin(), result.span().end());
    const auto refusal = [&](std::vector<uint8_t> pack, uint8_t version) {
      pack[8] = version;
      test::SealPack(pack);
      const auto made = test::Unpack(pack, *model);
      return made.ok() ? "none" : std::string(made.status().message());
    };
    for (const uint8_t version : {1, 2, 3}) {
      const std::vector<uint8_t> pack = test::PlainPack(base.span(), result.span(), 512, version);
      const auto made = test::Unpack(pack, *model);
      REQUIRE_MESSAGE(made.ok(), std::string(made.status().message()));
      CHECK(*made == wanted);
      if (version == 1) continue;
      CHECK(refusal(pack, static_cast<uint8_t>(version - 1))
                .find("is coded in a way that packs of its version are not") != std::string::npos);
    }
    const Packed packed = CheckedPack(base, result);
    CHECK(packed.bytes[8] == 3);
    CHECK(refusal(packed.bytes, 4).find("reads versions 1 to 3") != std::string::npos);
    CHECK(refusal(packed.bytes, 0).find("reads versions 1 to 3") != std::string::npos);
  }

  TEST_CASE("bytes that moved are found where they were") {
    std::mt19937 random(6);
    std::vector<uint8_t> base(20000);
    for (uint8_t& byte : base) byte = static_cast<uint8_t>(random());
    std::vector<uint8_t> moved(base.begin() + 8000, base.begin() + 16000);
    moved.insert(moved.end(), base.begin(), base.begin() + 4000);
    for (size_t i = 0; i < moved.size(); i += 500) moved[i] = static_cast<uint8_t>(moved[i] + 1);
    uint64_t end = 0;
    uint64_t equal = 0;
    for (const PackRange& range : MatchBytes(moved, base)) {
      CHECK(range.offset == end);
      end += range.bytes;
      if (range.base_offset == schema::kZeros) continue;
      REQUIRE(range.base_offset + range.bytes <= base.size());
      for (uint64_t i = 0; i < range.bytes; ++i) {
        equal += moved[range.offset + i] == base[range.base_offset + i] ? 1 : 0;
      }
    }
    CHECK(end == moved.size());
    CHECK(equal > moved.size() - 100);
    CHECK(MatchBytes({}, base).empty());
    CHECK(MatchBytes(moved, {}).size() == 1);
  }
}

}  // namespace
}  // namespace graft::converter
