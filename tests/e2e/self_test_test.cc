// SPDX-License-Identifier: Apache-2.0
// Self-tests of converted models: as they were written, with other weights behind the same header,
// with another template and with another tokenizer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "schema/generated/model_generated.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;
using converter::ReadBytes;

AlignedBytes Load(const std::string& name) {
  const std::string bytes = ReadBytes(std::string(GRAFT_TEST_MODELS) + "/" + name + ".graft");
  return AlignedBytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

graft_self_test Test(const AlignedBytes& file, const std::string& pack = "") {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 1;
  graft_pack made = GRAFT_PACK_INIT;
  made.path = pack.c_str();
  if (!pack.empty()) options.pack = &made;
  graft_model* model = nullptr;
  graft_error error{};
  REQUIRE_MESSAGE(
      graft_model_open_memory(file.data(), file.size(), &options, &model, &error) == GRAFT_OK,
      error.message);
  graft_self_test found{};
  found.struct_size = sizeof(found);
  CHECK_MESSAGE(graft_model_self_test(model, &found, &error) == GRAFT_OK, error.message);
  graft_model_destroy(model);
  return found;
}

// What it gives points into the file.
const schema::VerifiedModel Verified(AlignedBytes&&) = delete;
const schema::VerifiedModel Verified(const AlignedBytes& file) {
  auto verified = schema::Verify(file.span());
  REQUIRE(verified.ok());
  return *verified;
}

uint64_t SegmentOf(const AlignedBytes& file) {
  return Verified(file).model().segments()->Get(0)->offset();
}

/// The header of one file and the weights of another.
AlignedBytes WithWeightsOf(const AlignedBytes& header, const AlignedBytes& weights) {
  AlignedBytes made(header.span());
  const auto from = weights.span().subspan(SegmentOf(weights));
  const auto to = made.span().subspan(SegmentOf(made));
  REQUIRE(from.size() == to.size());
  std::copy(from.begin(), from.end(), to.begin());
  return made;
}

/// The adapted file with the base's weights, but for the last two matrices.
AlignedBytes WithoutMostOf(const AlignedBytes& adapted, const AlignedBytes& base) {
  AlignedBytes made = WithWeightsOf(adapted, base);
  const schema::VerifiedModel verified = Verified(adapted);
  const auto& tensors = *verified.model().tensors();
  for (uint32_t i = tensors.size() - 2; i < tensors.size(); ++i) {
    const schema::TensorBytes bytes = verified.tensor_bytes(*tensors.Get(i));
    for (const auto part : {bytes.data, bytes.scales}) {
      if (!part.empty())
        std::copy(part.begin(), part.end(), made.span().begin() + (part.data() - adapted.data()));
    }
  }
  return made;
}

std::span<uint8_t> Mutable(AlignedBytes& file, const uint8_t* at, size_t size) {
  return file.span().subspan(static_cast<size_t>(at - file.data()), size);
}

TEST_CASE("a self-test passes on what was converted, and says what it is") {
  for (const char* quant : {"f32", "f16", "int8", "int4", "int4-channel"}) {
    CAPTURE(quant);
    const graft_self_test base = Test(Load(std::string("tales-base-") + quant));
    CHECK(base.verdict == GRAFT_SELF_TEST_BASE);
    CHECK(base.passed == 1);
    CHECK(base.probes == 3);
    CHECK(base.answers == 3);
    CHECK(std::isnan(base.adapter_share));
    const graft_self_test adapted = Test(Load(std::string("tales-holmes-") + quant));
    CHECK(adapted.verdict == GRAFT_SELF_TEST_ADAPTED);
    CHECK(adapted.passed == 1);
    CHECK(adapted.adapter_share > 0.9);
    CHECK(adapted.adapter_share < 1.1);
    CHECK(std::string(adapted.note).empty());
  }
  CHECK(
      Test(Load("tales-base-int8"), std::string(GRAFT_TEST_MODELS) + "/tales-holmes-int8.graftpack")
          .verdict == GRAFT_SELF_TEST_ADAPTED);
}

TEST_CASE("a self-test tells the base's weights and a sibling's from the adapted model's") {
  for (const char* quant : {"int8", "int4"}) {
    CAPTURE(quant);
    const AlignedBytes adapted = Load(std::string("tales-holmes-") + quant);
    const graft_self_test base =
        Test(WithWeightsOf(adapted, Load(std::string("tales-base-") + quant)));
    CHECK(base.verdict == GRAFT_SELF_TEST_BASE);
    CHECK(base.passed == 0);
    CHECK(std::abs(base.adapter_share) < 0.2);
    CHECK(std::string(base.note).find("not in effect") != std::string::npos);
    CHECK(Test(WithWeightsOf(adapted, Load(std::string("tales-half-") + quant))).verdict ==
          GRAFT_SELF_TEST_BROKEN);
    CHECK(Test(WithoutMostOf(adapted, Load(std::string("tales-base-") + quant))).verdict ==
          GRAFT_SELF_TEST_BROKEN);
  }
}

TEST_CASE(
    "a self-test tells base and sibling apart where rounding costs more than the adapter does") {
  const AlignedBytes adapted = Load("tales-holmes-0.1-int4");
  CHECK(Test(adapted).verdict == GRAFT_SELF_TEST_ADAPTED);
  CHECK(Test(WithWeightsOf(adapted, Load("tales-base-int4"))).verdict == GRAFT_SELF_TEST_BASE);
  const graft_self_test sibling = Test(WithWeightsOf(adapted, Load("tales-holmes--0.1-int4")));
  CHECK(sibling.verdict == GRAFT_SELF_TEST_BROKEN);
  CHECK(sibling.base_deviation < 1.5 * sibling.adapted_deviation);
}

TEST_CASE(
    "a self-test knows the base of a file like another one, and a calibrated base less well") {
  const AlignedBytes like = Load("tales-holmes-for-base-int8");
  CHECK(Test(WithWeightsOf(like, Load("tales-base-int8"))).verdict == GRAFT_SELF_TEST_BASE);
  const AlignedBytes calibrated = Load("tales-holmes-calibrated");
  const fb::Probe& probe = *Verified(calibrated).model().probes()->probes()->Get(0);
  CHECK(probe.base_logits()->size() > 0);
  CHECK(probe.stored_base_logits()->size() == 0);
}

// The codes of each matrix in turn, each code in its neighbour's place.
void CheckShiftedCodes(const std::string& name) {
  CAPTURE(name);
  const AlignedBytes file = Load(name);
  const graft_self_test whole = Test(file);
  CHECK(whole.passed == 1);
  CHECK(whole.answers > 0);
  const schema::VerifiedModel verified = Verified(file);
  const auto& tensors = *verified.model().tensors();
  size_t shifted = 0;
  for (uint32_t i = 0; i < tensors.size(); i += StepOfAll(7)) {
    const auto data = verified.tensor_bytes(*tensors.Get(i)).data;
    if (tensors.Get(i)->format() < fb::TensorFormat::Int8PerChannel) continue;
    CAPTURE(tensors.Get(i)->name()->str());
    AlignedBytes broken(file.span());
    const auto codes =
        broken.span().subspan(static_cast<size_t>(data.data() - file.data()), data.size());
    std::rotate(codes.begin(), codes.begin() + 1, codes.end());
    const graft_self_test found = Test(broken);
    CHECK(found.verdict == GRAFT_SELF_TEST_BROKEN);
    CHECK(found.passed == 0);
    ++shifted;
  }
  CHECK(shifted > 0);
}

TEST_CASE("a self-test finds codes of one matrix that are shifted by a place") {
  for (const std::string quant : {"int8", "int4"}) {
    CheckShiftedCodes("tales-holmes-" + quant);
    for (const char* family : {"llama", "qwen3", "gemma2", "gpt2", "gpt_neox", "opt"}) {
      CheckShiftedCodes("architecture-" + std::string(family) + "-" + quant);
    }
  }
}

TEST_CASE("a self-test finds another chat template, and another tokenizer") {
  AlignedBytes file = Load("tales-chat-int4");
  CHECK(Test(file).passed == 1);
  const fb::Model& model = Verified(file).model();
  const std::string chat = model.chat_template()->str();
  const size_t word = chat.find("Answer");
  REQUIRE(word != std::string::npos);
  AlignedBytes other(file.span());
  Mutable(other, other.data() + (model.chat_template()->Data() - file.data()), chat.size())[word] =
      'a';
  Reseal(other);
  const graft_self_test by_template = Test(other);
  CHECK(by_template.verdict == GRAFT_SELF_TEST_BROKEN);
  CHECK(std::string(by_template.note).find("chat template") != std::string::npos);

  // Two letters that trade places in all tokens.
  AlignedBytes letters(file.span());
  const auto& tokens = *model.tokenizer()->token_bytes();
  for (uint8_t& byte :
       Mutable(letters, letters.data() + (tokens.Data() - file.data()), tokens.size())) {
    byte = byte == 'a' ? 'i' : byte == 'i' ? 'a' : byte;
  }
  Reseal(letters);
  const graft_self_test by_tokenizer = Test(letters);
  CHECK(by_tokenizer.verdict == GRAFT_SELF_TEST_BROKEN);
  CHECK(std::string(by_tokenizer.note).find("other tokens") != std::string::npos);
}

template <typename T>
void SetField(const void* table, flatbuffers::voffset_t field, T value) {
  auto* at = const_cast<flatbuffers::Table*>(static_cast<const flatbuffers::Table*>(table));
  REQUIRE(at->GetAddressOf(field) != nullptr);
  flatbuffers::WriteScalar(at->GetAddressOf(field), value);
}

template <typename T>
void SetElement(const flatbuffers::Vector<T>* vector, T value) {
  const_cast<flatbuffers::Vector<T>*>(vector)->Mutate(0, value);
}

TEST_CASE("probes that ask for what is not there are refused before anything is computed") {
  const AlignedBytes file = Load("tales-holmes-int4");
  const float nan = std::nanf("");
  const auto refuses = [&](auto&& change) {
    AlignedBytes changed(file.span());
    change(*Verified(changed).model().probes(),
           *Verified(changed).model().probes()->probes()->Get(1));
    Reseal(changed);
    const auto verified = schema::Verify(changed.span());
    return !verified.ok() && verified.status().message().find("probe") != std::string_view::npos;
  };
  using Probe = fb::Probe;
  CHECK_FALSE(refuses([](const fb::Probes&, const Probe&) {}));
  CHECK(refuses([](auto& all, auto&) { SetField(&all, fb::Probes::VT_NOISE, -1.0f); }));
  CHECK(refuses([&](auto& all, auto&) { SetField(&all, fb::Probes::VT_NOISE, nan); }));
  CHECK(refuses([](auto&, auto& probe) { SetElement(probe.ids(), uint32_t{2048}); }));
  CHECK(refuses([](auto&, auto& probe) { SetElement(probe.tokens(), uint32_t{2048}); }));
  CHECK(refuses([](auto&, auto& probe) { SetElement(probe.tokens(), ~uint32_t{0}); }));
  CHECK(refuses([&](auto&, auto& probe) { SetElement(probe.logits(), nan); }));
  CHECK(refuses([&](auto&, auto& probe) { SetElement(probe.adapted_logits(), nan); }));
  CHECK(refuses([&](auto&, auto& probe) { SetElement(probe.base_logits(), nan); }));
  CHECK(refuses([&](auto&, auto& probe) { SetElement(probe.stored_base_logits(), nan); }));
  for (const uint32_t answered : {0u, 65u, 1u << 20, ~0u}) {
    CAPTURE(answered);
    CHECK(refuses([&](auto&, auto& probe) { SetField(&probe, Probe::VT_ANSWERED_IDS, answered); }));
  }
}

TEST_CASE("a model whose ops the converter does not compute is asked for its tokens alone") {
  const graft_self_test encoder = Test(Load("gguf-bert-f32"));
  CHECK(encoder.verdict == GRAFT_SELF_TEST_NONE);
  CHECK(encoder.passed == 1);
  CHECK(encoder.answers == 0);
}

}  // namespace
}  // namespace graft::test
