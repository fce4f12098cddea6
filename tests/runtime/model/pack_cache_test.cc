// SPDX-License-Identifier: Apache-2.0
// The cache of packed weights: hits that change nothing, and every kind of file or folder that is
// not what it should be.
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/model/pack_file.h"
#include "runtime/model/packed_weights.h"
#include "tests/runtime/model/cached_model.h"
#include "tests/support/some_of_all.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

using runtime::CacheState;

bool Mentions(const std::shared_ptr<const runtime::Model>& model, const char* part) {
  const std::string note = model->packed_weights().cache_note();
  CAPTURE(note);
  return note.find(part) != std::string::npos;
}

std::vector<uint8_t> ReadAll(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void WriteAll(const std::string& path, std::span<const uint8_t> bytes) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  REQUIRE(stream.good());
}

/// A stored file of a model, and what the model computes.
struct Stored {
  explicit Stored(const LinearModel& model_in)
      : model(model_in), expected(model.Run(model.Open())) {
    REQUIRE(StateOf(model.Open(folder.settings())) == CacheState::kStored);
    const auto files = folder.Files();
    REQUIRE(files.size() == 1);
    path = folder.path() + "/" + files[0];
    bytes = ReadAll(path);
  }
  /// Opens with a limit under which no new file is stored, so that a bad file stays to be looked
  /// at.
  std::shared_ptr<const runtime::Model> OpenReadOnly() const {
    return model.Open(folder.settings(1));
  }

  const LinearModel& model;
  CacheFolder folder;
  std::vector<float> expected;
  std::string path;
  std::vector<uint8_t> bytes;
};

TEST_SUITE("runtime/pack_cache") {
  TEST_CASE("a hit gives the logits of a miss and of no cache, bit for bit, in every format") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Float16,
                              fb::TensorFormat::BFloat16, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      const TinyLlama llama(format);
      const CacheFolder folder;
      const auto ids = TinyLlama::Ids(33);
      const auto logits = [&](const std::shared_ptr<const runtime::Model>& model) {
        return ForwardIds(*NewSession(model, {.threads = 2}), ids).at;
      };
      const auto expected = logits(llama.model());
      CHECK(StateOf(llama.model()) == CacheState::kOff);
      const auto miss = OpenBytes(llama.file(), folder.settings());
      CHECK(StateOf(miss) == CacheState::kStored);
      CHECK(logits(miss) == expected);
      const auto twice = OpenBytes(llama.file(), folder.settings(), 3);
      CHECK(logits(twice) == expected);
      CHECK(miss->packed_weights().cache_note().empty());
    }
  }

  TEST_CASE("the file is there once its writer is gone, and the next opening maps it") {
    const LinearModel model(1);
    const Stored stored(model);
    const auto hit = model.Open(stored.folder.settings());
    CHECK(StateOf(hit) == CacheState::kHit);
    CHECK(hit->packed_weights().cache_note().empty());
    CHECK(model.Run(hit) == stored.expected);
    CHECK((stored.bytes[0] == 0x89));
  }

  TEST_CASE("a file outlives its removal in whoever has it mapped") {
    const LinearModel model(1);
    const Stored stored(model);
    const auto hit = model.Open(stored.folder.settings());
    std::filesystem::remove(stored.path);
    CHECK(model.Run(hit) == stored.expected);
  }

  TEST_CASE("other weights, other scales, another bias and no bias have files of their own") {
    const CacheFolder folder;
    const LinearModel models[] = {LinearModel(1), LinearModel(2), LinearModel(1, Change::kScale),
                                  LinearModel(1, Change::kBias), LinearModel(1, Change::kNoBias)};
    for (const LinearModel& model : models) {
      const auto opened = model.Open(folder.settings());
      CHECK(StateOf(opened) == CacheState::kStored);
      CHECK(opened->packed_weights().cache_note().empty());
    }
    CHECK(folder.Files().size() == 5);
    for (const LinearModel& model : models) {
      const auto hit = model.Open(folder.settings());
      CHECK(StateOf(hit) == CacheState::kHit);
      CHECK(model.Run(hit) == model.Run(model.Open()));
    }
  }

  TEST_CASE("another layout has another file") {
    const LinearModel model(1);
    const auto opened = model.Open();
    auto layout = runtime::LayOutWeights(opened->verified());
    REQUIRE(layout.ok());
    const auto name = [&] {
      const auto file = runtime::PackFile::Describe(opened->verified(), *layout);
      REQUIRE(file.ok());
      return file->name();
    };
    const std::string before = name();
    CHECK(name() == before);
    runtime::LinearWeights& weights = layout->entries[0].weights;
    const runtime::LinearWeights same = weights;
    weights.tile_rows += 64;
    CHECK(name() != before);
    weights = same;
    weights.row_bytes += 64;
    CHECK(name() != before);
    weights = same;
    weights.packed_bytes += 64;
    CHECK(name() != before);
    weights = same;
    layout->entries[0].offset += 4096;
    CHECK(name() != before);
  }

  TEST_CASE("a file of another model under this one's name is packed again") {
    const LinearModel model(1);
    const LinearModel other(2);
    const Stored stored(model);
    const Stored wrong(other);
    std::filesystem::copy_file(wrong.path, stored.path,
                               std::filesystem::copy_options::overwrite_existing);
    const auto opened = model.Open(stored.folder.settings());
    CHECK(StateOf(opened) == CacheState::kStored);
    CHECK(Mentions(opened, "head"));
    CHECK(model.Run(opened) == stored.expected);
  }

  TEST_CASE("a file cut anywhere is packed again") {
    const LinearModel model(1);
    const Stored stored(model);
    for (size_t size = 0; size < stored.bytes.size(); size += 64) {
      CAPTURE(size);
      WriteAll(stored.path, std::span(stored.bytes).first(size));
      const auto opened = stored.OpenReadOnly();
      REQUIRE(StateOf(opened) == CacheState::kFailed);
      REQUIRE(model.Run(opened) == stored.expected);
    }
    auto longer = stored.bytes;
    longer.push_back(0);
    WriteAll(stored.path, longer);
    CHECK(StateOf(stored.OpenReadOnly()) == CacheState::kFailed);
    const auto again = model.Open(stored.folder.settings());
    CHECK(StateOf(again) == CacheState::kStored);
    CHECK(Mentions(again, "bytes"));
  }

  TEST_CASE("a flipped bit in the head is noticed") {
    const LinearModel model(1);
    const Stored stored(model);
    constexpr size_t kData = 16384;
    REQUIRE(stored.bytes.size() > kData);
    const auto last = std::find_if(stored.bytes.rend() - kData, stored.bytes.rend(),
                                   [](uint8_t byte) { return byte != 0; });
    const auto used = static_cast<size_t>(stored.bytes.rend() - last);
    auto bytes = stored.bytes;
    for (size_t at = 0; at < kData; at += at < used ? test::StepOfAll(7) : 61) {
      CAPTURE(at);
      bytes[at] ^= static_cast<uint8_t>(1u << (at % 8));
      WriteAll(stored.path, bytes);
      const auto opened = stored.OpenReadOnly();
      REQUIRE(StateOf(opened) == CacheState::kFailed);
      REQUIRE(model.Run(opened) == stored.expected);
      bytes[at] = stored.bytes[at];
    }
  }

  TEST_CASE("a flipped bit in the packed bytes is noticed") {
    const LinearModel model(1);
    const Stored stored(model);
    constexpr size_t kData = 16384;
    const auto layout = runtime::LayOutWeights(model.Open()->verified());
    REQUIRE(layout.ok());
    auto bytes = stored.bytes;
    for (const runtime::PackedSlice& slice : layout->slices) {
      for (uint64_t at = slice.offset; at < slice.offset + slice.bytes; at += 37) {
        CAPTURE(at);
        bytes[kData + at] ^= 0x10;
        WriteAll(stored.path, bytes);
        const auto opened = stored.OpenReadOnly();
        REQUIRE(StateOf(opened) == CacheState::kFailed);
        REQUIRE(Mentions(opened, "checksum"));
        REQUIRE(model.Run(opened) == stored.expected);
        bytes[kData + at] = stored.bytes[kData + at];
      }
    }
    WriteAll(stored.path, bytes);
    CHECK(StateOf(stored.OpenReadOnly()) == CacheState::kHit);
  }

  TEST_CASE("weights that are not what their content hash says are used, but not stored") {
    const LinearModel model(1);
    AlignedBytes damaged(model.file().span());
    // The graph's only large tensor: its last bytes lie before the file's tail.
    const auto opened = model.Open();
    const auto layout = runtime::LayOutWeights(opened->verified());
    REQUIRE(layout.ok());
    const auto weight = static_cast<uint32_t>(layout->entries[0].source.weight);
    const auto data =
        opened->verified().tensor_bytes(*opened->verified().model().tensors()->Get(weight)).data;
    damaged.data()[data.data() - opened->verified().file_bytes().data()] ^= 0x01;
    const CacheFolder folder;
    const auto used = OpenBytes(damaged, folder.settings());
    CHECK(StateOf(used) == CacheState::kFailed);
    CHECK(Mentions(used, "weight"));
    CHECK(Mentions(used, "content hash"));
    CHECK(folder.Files().empty());
    CHECK(model.Run(used) == model.Run(OpenBytes(damaged, {})));
  }

  TEST_CASE("what lies in the folder under the file's name and is no plain file is left alone") {
    const LinearModel model(1);
    const Stored stored(model);
    std::filesystem::rename(stored.path, stored.path + "-moved");
    std::filesystem::create_symlink(stored.path + "-moved", stored.path);
    CHECK(StateOf(stored.OpenReadOnly()) == CacheState::kFailed);
    std::filesystem::remove(stored.path);
    REQUIRE(mkfifo(stored.path.c_str(), 0600) == 0);  // opening does not wait for a writer
    CHECK(StateOf(stored.OpenReadOnly()) == CacheState::kFailed);
    std::filesystem::remove(stored.path);
    std::filesystem::create_directory(stored.path);
    const auto opened = model.Open(stored.folder.settings());
    CHECK(model.Run(opened) == stored.expected);
  }
}

}  // namespace
}  // namespace graft::test
