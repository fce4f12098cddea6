// SPDX-License-Identifier: Apache-2.0
// Models over the same bytes hold their packed weights once, whoever comes and goes.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/model/model.h"
#include "runtime/model/packed_weights.h"
#include "runtime/model/patched_source.h"
#include "runtime/platform/data_source.h"
#include "tests/runtime/model/cached_model.h"
#include "tests/support/plain_pack.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

using ModelPointer = std::shared_ptr<const runtime::Model>;

ModelPointer OpenWithPack(const AlignedBytes& base, const std::vector<uint8_t>& pack,
                          const runtime::CacheSettings& cache = {}) {
  auto source = runtime::PatchedSource::Open(
      std::make_shared<runtime::MemorySource>(base.span()),
      std::make_unique<runtime::MemorySource>(std::span<const uint8_t>(pack)), "base", "pack");
  REQUIRE(source.ok());
  runtime::ModelOptions options;
  options.threads = 2;
  options.cache = cache;
  auto model = runtime::Model::Open(std::move(source).value(), options);
  REQUIRE(model.ok());
  return std::move(model).value();
}

// The file with codes of the matrix `name` changed, and hashes that say so.
AlignedBytes WithOtherCodes(const AlignedBytes& base, const char* name) {
  AlignedBytes file(base.span());
  const auto verified = schema::Verify(file.span());
  for (const fb::Tensor* tensor : *verified->model().tensors()) {
    if (tensor->name()->str() != name) continue;
    const schema::TensorBytes bytes = verified->tensor_bytes(*tensor);
    auto* data = const_cast<uint8_t*>(bytes.data.data());
    for (size_t at = 0; at < bytes.data.size(); at += 9) data[at] ^= 0x11;
    const schema::Hash128 hash = schema::ContentHash(bytes.data, bytes.scales);
    *const_cast<fb::Hash128*>(tensor->content_hash()) = fb::Hash128(hash.high, hash.low);
  }
  for (uint32_t i = 0; i < verified->model().segments()->size(); ++i) {
    const fb::Segment& segment = *verified->model().segments()->Get(i);
    const_cast<fb::Segment&>(segment) = fb::Segment(segment.offset(), segment.bytes(),
                                                    schema::Checksum64(verified->segment_bytes(i)));
  }
  Reseal(file);
  return file;
}

std::vector<float> Logits(const ModelPointer& model) {
  const Numbers logits = ForwardIds(*NewSession(model, {.threads = 2}), TinyLlama::Ids(5));
  return {logits.at.begin(), logits.at.end()};
}

// The largest weight of a layer.
std::string AMatrixOf(const TinyLlama& llama) {
  const auto& tensors = *llama.model()->verified().model().tensors();
  const auto& ops = *llama.model()->verified().model().graph()->ops();
  for (const fb::Op* op : ops) {
    if (const fb::Linear* linear = op->attributes_as_Linear()) {
      return tensors.Get(static_cast<uint32_t>(linear->weight()))->name()->str();
    }
  }
  return "";
}

TEST_SUITE("runtime/shared_weights") {
  TEST_CASE(
      "base and pack hold of their own what the pack changes, and answer as the merged file") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      const TinyLlama llama(format);
      const AlignedBytes adapted = WithOtherCodes(llama.file(), AMatrixOf(llama).c_str());
      // Matrices of a tiny model are smaller than a page; a step of a pack is smaller still.
      const std::vector<uint8_t> pack = PlainPack(llama.file().span(), adapted.span(), 64);
      const auto expected = Logits(OpenBytes(adapted, {}));
      const auto of_base = Logits(llama.model());
      REQUIRE(expected != of_base);
      const uint64_t all = llama.model()->packed_weights().bytes();

      ModelPointer first = OpenWithPack(llama.file(), pack);
      CHECK(Logits(first) == expected);
      const uint64_t shared = first->packed_weights().shared_bytes();
      CHECK(shared > all / 2);
      CHECK(shared < all);
      // The base again: all of it is there.
      ModelPointer again = OpenBytes(llama.file(), {});
      CHECK(again->packed_weights().shared_bytes() > shared);
      CHECK(Logits(again) == of_base);
      first.reset();
      CHECK(Logits(again) == of_base);
      CHECK(Logits(llama.model()) == of_base);
    }
  }

  TEST_CASE("what is shared outlives the model that packed it") {
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    const AlignedBytes copy(llama.file().span());  // at another address: nothing in common
    const AlignedBytes adapted = WithOtherCodes(copy, AMatrixOf(llama).c_str());
    const std::vector<uint8_t> pack = PlainPack(copy.span(), adapted.span(), 64);
    const auto expected = Logits(OpenBytes(adapted, {}));
    ModelPointer base = OpenBytes(copy, {});
    CHECK(base->packed_weights().shared_bytes() == 0);
    const ModelPointer with_pack = OpenWithPack(copy, pack);
    const ModelPointer other = OpenWithPack(copy, pack);
    CHECK(with_pack->packed_weights().shared_bytes() > 0);
    base.reset();
    CHECK(Logits(with_pack) == expected);
    CHECK(Logits(other) == expected);
    // Packed anew where nobody has it any more, taken where somebody has.
    const ModelPointer later = OpenBytes(copy, {});
    CHECK(later->packed_weights().shared_bytes() == with_pack->packed_weights().shared_bytes());
    CHECK(Logits(later) == Logits(llama.model()));
  }

  TEST_CASE("beside its base a pack's file in the cache holds what the pack changes") {
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    const AlignedBytes adapted = WithOtherCodes(llama.file(), AMatrixOf(llama).c_str());
    const std::vector<uint8_t> pack = PlainPack(llama.file().span(), adapted.span(), 64);
    const auto expected = Logits(OpenBytes(adapted, {}));
    const CacheFolder folder;
    for (const runtime::CacheState state :
         {runtime::CacheState::kStored, runtime::CacheState::kHit}) {
      // The model without a cache is not taken from: a later start would find nothing.
      const ModelPointer base = OpenBytes(llama.file(), folder.settings());
      CHECK(StateOf(base) == state);
      CHECK(base->packed_weights().shared_bytes() == 0);
      const ModelPointer with_pack = OpenWithPack(llama.file(), pack, folder.settings());
      CHECK(StateOf(with_pack) == state);
      CHECK(with_pack->packed_weights().shared_bytes() > 0);
      CHECK(Logits(with_pack) == expected);
      const ModelPointer all_shared = OpenBytes(llama.file(), folder.settings());
      CHECK(StateOf(all_shared) == runtime::CacheState::kHit);
    }
    CHECK(folder.Files().size() == 2);
  }
}

}  // namespace
}  // namespace graft::test
