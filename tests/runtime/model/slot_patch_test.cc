// SPDX-License-Identifier: Apache-2.0
// A model that takes another one's place has the packed bytes of one that was opened, whether they
// were patched where they lay or packed anew.
#include "runtime/model/slot_patch.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "runtime/model/patched_source.h"
#include "tests/support/adapted_model.h"
#include "tests/support/matrices_model.h"
#include "tests/support/plain_pack.h"

namespace graft::test {
namespace {

// A base that notes which of its bytes were read to make others of them.
class NotedSource final : public runtime::DataSource {
 public:
  explicit NotedSource(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  std::span<const uint8_t> bytes() const override { return bytes_; }
  // Of bytes that a pack's result is made of.
  void Release(uint64_t offset, uint64_t size) const override {
    if (size < bytes_.size() / 2) released_.push_back({offset, offset + size});
  }
  // Of bytes that are packed as they are.
  void WillRead(uint64_t offset, uint64_t size) const override {
    announced_.push_back({offset, offset + size});
  }

  bool WasRead(std::span<const uint8_t> part, bool is_by_pack) const {
    const auto begin = static_cast<uint64_t>(part.data() - bytes_.data());
    for (const auto& [from, to] : is_by_pack ? released_ : announced_) {
      if (from < begin + part.size() && begin < to) return true;
    }
    return false;
  }
  size_t releases() const { return released_.size(); }
  void Forget() {
    released_.clear();
    announced_.clear();
  }

 private:
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;
  std::span<const uint8_t> bytes_;
  mutable Ranges released_;
  mutable Ranges announced_;
};

using Base = std::shared_ptr<NotedSource>;

std::shared_ptr<runtime::Model> Prepare(const Base& base,
                                        std::unique_ptr<runtime::DataSource> pack) {
  std::shared_ptr<const runtime::DataSource> source = base;
  if (pack != nullptr) {
    auto patched = runtime::PatchedSource::Open(base, std::move(pack), "base", "pack");
    REQUIRE_MESSAGE(patched.ok(), patched.status().message());
    source = std::move(patched).value();
  }
  runtime::ModelOptions options;
  options.threads = 1;
  auto model = runtime::Model::Prepare(std::move(source), options);
  REQUIRE(model.ok());
  return *model;
}

std::shared_ptr<runtime::Model> Prepare(const Base& base, const std::vector<uint8_t>* pack) {
  if (pack == nullptr) return Prepare(base, std::unique_ptr<runtime::DataSource>());
  return Prepare(base, std::make_unique<runtime::MemorySource>(std::span<const uint8_t>(*pack)));
}

template <typename Visit>
void VisitWeights(const runtime::Model& model, const Visit& visit) {
  const auto& ops = *model.verified().model().graph()->ops();
  for (uint32_t op = 0; op < ops.size(); ++op) {
    const int32_t weight = runtime::WeightOf(model.verified(), *ops.Get(op)).weight;
    if (weight >= 0)
      visit(op, *model.verified().model().tensors()->Get(static_cast<uint32_t>(weight)));
  }
}

// Of all linear ops. Rows that XNNPACK puts into a last tile beyond the matrix's are left out: nobody
// reads what is computed of them.
std::vector<std::vector<uint8_t>> PackedBytes(const runtime::Model& model) {
  std::vector<std::vector<uint8_t>> all;
  VisitWeights(model, [&](uint32_t op, const schema::fb::Tensor&) {
    const runtime::LinearWeights& weights = model.packed_weights().linear(op);
    const auto tile = runtime::FindCodeTile("weight", weights);
    uint64_t bytes = weights.packed_bytes;
    if (tile.ok() && tile->rows != 0 && weights.block_tile.rows == 0)
      bytes = weights.out_features / tile->rows * tile->rows * weights.row_bytes;
    all.emplace_back(weights.packed, weights.packed + bytes);
  });
  return all;
}

// How many matrices must have been patched, since the base's codes were not read for them.
size_t PatchedMatrices(const runtime::Model& model, const AlignedBytes& file,
                       const NotedSource& base, bool is_by_pack) {
  const auto verified = schema::Verify(base.bytes());
  const auto result = schema::Verify(file.span());
  size_t patched = 0;
  VisitWeights(model, [&](uint32_t op, const schema::fb::Tensor& tensor) {
    const auto tile = runtime::FindCodeTile("weight", model.packed_weights().linear(op));
    for (uint32_t i = 0; i < verified->model().tensors()->size(); ++i) {
      const schema::fb::Tensor& own = *verified->model().tensors()->Get(i);
      if (own.name()->str() != tensor.name()->str()) continue;
      const std::span<const uint8_t> codes = verified->tensor_bytes(own).data;
      const std::span<const uint8_t> changed =
          result->tensor_bytes(*result->model().tensors()->Get(i)).data;
      if (std::memcmp(codes.data(), changed.data(), codes.size()) == 0) continue;
      if (!tile.ok() || tile->rows == 0) continue;
      CAPTURE(tensor.name()->str());
      CHECK_FALSE(base.WasRead(codes, is_by_pack));
      ++patched;
    }
  });
  return patched;
}

// The file with another bit in some codes, and in some scales.
AlignedBytes WithChanges(const AlignedBytes& file, uint8_t bits) {
  AlignedBytes changed(file.span());
  const auto verified = schema::Verify(file.span());
  for (const schema::fb::Tensor* tensor : *verified->model().tensors()) {
    const schema::TensorBytes bytes = verified->tensor_bytes(*tensor);
    if (bytes.scales.empty()) continue;
    uint8_t* const codes = changed.data() + (bytes.data.data() - file.data());
    uint8_t* const scales = changed.data() + (bytes.scales.data() - file.data());
    for (size_t i = bits; i < bytes.data.size(); i += 40) codes[i] ^= bits;
    for (size_t i = 0; i < bytes.scales.size(); i += 36) scales[i] ^= bits & 3;
  }
  return changed;
}

TEST_SUITE("runtime/slot_patch") {
  TEST_CASE("from adapter to adapter and back, packed bytes are those of a model opened so") {
    size_t patched = 0;
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Int8PerChannel, fb::TensorFormat::Int4Block,
          fb::TensorFormat::Int4PerChannel, fb::TensorFormat::Float16}) {
      CAPTURE(static_cast<int>(format));
      const AdaptedModel first(format, 0), second(format, 1);
      // Bases of their own, with which nothing is shared.
      const AlignedBytes bytes(first.base.file().span()), others(bytes.span());
      const auto base = std::make_shared<NotedSource>(bytes.span());
      const auto other_base = std::make_shared<NotedSource>(others.span());
      std::shared_ptr<runtime::Model> model = Prepare(base, nullptr);
      REQUIRE(model->LoadWeights(nullptr).ok());
      const std::vector<uint8_t>* const a = &first.pack_of_numbers;
      const std::vector<uint8_t>* const b = &second.pack_of_numbers;
      const std::vector<uint8_t>* const none = nullptr;
      for (const std::vector<uint8_t>* pack : {a, b, a, a, none}) {
        const std::shared_ptr<runtime::Model> next = Prepare(base, pack);
        base->Forget();
        REQUIRE(next->LoadWeights(model.get()).ok());
        patched += PatchedMatrices(*next, first.file, *base, pack != nullptr);
        model = next;
        const std::shared_ptr<runtime::Model> opened = Prepare(other_base, pack);
        REQUIRE(opened->LoadWeights(nullptr).ok());
        CHECK(PackedBytes(*model) == PackedBytes(*opened));
      }
    }
    MESSAGE(patched << " matrices patched");
  }

  TEST_CASE("codes and scales of each format, told in few steps or in many") {
    const AlignedBytes bytes = MatricesModel(), others(bytes.span());
    const AlignedBytes first = WithChanges(bytes, 0x11), second = WithChanges(bytes, 0x25);
    for (const size_t step_bytes : {SIZE_MAX - 3, size_t{4}}) {
      CAPTURE(step_bytes);
      const auto base = std::make_shared<NotedSource>(bytes.span());
      const auto other_base = std::make_shared<NotedSource>(others.span());
      const auto verified = schema::Verify(others.span());
      const auto a = PackOfNumbers(bytes.span(), first.span(), step_bytes);
      const auto b = PackOfNumbers(bytes.span(), second.span(), step_bytes);
      const auto read = schema::Pack::Open(a, *schema::Verify(bytes.span()));
      REQUIRE(read.ok());
      // Several matrices share a block, and have one slice each.
      const size_t most_decoded = 3 * read->blocks().size();
      if (step_bytes == 4) REQUIRE(read->steps().size() > 20 * most_decoded);
      std::shared_ptr<runtime::Model> model = Prepare(base, nullptr);
      REQUIRE(model->LoadWeights(nullptr).ok());
      size_t known = 0;
      VisitWeights(*model, [&](uint32_t op, const schema::fb::Tensor&) {
        const auto tile = runtime::FindCodeTile("weight", model->packed_weights().linear(op));
        known += tile.ok() && tile->rows != 0 ? 1 : 0;
      });
      for (const std::vector<uint8_t>* pack : {&a, &b, &a}) {
        auto noted = std::make_unique<NotedSource>(*pack);
        const NotedSource& pack_source = *noted;
        const std::shared_ptr<runtime::Model> next = Prepare(base, std::move(noted));
        base->Forget();
        REQUIRE(next->LoadWeights(model.get()).ok());
        CHECK(PatchedMatrices(*next, first, *base, true) == known);
        CHECK(pack_source.releases() <= most_decoded);
        auto other_noted = std::make_unique<NotedSource>(*pack);
        const NotedSource& other_pack = *other_noted;
        other_base->Forget();
        const std::shared_ptr<runtime::Model> opened = Prepare(other_base, std::move(other_noted));
        REQUIRE(opened->LoadWeights(nullptr).ok());
        CHECK(other_pack.releases() <= most_decoded);
        // A disk brings it while something else is made.
        CHECK(other_pack.WasRead(std::span(*pack).subspan(schema::kPackPreambleBytes, 1), false));
        for (const schema::fb::Tensor* tensor : *verified->model().tensors())
          CHECK(other_base->WasRead(verified->tensor_bytes(*tensor).data, false));
        CHECK(PackedBytes(*next) == PackedBytes(*opened));
        model = next;
      }
    }
  }

  TEST_CASE("a pack whose end is not what it was lets a model be packed anew") {
    const AdaptedModel first(fb::TensorFormat::Int4Block, 0);
    const AdaptedModel second(fb::TensorFormat::Int4Block, 1);
    const AlignedBytes bytes(first.base.file().span()), others(bytes.span());
    const auto base = std::make_shared<NotedSource>(bytes.span());
    const auto other_base = std::make_shared<NotedSource>(others.span());
    std::vector<uint8_t> held = first.pack_of_numbers;
    const std::shared_ptr<runtime::Model> model = Prepare(base, &held);
    REQUIRE(model->LoadWeights(nullptr).ok());
    for (size_t i = schema::kPackPreambleBytes; i < held.size() / 2; i += 7) held[i] ^= 1;
    const std::shared_ptr<runtime::Model> next = Prepare(base, &second.pack_of_numbers);
    REQUIRE(next->LoadWeights(model.get()).ok());
    const std::shared_ptr<runtime::Model> opened = Prepare(other_base, &second.pack_of_numbers);
    REQUIRE(opened->LoadWeights(nullptr).ok());
    CHECK(PackedBytes(*next) == PackedBytes(*opened));
  }

  TEST_CASE("a block that turns out bad leaves the model with what it had") {
    const AdaptedModel first(fb::TensorFormat::Int4Block, 0);
    const AdaptedModel second(fb::TensorFormat::Int4Block, 1);
    const AlignedBytes bytes(first.base.file().span());
    const auto base = std::make_shared<NotedSource>(bytes.span());
    const std::shared_ptr<runtime::Model> model = Prepare(base, &first.pack_of_numbers);
    REQUIRE(model->LoadWeights(nullptr).ok());
    const auto had = PackedBytes(*model);
    std::vector<uint8_t> wanted = second.pack_of_numbers;
    const std::shared_ptr<runtime::Model> next = Prepare(base, &wanted);
    for (size_t i = schema::kPackPreambleBytes; i < wanted.size() * 3 / 4; i += 7) wanted[i] ^= 1;
    const Status status = next->LoadWeights(model.get());
    CHECK(status.code() == StatusCode::kCorrupt);
    CHECK_FALSE(model->packed_weights().is_damaged());
    CHECK(PackedBytes(*model) == had);
  }
}

}  // namespace
}  // namespace graft::test
