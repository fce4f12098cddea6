// SPDX-License-Identifier: Apache-2.0
// A base with a pack is the model that was packed, wherever the two come from; a pack that does not
// fit leaves everything as it was.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/c_api/given_pack.h"
#include "tests/runtime/c_api/swept_models.h"
#include "tests/support/adapted_model.h"
#include "tests/support/plain_pack.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

struct Answer {
  std::vector<float> logits;
  uint64_t identity_high = 0;
  uint64_t identity_low = 0;
  int32_t cache_state = 0;
  friend bool operator==(const Answer& a, const Answer& b) {
    return a.logits == b.logits && a.identity_high == b.identity_high &&
           a.identity_low == b.identity_low;
  }
};

Answer Ask(graft_model* model) {
  Answer answer;
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 2;
  graft_session* session = nullptr;
  REQUIRE(graft_session_create(model, &options, &session, nullptr) == GRAFT_OK);
  const std::vector<int32_t> ids = TinyLlama::Ids(7);
  const float* logits = nullptr;
  REQUIRE(graft_session_append(session, ids.data(), ids.size(), &logits, nullptr) == GRAFT_OK);
  answer.logits.assign(logits, logits + TinyLlama::kVocabulary);
  graft_session_destroy(session);
  graft_model_info info{};
  info.struct_size = sizeof(info);
  REQUIRE(graft_model_get_info(model, &info, nullptr) == GRAFT_OK);
  answer.identity_high = info.identity_high;
  answer.identity_low = info.identity_low;
  answer.cache_state = info.cache_state;
  graft_model_destroy(model);
  return answer;
}

graft_model* OpenBytes(const AlignedBytes& file, const graft_model_options& options) {
  graft_model* model = nullptr;
  graft_error error{};
  REQUIRE_MESSAGE(
      graft_model_open_memory(file.data(), file.size(), &options, &model, &error) == GRAFT_OK,
      error.message);
  return model;
}

TEST_SUITE("runtime/c_api_pack") {
  TEST_CASE(
      "base and pack answer as the model that was packed, from memory, files and descriptors") {
    for (const fb::TensorFormat format :
         {fb::TensorFormat::Float32, fb::TensorFormat::Float16, fb::TensorFormat::Int8PerChannel,
          fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(static_cast<int>(format));
      const AdaptedModel adapted(format);
      graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
      options.threads = 2;
      const Answer expected = Ask(OpenBytes(adapted.file, options));
      CHECK_FALSE(Ask(OpenBytes(adapted.base.file(), options)) == expected);

      graft_pack pack = Given(adapted.pack);
      options.pack = &pack;
      CHECK(Ask(OpenBytes(adapted.base.file(), options)) == expected);
      options.verify_contents = 1;
      CHECK(Ask(OpenBytes(adapted.base.file(), options)) == expected);
      options.verify_contents = 0;

      const Folder folder;
      folder.Write("base.graft", adapted.base.file());
      AlignedBytes both(std::vector<uint8_t>(100 + adapted.pack.size(), 1));
      std::copy(adapted.pack.begin(), adapted.pack.end(), both.data() + 100);
      folder.Write("in-it", both);
      folder.Write("p.graftpack", AlignedBytes(adapted.pack));
      const std::string path = folder.path("p.graftpack");
      pack = GRAFT_PACK_INIT;
      pack.path = path.c_str();
      for (const uint8_t reads : {0, 1}) {
        options.read_file = reads;
        graft_model* model = nullptr;
        REQUIRE(graft_model_open(folder.path("base.graft").c_str(), &options, &model, nullptr) ==
                GRAFT_OK);
        REQUIRE(graft_model_trim(model, nullptr) == GRAFT_OK);
        CHECK(Ask(model) == expected);
      }
      const OpenFile base_file(folder.path("base.graft"));
      const OpenFile pack_file(folder.path("in-it"));
      pack = GRAFT_PACK_INIT;
      pack.fd = pack_file.descriptor;
      pack.offset = 100;
      graft_model* model = nullptr;
      REQUIRE(graft_model_open_fd(base_file.descriptor, 0, 0, &options, &model, nullptr) ==
              GRAFT_OK);
      CHECK(Ask(model) == expected);
    }
  }

  TEST_CASE("packed weights are cached under the adapted model's name") {
    const AdaptedModel adapted(fb::TensorFormat::Int4Block);
    const Folder folder;
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    options.cache_folder = folder.path().c_str();
    const graft_pack pack = Given(adapted.pack);
    CHECK(Ask(OpenBytes(adapted.base.file(), options)).cache_state == GRAFT_CACHE_STORED);
    options.pack = &pack;
    const Answer stored = Ask(OpenBytes(adapted.base.file(), options));
    CHECK(stored.cache_state == GRAFT_CACHE_STORED);
    const Answer hit = Ask(OpenBytes(adapted.base.file(), options));
    CHECK(hit.cache_state == GRAFT_CACHE_HIT);
    CHECK(hit == stored);
    options.pack = nullptr;
    const Answer merged = Ask(OpenBytes(adapted.file, options));
    CHECK(merged.cache_state == GRAFT_CACHE_HIT);
    CHECK(merged == stored);
  }

  TEST_CASE("a pack that does not fit is refused, and says why") {
    const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    graft_pack pack = Given(adapted.pack);
    options.pack = &pack;
    graft_model* model = nullptr;
    graft_error error{};
    const auto open = [&](const AlignedBytes& base) {
      return graft_model_open_memory(base.data(), base.size(), &options, &model, &error);
    };
    CHECK(open(adapted.file) == GRAFT_MISMATCH);
    CHECK(std::string(error.message).find("made for the base") != std::string::npos);
    pack.size -= 1;
    CHECK(open(adapted.base.file()) == GRAFT_CORRUPT);
    pack = Given(adapted.pack);
    pack.path = "/no/such/pack";
    CHECK(open(adapted.base.file()) == GRAFT_INVALID_ARGUMENT);
    pack.data = nullptr;
    CHECK(open(adapted.base.file()) == GRAFT_NOT_FOUND);
    CHECK(std::string(error.message).find("/no/such/pack") != std::string::npos);
    pack = GRAFT_PACK_INIT;
    CHECK(open(adapted.base.file()) == GRAFT_IO);
    pack.struct_size = 1;
    CHECK(open(adapted.base.file()) == GRAFT_INVALID_ARGUMENT);
    // Any byte of it, weights that are packed late among them, which have names.
    size_t named = 0;
    for (size_t i = 0; i < adapted.pack.size(); i += i < 200 ? 9 : 1001) {
      std::vector<uint8_t> changed = adapted.pack;
      changed[i] ^= 4;
      pack = Given(adapted.pack);
      pack.data = changed.data();
      CAPTURE(i);
      const graft_status status = open(adapted.base.file());
      CHECK((status == GRAFT_CORRUPT || status == GRAFT_MISMATCH ||
             status == GRAFT_UNSUPPORTED_VERSION));
      const std::string message = error.message;
      if (message.find("of the pack does not have its checksum") != std::string::npos &&
          message.find("tensor ") != std::string::npos) {
        ++named;
      }
    }
    CHECK(named > 0);
    CHECK(model == nullptr);
  }

  TEST_CASE("a pack whose result is no model, or another one than it says, is refused") {
    const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
    graft_pack pack = Given(adapted.pack);
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    options.pack = &pack;
    graft_model* model = nullptr;
    for (size_t i = schema::kPackPreambleBytes; i < adapted.pack.size();
         i += kSomeOfAll ? 1009 : 97) {
      std::vector<uint8_t> changed = adapted.pack;
      changed[i] = static_cast<uint8_t>(changed[i] + 1);
      SealPack(changed);
      pack.data = changed.data();
      // What a pack says is sound may be so; it must be the model that it says.
      if (graft_model_open_memory(adapted.base.file().data(), adapted.base.file().size(), &options,
                                  &model, nullptr) == GRAFT_OK) {
        graft_model_destroy(model);
      }
    }
    std::vector<uint8_t> changed = adapted.pack;
    changed[60] ^= 1;  // of the result's identity
    SealPack(changed);
    pack.data = changed.data();
    CHECK(graft_model_open_memory(adapted.base.file().data(), adapted.base.file().size(), &options,
                                  &model, nullptr) == GRAFT_CORRUPT);
  }

  TEST_CASE("an estimate knows packs") {
    const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
    const Folder folder;
    folder.Write("base.graft", adapted.base.file());
    folder.Write("adapted.graft", adapted.file);
    const graft_pack pack = Given(adapted.pack);
    graft_memory_estimate merged{};
    merged.struct_size = sizeof(merged);
    graft_memory_estimate packed = merged;
    REQUIRE(graft_model_estimate(folder.path("adapted.graft").c_str(), nullptr, &merged, nullptr) ==
            GRAFT_OK);
    REQUIRE(graft_model_estimate_pack(folder.path("base.graft").c_str(), &pack, nullptr, &packed,
                                      nullptr) == GRAFT_OK);
    CHECK(packed.file_bytes == merged.file_bytes);
    CHECK(packed.packed_bytes == merged.packed_bytes);
    CHECK(packed.kv_bytes == merged.kv_bytes);
    CHECK(packed.private_bytes > merged.private_bytes);
    CHECK(packed.peak_bytes > merged.peak_bytes);
    CHECK(packed.peak_bytes <= merged.peak_bytes + adapted.file.size());
  }
}

}  // namespace
}  // namespace graft::test
