// SPDX-License-Identifier: Apache-2.0
// Sessions through a file: the same logits after as before, and nothing from a file that is not
// this model's, not whole, or not honest.
#include "runtime/session/saved_session.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/some_of_all.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

using runtime::KvFormat;
using Bytes = std::vector<uint8_t>;

// A folder that goes with its test.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "graft-saved-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string File(const char* name) const { return path_ / name; }
  size_t count() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

Bytes ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteBytes(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  REQUIRE(file.good());
}

std::vector<float> LogitsOf(runtime::Session& session, std::span<const int32_t> ids) {
  const float* logits = nullptr;
  const Status status = session.Append(ids, &logits);
  REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
  return {logits, logits + TinyLlama::kVocabulary};
}

// Byte offsets of the header's fields, as saved_session.h says.
constexpr size_t kHeaderBytes = 64, kVersionAt = 8, kFormatAt = 12, kTokensAt = 32, kPayloadAt = 40,
                 kPayloadChecksumAt = 48, kHeaderChecksumAt = 56;

template <typename T>
void Put(Bytes& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}
void SealHeader(Bytes& bytes) {
  Put(bytes, kHeaderChecksumAt, schema::Checksum64(std::span(bytes).first(kHeaderChecksumAt)));
}

TEST_SUITE("runtime/saved session") {
  TEST_CASE("what is restored goes on exactly as what was saved") {
    const Folder folder;
    const std::string path = folder.File("session");
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    const auto ids = TinyLlama::Ids(90);
    for (const auto format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
      for (const size_t held : {0, 1, 16, 37, 64}) {
        CAPTURE(held);
        const auto session = NewSession(llama.model(), {.threads = 2, .kv_format = format});
        REQUIRE(session->Append(ids, nullptr).ok());  // more than is kept
        REQUIRE(session->Rewind(held).ok());
        Status status = session->Save(path.c_str());
        REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
        const auto expected = LogitsOf(*session, std::span(ids).subspan(held));

        const auto other =
            NewSession(llama.model(), {.threads = 3, .context_tokens = 100, .kv_format = format});
        REQUIRE(other->Append(std::span(ids).last(20), nullptr).ok());
        status = other->Restore(path.c_str());
        REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
        CHECK(other->position() == held);
        CHECK(LogitsOf(*other, std::span(ids).subspan(held)) == expected);
        CHECK(folder.count() == 1);
      }
    }
  }

  TEST_CASE("a file holds nothing of what was rewound") {
    const Folder folder;
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(60);
    for (const auto format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
      const runtime::SessionOptions options{.threads = 1, .kv_format = format};
      const auto longer = NewSession(llama.model(), options);
      REQUIRE(longer->Append(ids, nullptr).ok());
      REQUIRE(longer->Rewind(19).ok());
      REQUIRE(longer->Save(folder.File("a").c_str()).ok());
      const auto shorter = NewSession(llama.model(), options);
      REQUIRE(shorter->Append(std::span(ids).first(19), nullptr).ok());
      REQUIRE(shorter->Save(folder.File("b").c_str()).ok());
      const Bytes a = ReadBytes(folder.File("a"));
      const Bytes b = ReadBytes(folder.File("b"));
      REQUIRE(a.size() == b.size());
      // The numbers of 19 rows at once and of 19 out of 60 may differ in their last bit; what lies
      // after them may not.
      size_t zeros_a = 0, zeros_b = 0;
      for (const uint8_t byte : a) zeros_a += byte == 0;
      for (const uint8_t byte : b) zeros_b += byte == 0;
      // 13 positions of the second block, two heads, 16 dimensions, three layers.
      const size_t element = format == KvFormat::kFloat32   ? 4
                             : format == KvFormat::kFloat16 ? 2
                                                            : 1;
      CHECK(zeros_a >= 13 * 2 * 16 * 3 * element);
      CHECK(zeros_b >= 13 * 2 * 16 * 3 * element);
    }
  }

  TEST_CASE("another model's file, and another format of keys and values, change nothing") {
    const Folder folder;
    const std::string path = folder.File("session");
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    const TinyLlama adapted(fb::TensorFormat::Int4PerChannel);
    const auto ids = TinyLlama::Ids(40);
    const auto saved = NewSession(llama.model(), {.threads = 1, .kv_format = KvFormat::kFloat16});
    REQUIRE(saved->Append(ids, nullptr).ok());
    REQUIRE(saved->Save(path.c_str()).ok());

    const auto refuses = [&](runtime::Session& session, StatusCode code, const char* mention) {
      REQUIRE(session.Append(std::span(ids).first(7), nullptr).ok());
      const auto expected = LogitsOf(session, std::span(ids).subspan(7, 1));
      REQUIRE(session.Rewind(7).ok());
      const Status status = session.Restore(path.c_str());
      CHECK(status.code() == code);
      CAPTURE(std::string(status.message()));
      CHECK(status.message().find(mention) != std::string::npos);
      CHECK(status.message().find(path) != std::string::npos);
      CHECK(session.position() == 7);
      CHECK(LogitsOf(session, std::span(ids).subspan(7, 1)) == expected);
    };
    refuses(*NewSession(adapted.model(), {.threads = 1, .kv_format = KvFormat::kFloat16}),
            StatusCode::kMismatch, "another model");
    refuses(*NewSession(llama.model(), {.threads = 1, .kv_format = KvFormat::kInt8}),
            StatusCode::kMismatch, "f16");
    refuses(*NewSession(llama.model(),
                        {.threads = 1, .context_tokens = 39, .kv_format = KvFormat::kFloat16}),
            StatusCode::kOutOfRange, "40 tokens");
    const auto exact = NewSession(
        llama.model(), {.threads = 1, .context_tokens = 40, .kv_format = KvFormat::kFloat16});
    CHECK(exact->Restore(path.c_str()).ok());
    CHECK(exact->position() == 40);
  }

  TEST_CASE("a file cut anywhere, or with any byte changed, is refused") {
    const Folder folder;
    const std::string path = folder.File("session");
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(17);
    for (const auto format : {KvFormat::kFloat16, KvFormat::kInt8}) {
      const auto session = NewSession(llama.model(), {.threads = 1, .kv_format = format});
      REQUIRE(session->Append(ids, nullptr).ok());
      REQUIRE(session->Save(path.c_str()).ok());
      const Bytes good = ReadBytes(path);
      const auto refused = [&](const Bytes& bytes, bool header) {
        REQUIRE(session->Rewind(0).ok());
        REQUIRE(session->Append(std::span(ids).first(3), nullptr).ok());
        WriteBytes(path, bytes);
        const Status status = session->Restore(path.c_str());
        CHECK(!status.ok());
        CHECK(status.message().find(path) != std::string::npos);
        CHECK(session->position() == (header ? 3 : 0));
      };
      // All of the header, and many places of what follows.
#ifdef GRAFT_TEST_EMULATED
      const size_t step = good.size() / 200 + 1;
#else
      const size_t step = good.size() / 2000 + 1;
#endif
      for (size_t size = 0; size < good.size();
           size += size < kHeaderBytes ? test::StepOfAll(7) : test::StepOfAll(3) * step)
        refused(Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size)), true);
      for (size_t at = 0; at < good.size();
           at += at < kHeaderBytes ? test::StepOfAll(7) : test::StepOfAll(3) * step) {
        Bytes changed = good;
        changed[at] ^= 0x10;
        refused(changed, at < kHeaderBytes);
      }
      Bytes longer = good;
      longer.push_back(0);
      refused(longer, true);
      WriteBytes(path, good);
      CHECK(session->Restore(path.c_str()).ok());
    }
  }

  TEST_CASE("a header that lies is refused before anything follows it") {
    const Folder folder;
    const std::string path = folder.File("session");
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto ids = TinyLlama::Ids(17);
    const auto session = NewSession(llama.model(), {.threads = 1});
    REQUIRE(session->Append(ids, nullptr).ok());
    REQUIRE(session->Save(path.c_str()).ok());
    const Bytes good = ReadBytes(path);
    const auto refused = [&](Bytes bytes, StatusCode code, bool seal = true) {
      if (seal) SealHeader(bytes);
      WriteBytes(path, bytes);
      CHECK(session->Restore(path.c_str()).code() == code);
      CHECK(session->position() == 17);
    };
    for (const uint64_t tokens : {uint64_t{0}, uint64_t{16}, uint64_t{18}, uint64_t{256}}) {
      Bytes bytes = good;
      Put(bytes, kTokensAt, tokens);
      refused(bytes, StatusCode::kCorrupt);
    }
    for (const uint64_t tokens : {uint64_t{257}, uint64_t{1} << 32, UINT64_MAX / 4, UINT64_MAX}) {
      Bytes bytes = good;
      Put(bytes, kTokensAt, tokens);
      Put(bytes, kPayloadAt, tokens * 4);
      refused(bytes, StatusCode::kOutOfRange);
    }
    for (const uint64_t payload : {uint64_t{0}, UINT64_MAX, UINT64_MAX - 63}) {
      Bytes bytes = good;
      Put(bytes, kPayloadAt, payload);
      refused(bytes, StatusCode::kCorrupt);
    }
    Bytes bytes = good;
    Put(bytes, kVersionAt, uint32_t{2});
    refused(bytes, StatusCode::kUnsupportedVersion);
    for (const uint32_t format : {0u, 2u, 4u, UINT32_MAX}) {
      bytes = good;
      Put(bytes, kFormatAt, format);
      refused(bytes, StatusCode::kMismatch);
    }
    refused(Bytes(kHeaderBytes, 0), StatusCode::kCorrupt, false);
    refused({}, StatusCode::kCorrupt, false);
  }

  TEST_CASE("ids outside the vocabulary are refused though every checksum is right") {
    const Folder folder;
    const std::string path = folder.File("session");
    GraphMaker graph(3);  // token ids in, no cache: the ids are all there is
    graph.TokenInputs();
    const Weight table = graph.RandomWeight("table", fb::TensorFormat::Float32, 50, 8);
    graph.Output(graph.SelectRows(graph.Linear(graph.Embedding(table), table), 50));
    graph.builder().SetTask(fb::TaskKind::TextGeneration, 32);
    const auto session = NewSession(graph.Open(), {.threads = 1});
    REQUIRE(session->Append(std::vector<int32_t>{1, 49, 3}, nullptr).ok());
    REQUIRE(session->Save(path.c_str()).ok());
    const Bytes good = ReadBytes(path);
    REQUIRE(good.size() == kHeaderBytes + 12);
    for (const int32_t id : {50, -1, INT32_MIN, INT32_MAX}) {
      Bytes bytes = good;
      Put(bytes, kHeaderBytes + 4, id);
      const uint64_t part = schema::Checksum64(std::span(bytes).subspan(kHeaderBytes));
      Put(bytes, kPayloadChecksumAt,
          schema::Checksum64({reinterpret_cast<const uint8_t*>(&part), sizeof(part)}));
      SealHeader(bytes);
      WriteBytes(path, bytes);
      const Status status = session->Restore(path.c_str());
      CHECK(status.code() == StatusCode::kCorrupt);
      CHECK(status.message().find(std::to_string(id)) != std::string::npos);
      CHECK(session->position() == 0);
    }
    WriteBytes(path, good);
    CHECK(session->Restore(path.c_str()).ok());
    CHECK(session->KeepPrefix(std::vector<int32_t>{1, 49, 3, 4}) == 3);
  }

  TEST_CASE("a session that cannot be written says so, and leaves nothing behind") {
    const Folder folder;
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto session = NewSession(llama.model(), {.threads = 1});
    Status status = session->Save(folder.File("absent/session").c_str());
    CHECK(status.code() == StatusCode::kNotFound);
    CHECK(status.message().find("absent") != std::string::npos);
    CHECK(session->Restore(folder.File("absent").c_str()).code() == StatusCode::kNotFound);
    CHECK(session->Restore(folder.File("").c_str()).code() == StatusCode::kIo);
    std::filesystem::create_directory(folder.File("folder"));
    status = session->Save(folder.File("folder").c_str());
    CHECK(status.code() == StatusCode::kIo);
    CHECK(folder.count() == 1);
  }

  TEST_CASE("a prefix is kept as far as it is the same, and something is left to compute") {
    const TinyLlama llama(fb::TensorFormat::Float32);
    const auto session = NewSession(llama.model(), {.threads = 2});
    const auto ids = TinyLlama::Ids(50);
    CHECK(session->KeepPrefix(ids) == 0);
    const auto expected = LogitsOf(*session, ids);
    CHECK(session->KeepPrefix(ids) == 49);
    CHECK(session->position() == 49);
    const auto again = LogitsOf(*session, std::span(ids).last(1));
    for (size_t i = 0; i < expected.size(); ++i)
      CHECK(std::abs(again[i] - expected[i]) < 2e-5);  // one row at a time sums in another order

    auto other = ids;
    other[20] ^= 1;
    CHECK(session->KeepPrefix(other) == 20);
    REQUIRE(session->Append(std::span(other).subspan(20), nullptr).ok());
    CHECK(session->KeepPrefix(std::span(other).first(30)) == 29);
    CHECK(session->KeepPrefix(std::span(ids).first(1)) == 0);
    CHECK(session->KeepPrefix({}) == 0);
    CHECK(session->position() == 0);
    // Forward holds its tokens too.
    ForwardIds(*session, ids);
    CHECK(session->KeepPrefix(ids) == 49);
  }
}

}  // namespace
}  // namespace graft::test
