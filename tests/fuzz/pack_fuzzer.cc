// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the one door of a pack: as a whole file, and with the checksums and the
// base that they need to get further; and to the decoder behind it.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "schema/packs/block_changes.h"
#include "schema/packs/entropy_decoder.h"
#include "schema/packs/pack.h"
#include "schema/packs/sparse_bytes.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"
#include "tests/support/sealed_pack.h"

namespace {

using namespace graft;        // NOLINT(google-build-using-namespace)
using namespace graft::test;  // NOLINT(google-build-using-namespace)

AlignedBytes MakeBase() {
  ModelBuilder model;
  const int32_t rows = model.Symbol("rows");
  const int32_t input = model.Input("input", {Symbolic(rows), Fixed(64)}, fb::InputRole::Tensor,
                                    fb::ElementType::Float32);
  const std::vector<float> numbers(64 * 64, 0.5f);
  const int32_t output = model.Value("output", {Symbolic(rows), Fixed(64)});
  const int32_t weight = model.FloatTensor("weight", {64, 64}, numbers);
  model.Op("layer", {input}, {output}, fb::OpAttributes::Linear,
           fb::CreateLinear(model.builder(), weight).Union());
  model.Output(output);
  return model.Finish();
}

// What a block makes of the base, told by its changes.
std::vector<uint8_t> Changed(const schema::Pack& pack, size_t index,
                             const schema::BlockChanges& changes, std::span<const uint8_t> base) {
  const schema::PackBlock& block = pack.blocks()[index];
  std::vector<uint8_t> made;
  for (uint32_t i = block.first_step; i < block.end_step; ++i) {
    const schema::PackStep& step = pack.steps()[i];
    if (step.block != index) continue;
    const std::span<const uint8_t> from = schema::BaseBytesOf(step, base);
    made.insert(made.end(), from.begin(), from.end());
    if (from.empty()) made.resize(made.size() + static_cast<size_t>(step.bytes));
  }
  const size_t planes = changes.planes().size();
  for (size_t plane = 0; plane < planes; ++plane) {
    for (const schema::SparseByte byte : changes.planes()[plane]) {
      if (byte.place() >= made.size() / planes) abort();
      uint8_t* const to = made.data() + byte.place() * planes;
      if (block.unit == schema::PackUnit::kNibbles) {
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
  return made;
}

// What is made of a block and what is said to change in it go together.
void ReadChanges(std::span<const uint8_t> bytes, const schema::VerifiedModel& base) {
  const Result<schema::Pack> pack = schema::Pack::Open(bytes, base);
  if (!pack.ok()) return;
  static schema::PackWorkspace workspace;
  schema::BlockChanges changes;
  std::vector<uint8_t> out;
  for (size_t i = 0; i < pack->blocks().size(); ++i) {
    const schema::PackBlock& block = pack->blocks()[i];
    if (schema::PlanesOf(block.unit) > schema::BlockChanges::kMostPlanes) continue;
    out.resize(block.result_bytes);
    const bool is_made = pack->MakeBlock(i, base.file_bytes(), out.data(), &workspace).ok();
    if (changes.Read(*pack, i).ok() != is_made) abort();
    if (!is_made) continue;
    if (Changed(*pack, i, changes, base.file_bytes()) != out) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const AlignedBytes base = MakeBase();
  static const schema::VerifiedModel model = *schema::Verify(base.span());
  (void)Unpack({data, size}, model);

  // The first bytes are the result's size, where the index begins and the version, the rest blocks and
  // index.
  if (size >= 5) {
    schema::PackPreamble preamble;
    preamble.base_bytes = base.size();
    preamble.base_identity = model.identity();
    preamble.result_bytes = data[0] | uint64_t{data[1]} << 8 | uint64_t{data[2]} << 16;
    preamble.version = schema::kPackVersion - std::min<uint32_t>(data[4] >> 6, 2);
    const uint64_t blocks = std::min<uint64_t>(data[3] | (data[4] & 0x3Fu) << 8, size - 5);
    preamble.index_offset = schema::kPackPreambleBytes + blocks;
    preamble.index_bytes = size - 5 - blocks;
    preamble.pack_bytes = preamble.index_offset + preamble.index_bytes;
    const auto head = schema::EncodePackPreamble(preamble);
    std::vector<uint8_t> pack(head.begin(), head.end());
    pack.insert(pack.end(), data + 5, data + size);
    SealPack(pack);
    (void)Unpack(pack, model);
    ReadChanges(pack, model);
  }

  static schema::EntropyDecoder decoder;
  static schema::SparseDecoder sparse_decoder;
  std::array<uint8_t, 1000> out;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, out.size()}) {
    (void)decoder.Decode({data, size}, std::span(out).first(count));
    if (!schema::IsSparse({data, size})) continue;
    std::array<uint8_t, 1000> scattered{};
    const bool is_scattered = sparse_decoder.Scatter({data, size}, count, scattered.data(), 0).ok();
    const auto sparse = sparse_decoder.Decode({data, size}, count);
    if (sparse.ok() != is_scattered) abort();
    if (!sparse.ok()) continue;
    // What is not refused lies within the run, in order.
    uint32_t next = 0;
    for (const schema::SparseByte byte : *sparse) {
      if (byte.place() < next || byte.place() >= count || byte.value() == 0 ||
          scattered[byte.place()] != byte.value()) {
        abort();
      }
      next = byte.place() + 1;
    }
  }
  return 0;
}
