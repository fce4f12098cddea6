// SPDX-License-Identifier: Apache-2.0
// A swap makes another adapter's model of an open one, in its place; one that fails changes nothing.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/c_api/given_pack.h"
#include "tests/runtime/c_api/swept_models.h"
#include "tests/support/adapted_model.h"
#include "tests/support/plain_pack.h"

namespace graft::test {
namespace {

graft_model* Open(const AlignedBytes& file, const char* cache_folder = nullptr) {
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 2;
  options.cache_folder = cache_folder;
  graft_model* model = nullptr;
  REQUIRE(graft_model_open_memory(file.data(), file.size(), &options, &model, nullptr) == GRAFT_OK);
  return model;
}

graft_session* NewSession(graft_model* model) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 2;
  options.context_tokens = 40;
  graft_session* session = nullptr;
  REQUIRE(graft_session_create(model, &options, &session, nullptr) == GRAFT_OK);
  return session;
}

std::vector<float> Append(graft_session* session, size_t count) {
  const std::vector<int32_t> ids = TinyLlama::Ids(count);
  const float* logits = nullptr;
  graft_error error{};
  REQUIRE_MESSAGE(
      graft_session_append(session, ids.data(), ids.size(), &logits, &error) == GRAFT_OK,
      error.message);
  return {logits, logits + TinyLlama::kVocabulary};
}

std::vector<float> Ask(graft_model* model) {
  graft_session* session = NewSession(model);
  const std::vector<float> logits = Append(session, 7);
  graft_session_destroy(session);
  return logits;
}

std::vector<float> AnswerOf(const AlignedBytes& file) {
  graft_model* model = Open(file);
  const std::vector<float> logits = Ask(model);
  graft_model_destroy(model);
  return logits;
}

uint64_t IdentityHigh(const graft_model* model) {
  graft_model_info info{};
  info.struct_size = sizeof(info);
  REQUIRE(graft_model_get_info(model, &info, nullptr) == GRAFT_OK);
  return info.identity_high;
}

TEST_SUITE("runtime/c_api_swap") {
  TEST_CASE("there and back: each model answers as its own file, sessions live on without tokens") {
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Float32, fb::TensorFormat::Float16, fb::TensorFormat::Int8PerChannel,
          fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(static_cast<int>(format));
      const AdaptedModel adapted(format);
      const AlignedBytes base(adapted.base.file().span());  // held by no other model
      const std::vector<float> of_base = AnswerOf(base), of_pack = AnswerOf(adapted.file);
      REQUIRE(of_base != of_pack);
      const AdaptedModel other(format, 1);
      const std::vector<float> of_other = AnswerOf(other.file);
      const graft_pack by_numbers = Given(adapted.pack_of_numbers);
      const graft_pack other_pack = Given(other.pack_of_numbers);
      const graft_pack pack = Given(adapted.pack);
      graft_model* model = Open(base);
      const uint64_t identity = IdentityHigh(model);
      graft_session* session = NewSession(model);
      CHECK(Append(session, 7) == of_base);
      CHECK(graft_session_position(session) == 7);
      for (int round = 0; round < 2; ++round) {
        REQUIRE(graft_model_swap(model, &pack, nullptr) == GRAFT_OK);
        CHECK(graft_session_position(session) == 0);
        CHECK(Append(session, 7) == of_pack);
        CHECK(Ask(model) == of_pack);
        CHECK(IdentityHigh(model) != identity);
        REQUIRE(graft_model_swap(model, &other_pack, nullptr) == GRAFT_OK);
        CHECK(Append(session, 7) == of_other);
        REQUIRE(graft_model_swap(model, &by_numbers, nullptr) == GRAFT_OK);
        CHECK(Append(session, 7) == of_pack);
        REQUIRE(graft_model_swap(model, nullptr, nullptr) == GRAFT_OK);
        CHECK(graft_session_position(session) == 0);
        CHECK(Append(session, 7) == of_base);
        CHECK(IdentityHigh(model) == identity);
      }
      graft_session_info info{};
      info.struct_size = sizeof(info);
      REQUIRE(graft_session_get_info(session, &info, nullptr) == GRAFT_OK);
      CHECK(info.context_tokens == 40);
      graft_model_destroy(model);
      CHECK(Append(session, 1).size() == TinyLlama::kVocabulary);
      graft_session_destroy(session);
    }
  }

  TEST_CASE("another model over the same base is not touched") {
    const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
    const graft_pack pack = Given(adapted.pack);
    graft_model* model = Open(adapted.base.file());
    graft_model* other = Open(adapted.base.file());
    const std::vector<float> of_base = Ask(other);
    REQUIRE(graft_model_swap(model, &pack, nullptr) == GRAFT_OK);
    CHECK(Ask(model) == AnswerOf(adapted.file));
    CHECK(Ask(other) == of_base);
    graft_model_destroy(other);
    REQUIRE(graft_model_swap(model, nullptr, nullptr) == GRAFT_OK);
    CHECK(Ask(model) == of_base);
    graft_model_destroy(model);
  }

  TEST_CASE("through a cache folder") {
    const AdaptedModel adapted(fb::TensorFormat::Int4Block);
    const std::vector<float> of_base = AnswerOf(adapted.base.file()),
                             of_pack = AnswerOf(adapted.file);
    const graft_pack pack = Given(adapted.pack);
    const Folder folder;
    for (int start = 0; start < 2; ++start) {
      graft_model* model = Open(adapted.base.file(), folder.path().c_str());
      for (int round = 0; round < 2; ++round) {
        REQUIRE(graft_model_swap(model, &pack, nullptr) == GRAFT_OK);
        CHECK(Ask(model) == of_pack);
        graft_model_info info{};
        info.struct_size = sizeof(info);
        REQUIRE(graft_model_get_info(model, &info, nullptr) == GRAFT_OK);
        CHECK(info.cache_state ==
              (start == 0 && round == 0 ? GRAFT_CACHE_STORED : GRAFT_CACHE_HIT));
        REQUIRE(graft_model_swap(model, nullptr, nullptr) == GRAFT_OK);
        CHECK(Ask(model) == of_base);
      }
      graft_model_destroy(model);
    }
  }

  TEST_CASE("a swap that fails leaves model and tokens as they were") {
    for (const bool is_cached : {false, true}) {
      const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
      const AlignedBytes base(adapted.base.file().span());
      const Folder folder;
      graft_model* model = Open(base, is_cached ? folder.path().c_str() : nullptr);
      graft_session* session = NewSession(model);
      const std::vector<float> first = Append(session, 7);
      const std::vector<float> second = Append(session, 3);
      REQUIRE(graft_session_rewind(session, 7, nullptr) == GRAFT_OK);
      graft_error error{};
      size_t late = 0;
      for (size_t i = 0; i < adapted.pack.size(); i += i < 200 ? 17 : 1501) {
        CAPTURE(i);
        std::vector<uint8_t> changed = adapted.pack;
        changed[i] ^= 4;
        graft_pack pack = Given(adapted.pack);
        pack.data = changed.data();
        CHECK(graft_model_swap(model, &pack, &error) != GRAFT_OK);
        late += std::string(error.message).find("checksum") != std::string::npos;
        REQUIRE(graft_session_position(session) == 7);
        CHECK(Append(session, 3) == second);
        REQUIRE(graft_session_rewind(session, 7, nullptr) == GRAFT_OK);
      }
      CHECK(late > 0);  // while weights were packed
      CHECK(Ask(model) == first);
      const AlignedBytes none(std::vector<uint8_t>(64, 0));
      graft_pack pack = GRAFT_PACK_INIT;
      pack.path = "/no/such/pack";
      CHECK(graft_model_swap(model, &pack, &error) == GRAFT_NOT_FOUND);
      CHECK(std::string(error.message).find("/no/such/pack") != std::string::npos);
      const std::vector<uint8_t> of_other = PlainPack(adapted.file.span(), base.span());
      pack = GRAFT_PACK_INIT;
      pack.data = of_other.data();
      pack.size = of_other.size();
      CHECK(graft_model_swap(model, &pack, &error) == GRAFT_MISMATCH);
      pack = Given(adapted.pack);
      CHECK(graft_model_swap(model, &pack, &error) == GRAFT_OK);
      CHECK(Ask(model) == AnswerOf(adapted.file));
      graft_session_destroy(session);
      graft_model_destroy(model);
    }
  }

  TEST_CASE("a session that computes makes it refuse") {
    const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
    struct Asked {
      graft_model* model;
      graft_pack pack;
      graft_status status = GRAFT_OK;
    } given{Open(adapted.base.file()), Given(adapted.pack)};
    graft_session* session = NewSession(given.model);
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 2;
    const std::vector<int32_t> ids = TinyLlama::Ids(4);
    const auto swap = [](void* user, int32_t, const char*, size_t) {
      auto* at = static_cast<Asked*>(user);
      at->status = graft_model_swap(at->model, &at->pack, nullptr);
      return 0;
    };
    REQUIRE(graft_session_generate(session, ids.data(), ids.size(), &options, swap, &given, nullptr,
                                   nullptr) == GRAFT_OK);
    CHECK(given.status == GRAFT_FAILED_PRECONDITION);
    CHECK(graft_model_swap(given.model, &given.pack, nullptr) == GRAFT_OK);
    CHECK(graft_model_swap(nullptr, nullptr, nullptr) == GRAFT_INVALID_ARGUMENT);
    graft_session_destroy(session);
    graft_model_destroy(given.model);
  }
}

}  // namespace
}  // namespace graft::test
