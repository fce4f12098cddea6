// SPDX-License-Identifier: Apache-2.0
// Reads the file that a pack makes in pieces, as a model does: whatever the pack's steps are, pieces
// are those of the file made as a whole, and what is told of their changes makes them of the base.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/model/patched_source.h"
#include "tests/fuzz/support/made_pack.h"
#include "tests/support/model_builder.h"
#include "tests/support/sealed_pack.h"

namespace {

using namespace graft;        // NOLINT(google-build-using-namespace)
using namespace graft::fuzz;  // NOLINT(google-build-using-namespace)
using runtime::PatchedSource;
using schema::PackUnit;

constexpr size_t kMostSteps = 64;

test::AlignedBytes MakeBase() {
  test::ModelBuilder model;
  const int32_t rows = model.Symbol("rows");
  const int32_t input = model.Input("input", {test::Symbolic(rows), test::Fixed(64)},
                                    test::fb::InputRole::Tensor, test::fb::ElementType::Float32);
  std::vector<float> numbers(size_t{64} * 1024);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i * 7919 % 1021);
  const int32_t output = model.Value("output", {test::Symbolic(rows), test::Fixed(1024)});
  const int32_t weight = model.FloatTensor("weight", {1024, 64}, numbers);
  model.Op("layer", {input}, {output}, test::fb::OpAttributes::Linear,
           test::fb::CreateLinear(model.builder(), weight).Union());
  model.Output(output);
  return model.Finish();
}

// The base's header, then what the input says, up to the base's size.
std::vector<MadeStep> ChooseSteps(std::span<const uint8_t> base, Input* input) {
  const auto preamble = schema::DecodePreamble(base, base.size());
  uint64_t base_end = preamble->header_offset + preamble->header_bytes;
  uint64_t left = base.size() - base_end;
  std::vector<MadeStep> steps = {{PackUnit::kNone, base_end, 0, false}};
  for (size_t count = input->Byte() % kMostSteps; count > 0; --count) {
    const uint8_t how = input->Byte();
    MadeStep step;
    step.unit = static_cast<PackUnit>(how % 8 % 5);
    const size_t planes = schema::PlanesOf(step.unit);
    step.bytes = (1 + ((how & 8) != 0 ? input->Number() : input->Byte()) / planes) * planes;
    step.begins_block = step.unit != PackUnit::kNone && (how & 16) != 0;
    if ((how & 96) != 96) {
      step.base_offset = (how & 96) == 64 ? input->Number() * 4 : base_end;
      if (step.base_offset + step.bytes > base.size()) step.base_offset = 0;
      base_end = step.base_offset + step.bytes;
    }
    if (step.bytes > left) break;
    left -= step.bytes;
    steps.push_back(step);
  }
  if (left > 0) steps.push_back({PackUnit::kNone, left, schema::kZeros, false});
  return steps;
}

// What the changes of a range that is one run of the base's numbers make of them.
void CheckChanges(const PatchedSource& source, std::span<const uint8_t> base,
                  std::span<const uint8_t> expected, uint64_t offset, uint64_t size,
                  PackUnit unit) {
  const size_t planes = schema::PlanesOf(unit);
  size = size / planes * planes;
  if (size == 0) return;
  const std::optional<uint64_t> from = source.BaseOffsetOf(offset, size, unit);
  (void)source.CodedBytesOf(offset, size);
  if (!from) return;
  if (*from > base.size() || size > base.size() - *from) std::abort();
  std::vector<uint8_t> made(base.begin() + static_cast<ptrdiff_t>(*from),
                            base.begin() + static_cast<ptrdiff_t>(*from + size));
  schema::BlockChanges changes;
  const auto add = [&](const PatchedSource::Changes& run) {
    for (size_t plane = 0; plane < run.planes.size(); ++plane) {
      for (const schema::SparseByte byte : run.planes[plane]) {
        if (byte.place() < run.first_place || byte.place() >= run.end_place) continue;
        const int64_t at = static_cast<int64_t>(run.offset - offset) +
                           static_cast<int64_t>((byte.place() - run.first_place) * planes);
        if (at < 0 || at >= static_cast<int64_t>(size)) continue;
        uint8_t* const to = made.data() + at;
        if (unit == PackUnit::kNibbles) {
          *to = static_cast<uint8_t>(((*to + byte.value()) & 0x0F) |
                                     ((*to & 0xF0) + (byte.value() & 0xF0)));
          continue;
        }
        unsigned carried = byte.value();
        for (size_t i = plane; i < planes; ++i, carried >>= 8) {
          carried += to[i];
          to[i] = static_cast<uint8_t>(carried);
        }
      }
    }
  };
  if (!source.VisitChanges(offset, size, &changes, add).ok()) std::abort();
  if (std::memcmp(made.data(), expected.data() + offset, size) != 0) std::abort();
}

void ReadPieces(const PatchedSource& source, std::span<const uint8_t> base,
                const Result<std::vector<uint8_t>>& expected, Input* input) {
  const uint64_t all = source.bytes().size();
  std::vector<uint8_t> room;
  for (int i = 0; i < 8; ++i) {
    const uint64_t offset = input->Number() * 4 % all;
    const uint64_t size = 1 + input->Number() * 4 % (all - offset);
    const auto unit = static_cast<PackUnit>(1 + input->Byte() % 3);
    switch (input->Byte() % 4) {
      case 0: {
        const auto piece = source.ReadOnce(offset, size, &room);
        if (expected.ok() && std::memcmp(*piece, expected->data() + offset, size) != 0)
          std::abort();
        break;
      }
      case 1:
        if (!source.Load(offset, size).ok()) break;
        if (expected.ok() &&
            std::memcmp(source.bytes().data() + offset, expected->data() + offset, size) != 0) {
          std::abort();
        }
        break;
      case 2:
        source.Drop(offset, size);
        break;
      default:
        (void)source.OriginOf(offset, size);
        if (expected.ok()) CheckChanges(source, base, *expected, offset, size, unit);
    }
  }
  if (source.Keep(0, all).ok() != expected.ok()) std::abort();
  source.Drop(0, all);
  if (expected.ok() && std::memcmp(source.bytes().data(), expected->data(), all) != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const test::AlignedBytes bytes = MakeBase();
  static const auto base = std::make_shared<const runtime::MemorySource>(bytes.span());
  static const schema::VerifiedModel verified = *schema::Verify(bytes.span());
  Input input(data, size);
  const std::vector<uint8_t> pack = MakePack(verified, ChooseSteps(bytes.span(), &input), &input);
  const auto source = PatchedSource::Open(
      base, std::make_unique<runtime::MemorySource>(std::span<const uint8_t>(pack)), "base",
      "pack");
  const bool opens = schema::Pack::Open(pack, verified).ok();
  if (source.ok() != opens) std::abort();
  if (!opens) return 0;
  const Result<std::vector<uint8_t>> expected = test::Unpack(pack, verified);
  ReadPieces(*(*source)->patched(), bytes.span(), expected, &input);
  return 0;
}
