// SPDX-License-Identifier: Apache-2.0
// Gives a model with one pack the weights of another pack, where they lie: whatever the two change,
// what lies there then is what lies in a model that was opened with the second one, and after a
// failure what lay there before.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "runtime/model/patched_source.h"
#include "runtime/xnn/channel_layout.h"
#include "tests/fuzz/support/made_pack.h"
#include "tests/support/matrices_model.h"

namespace {

using namespace graft;        // NOLINT(google-build-using-namespace)
using namespace graft::fuzz;  // NOLINT(google-build-using-namespace)
using namespace graft::test;  // NOLINT(google-build-using-namespace)
using schema::PackUnit;

struct Piece {
  size_t begin = 0, bytes = 0;
  PackUnit unit = PackUnit::kBytes;
};

// Codes and scales, in the file's order.
std::vector<Piece> PiecesOf(const schema::VerifiedModel& model) {
  std::vector<Piece> pieces;
  for (const fb::Tensor* tensor : *model.model().tensors()) {
    const schema::TensorBytes bytes = model.tensor_bytes(*tensor);
    if (bytes.scales.empty()) continue;
    const auto add = [&](std::span<const uint8_t> part, PackUnit unit) {
      pieces.push_back(
          {static_cast<size_t>(part.data() - model.file_bytes().data()), part.size(), unit});
    };
    const bool has_blocks = tensor->format() == fb::TensorFormat::Int4Block;
    const bool is_int8 = tensor->format() == fb::TensorFormat::Int8PerChannel;
    add(bytes.data, is_int8 ? PackUnit::kBytes : PackUnit::kNibbles);
    add(bytes.scales, has_blocks ? PackUnit::kPairs : PackUnit::kQuads);
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  return pieces;
}

// Changed as a whole, or up to some unit and from another one on, in one block or in two.
void AddSteps(const Piece& piece, Input* input, uint64_t* end, std::vector<MadeStep>* steps) {
  const uint8_t how = input->Byte() % 4;
  if (how == 0) return;
  const size_t unit = schema::PlanesOf(piece.unit), units = piece.bytes / unit;
  size_t until = units, from = units;
  if (how > 1) {
    until = 1 + input->Byte() % (units - 2);
    from = until + 1 + input->Byte() % (units - until - 1);
  }
  const auto add = [&](PackUnit of, uint64_t bytes, bool begins) {
    if (bytes > 0) steps->push_back({of, bytes, *end, begins});
    *end += bytes;
  };
  add(PackUnit::kNone, piece.begin - *end, false);
  add(piece.unit, until * unit, true);
  add(PackUnit::kNone, (from - until) * unit, false);
  add(piece.unit, (units - from) * unit, how == 3);
}

std::vector<uint8_t> MakeChanges(const schema::VerifiedModel& base, Input* input) {
  std::vector<MadeStep> steps;
  uint64_t end = 0;
  for (const Piece& piece : PiecesOf(base)) AddSteps(piece, input, &end, &steps);
  if (end < base.file_bytes().size())
    steps.push_back({PackUnit::kNone, base.file_bytes().size() - end, end, false});
  return MakePack(base, steps, input);
}

std::shared_ptr<runtime::Model> Prepare(const std::shared_ptr<const runtime::DataSource>& base,
                                        const std::vector<uint8_t>& pack) {
  auto patched = runtime::PatchedSource::Open(
      base, std::make_unique<runtime::MemorySource>(std::span<const uint8_t>(pack)), "base",
      "pack");
  if (!patched.ok()) std::abort();
  runtime::ModelOptions options;
  options.threads = 1;
  auto model = runtime::Model::Prepare(std::move(patched).value(), options);
  return model.ok() ? *model : nullptr;
}

// Without rows that XNNPACK puts into a last tile beyond the matrix's.
std::vector<std::vector<uint8_t>> PackedBytes(const runtime::Model& model) {
  std::vector<std::vector<uint8_t>> all;
  for (uint32_t op = 0; op < model.verified().model().graph()->ops()->size(); ++op) {
    const runtime::LinearWeights& weights = model.packed_weights().linear(op);
    const auto tile = runtime::FindCodeTile("weight", weights);
    if (!tile.ok()) std::abort();
    uint64_t bytes = weights.packed_bytes;
    if (tile->rows != 0 && weights.block_tile.rows == 0)
      bytes = weights.out_features / tile->rows * tile->rows * weights.row_bytes;
    all.emplace_back(weights.packed, weights.packed + bytes);
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Two of one content, so that what is packed from one is not found for the other.
  static const AlignedBytes bytes = MatricesModel(), others(bytes.span());
  static const auto base = std::make_shared<const runtime::MemorySource>(bytes.span());
  static const auto other_base = std::make_shared<const runtime::MemorySource>(others.span());
  static const schema::VerifiedModel verified = *schema::Verify(bytes.span());
  Input input(data, size);
  const std::vector<uint8_t> held = MakeChanges(verified, &input);
  const std::vector<uint8_t> wanted = MakeChanges(verified, &input);
  const std::shared_ptr<runtime::Model> model = Prepare(base, held);
  if (model == nullptr || !model->LoadWeights(nullptr).ok()) return 0;
  const auto before = PackedBytes(*model);
  const std::shared_ptr<runtime::Model> opened = Prepare(other_base, wanted);
  const std::shared_ptr<runtime::Model> next = Prepare(base, wanted);
  if ((opened == nullptr) != (next == nullptr)) std::abort();
  if (next == nullptr) return 0;
  const bool is_sound = opened->LoadWeights(nullptr).ok();
  if (next->LoadWeights(model.get()).ok() != is_sound) std::abort();
  if (is_sound ? PackedBytes(*next) != PackedBytes(*opened) : PackedBytes(*model) != before)
    std::abort();
  return 0;
}
