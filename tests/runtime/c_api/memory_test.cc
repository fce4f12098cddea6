// SPDX-License-Identifier: Apache-2.0
// Memory through the C interface: estimates agree with what is made, and what is given back comes
// back.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/support/resident_bytes.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

/// A file with `lead` bytes before the model's, and then some after them too.
class FileOf {
 public:
  explicit FileOf(const AlignedBytes& bytes, size_t lead = 0) {
    const int descriptor = mkstemp(path_.data());
    REQUIRE(descriptor >= 0);
    close(descriptor);
    std::ofstream file(path_, std::ios::binary);
    file << std::string(lead, 'x');
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    if (lead > 0) file << "after";
  }
  ~FileOf() { std::filesystem::remove(path_); }
  const char* path() const { return path_.c_str(); }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "graft-memory-XXXXXX").string();
};

graft_memory_estimate Estimate(const AlignedBytes& bytes, size_t lead,
                               const graft_session_options& options) {
  const FileOf file(bytes, lead);
  const int descriptor = open(file.path(), O_RDONLY | O_CLOEXEC);
  REQUIRE(descriptor >= 0);
  graft_memory_estimate estimate{};
  estimate.struct_size = sizeof(estimate);
  graft_error error{};
  const graft_status status =
      graft_model_estimate_fd(descriptor, lead, bytes.size(), &options, &estimate, &error);
  close(descriptor);
  REQUIRE_MESSAGE(status == GRAFT_OK, error.message);
  return estimate;
}

graft_session_options OptionsOf(uint32_t context_tokens, int32_t kv_format = GRAFT_KV_AUTO) {
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 2;
  options.context_tokens = context_tokens;
  options.kv_format = kv_format;
  return options;
}

struct Opened {
  graft_model* model = nullptr;
  graft_session* session = nullptr;
  Opened(const AlignedBytes& bytes, const graft_session_options& options) {
    REQUIRE(graft_model_open_memory(bytes.data(), bytes.size(), nullptr, &model, nullptr) ==
            GRAFT_OK);
    graft_error error{};
    REQUIRE_MESSAGE(graft_session_create(model, &options, &session, &error) == GRAFT_OK,
                    error.message);
  }
  ~Opened() {
    graft_session_destroy(session);
    graft_model_destroy(model);
  }
  std::vector<float> Append(std::span<const int32_t> ids) const {
    const float* logits = nullptr;
    graft_error error{};
    REQUIRE_MESSAGE(
        graft_session_append(session, ids.data(), ids.size(), &logits, &error) == GRAFT_OK,
        error.message);
    return {logits, logits + TinyLlama::kVocabulary};
  }
};

TEST_SUITE("runtime/c_api_memory") {
  TEST_CASE("an estimate says what opening and making a session come to") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Int4Block}) {
      const TinyLlama llama(format);
      for (const int32_t kv_format : {GRAFT_KV_AUTO, GRAFT_KV_I8}) {
        const graft_session_options options = OptionsOf(112, kv_format);
        const graft_memory_estimate estimate = Estimate(llama.file(), 64, options);
        const Opened opened(llama.file(), options);
        graft_model_info model{};
        model.struct_size = sizeof(model);
        REQUIRE(graft_model_get_info(opened.model, &model, nullptr) == GRAFT_OK);
        graft_session_info session{};
        session.struct_size = sizeof(session);
        REQUIRE(graft_session_get_info(opened.session, &session, nullptr) == GRAFT_OK);
        CHECK(estimate.context_tokens == session.context_tokens);
        CHECK(estimate.threads == session.threads);
        CHECK(estimate.kv_format == session.kv_format);
        CHECK(estimate.file_bytes == model.file_bytes);
        CHECK(estimate.packed_bytes == model.packed_bytes);
        // 112 positions are whole blocks; the rest is alignment and what kernels may read behind.
        const uint64_t kv_bytes = 112 * session.cache_bytes_per_token;
        CHECK(estimate.kv_bytes >= kv_bytes);
        CHECK(estimate.kv_bytes < kv_bytes + 1024);
      }
    }
  }

  TEST_CASE("an estimate and a session's limit count the same bytes") {
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    graft_session_options options = OptionsOf(200);
    const graft_memory_estimate estimate = Estimate(llama.file(), 0, options);
    options.memory_limit_bytes =
        estimate.packed_bytes + estimate.kv_bytes + estimate.activation_bytes;
    const Opened opened(llama.file(), options);
    opened.Append(TinyLlama::Ids(200));  // and what was counted is enough
    options.memory_limit_bytes -= 1;
    graft_session* none = nullptr;
    CHECK(graft_session_create(opened.model, &options, &none, nullptr) == GRAFT_OUT_OF_MEMORY);
  }

  TEST_CASE("bytes that cannot be mapped are the process's own") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const graft_session_options options = OptionsOf(64);
    const graft_memory_estimate mapped = Estimate(llama.file(), 128, options);
    const graft_memory_estimate read = Estimate(llama.file(), 127, options);
    CHECK(read.packed_bytes == mapped.packed_bytes);
    CHECK(read.private_bytes == mapped.private_bytes + read.file_bytes);
    CHECK(mapped.cached_private_bytes < mapped.private_bytes);
    CHECK(mapped.private_bytes < mapped.peak_bytes);
    CHECK(mapped.storing_peak_bytes >= mapped.cached_peak_bytes);
  }

  TEST_CASE("more context takes more memory, fewer bytes for each key and value less") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto peak = [&](uint32_t context, int32_t kv_format) {
      return Estimate(llama.file(), 0, OptionsOf(context, kv_format)).peak_bytes;
    };
    CHECK(peak(4096, GRAFT_KV_F32) > peak(2048, GRAFT_KV_F32));
    CHECK(peak(4096, GRAFT_KV_F32) > peak(4096, GRAFT_KV_F16));
    CHECK(peak(4096, GRAFT_KV_F16) > peak(4096, GRAFT_KV_I8));
  }

  TEST_CASE("estimates refuse what opening refuses, with the path") {
    graft_memory_estimate estimate{};
    estimate.struct_size = sizeof(estimate);
    graft_error error{};
    CHECK(graft_model_estimate("/no/such/model", nullptr, &estimate, &error) == GRAFT_NOT_FOUND);
    CHECK(std::strstr(error.message, "/no/such/model") != nullptr);
    CHECK(graft_model_estimate(nullptr, nullptr, &estimate, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_model_estimate("/no/such/model", nullptr, nullptr, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_model_estimate_fd(-1, 0, 0, nullptr, &estimate, &error) == GRAFT_IO);

    TinyLlama llama(fb::TensorFormat::Float32);
    AlignedBytes damaged(llama.file().span());
    damaged.data()[200] ^= 1;
    const FileOf file(damaged);
    CHECK(graft_model_estimate(file.path(), nullptr, &estimate, &error) == GRAFT_CORRUPT);
    CHECK(std::strstr(error.message, file.path()) != nullptr);
    const FileOf sound(llama.file());
    graft_session_options options = OptionsOf(1u << 31);
    CHECK(graft_model_estimate(sound.path(), &options, &estimate, &error) ==
          GRAFT_INVALID_ARGUMENT);
    options = OptionsOf(64, 77);
    CHECK(graft_model_estimate(sound.path(), &options, &estimate, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(estimate.peak_bytes == 0);
  }

  TEST_CASE("after a trim the next call gives the same logits") {
    for (const int32_t kv_format : {GRAFT_KV_F32, GRAFT_KV_F16, GRAFT_KV_I8}) {
      const TinyLlama llama(fb::TensorFormat::Int4Block);
      const Opened trimmed(llama.file(), OptionsOf(256, kv_format));
      const Opened whole(llama.file(), OptionsOf(256, kv_format));
      const std::vector<int32_t> ids = TinyLlama::Ids(250);
      const std::span<const int32_t> all(ids);
      REQUIRE(graft_session_trim(trimmed.session, nullptr) == GRAFT_OK);  // before anything ran
      for (const auto& [first, count] : {std::pair<size_t, size_t>{0, 37}, {37, 1}, {38, 200}}) {
        const std::vector<float> expected = whole.Append(all.subspan(first, count));
        CHECK(trimmed.Append(all.subspan(first, count)) == expected);
        REQUIRE(graft_session_trim(trimmed.session, nullptr) == GRAFT_OK);
        REQUIRE(graft_model_trim(trimmed.model, nullptr) == GRAFT_OK);
        CHECK(graft_session_position(trimmed.session) == first + count);
      }
      // In the middle of a block of keys, with pages behind it that were given back.
      for (const Opened* opened : {&trimmed, &whole})
        REQUIRE(graft_session_rewind(opened->session, 21, nullptr) == GRAFT_OK);
      REQUIRE(graft_session_trim(trimmed.session, nullptr) == GRAFT_OK);
      CHECK(trimmed.Append(all.subspan(21, 60)) == whole.Append(all.subspan(21, 60)));
    }
  }

  TEST_CASE("a trim gives memory back") {
    if (!ResidentBytesAreKnown()) return;
    // A prompt in one chunk: its activations are most of what the session takes.
    constexpr uint32_t kTokens = 4096;
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    graft_session_options options = OptionsOf(kTokens);
    options.prefill_chunk = kTokens;
    const graft_memory_estimate estimate = Estimate(llama.file(), 0, options);
    const Opened opened(llama.file(), options);
    const std::vector<int32_t> ids = TinyLlama::Ids(kTokens);
    opened.Append(ids);
    const uint64_t full = ResidentBytes();
    REQUIRE(graft_session_trim(opened.session, nullptr) == GRAFT_OK);
    const uint64_t trimmed = ResidentBytes();
    // Other memory of the process may move by a little: half of it is plain to see.
    CHECK(full - trimmed > estimate.activation_bytes / 2);
    CHECK(full > trimmed);
    REQUIRE(graft_session_reset(opened.session, nullptr) == GRAFT_OK);
    REQUIRE(graft_session_trim(opened.session, nullptr) == GRAFT_OK);
    CHECK(trimmed - ResidentBytes() > estimate.kv_bytes / 2);
    CHECK(trimmed > ResidentBytes());
    opened.Append(std::span(ids).first(100));
  }

  TEST_CASE("a limit holds for activations and outputs that only a call's inputs tell") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    graft_session_options options = OptionsOf(256);
    const graft_memory_estimate estimate = Estimate(llama.file(), 0, options);
    options.memory_limit_bytes =
        estimate.packed_bytes + estimate.kv_bytes + estimate.activation_bytes + (96u << 10);
    const Opened opened(llama.file(), options);
    const std::vector<int32_t> ids = TinyLlama::Ids(256);
    graft_tensor input{};
    input.name = "input_ids";
    input.type = GRAFT_TYPE_I32;
    input.rank = 1;
    input.data = ids.data();
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error{};
    input.shape[0] = 256;  // logits of every position
    CHECK(graft_session_forward(opened.session, &input, 1, &outputs, &count, &error) ==
          GRAFT_OUT_OF_MEMORY);
    CHECK_MESSAGE(std::strstr(error.message, "memory limit") != nullptr, error.message);
    input.shape[0] = 16;
    CHECK_MESSAGE(
        graft_session_forward(opened.session, &input, 1, &outputs, &count, &error) == GRAFT_OK,
        error.message);
    // What was refused has not used up what there is.
    for (int i = 0; i < 20; ++i) {
      REQUIRE(graft_session_forward(opened.session, &input, 1, &outputs, &count, &error) ==
              GRAFT_OK);
    }
    REQUIRE(graft_session_reset(opened.session, nullptr) == GRAFT_OK);
    opened.Append(ids);
  }

  TEST_CASE("trims of nothing are refused by name") {
    graft_error error{};
    CHECK(graft_model_trim(nullptr, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(std::strstr(error.message, "model") != nullptr);
    CHECK(graft_session_trim(nullptr, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(std::strstr(error.message, "session") != nullptr);
  }
}

}  // namespace
}  // namespace graft::test
