// SPDX-License-Identifier: Apache-2.0
// Checkpoints in one file and in shards are the same tensors; what an index gets wrong is said by
// name.
#include "converter/checkpoint/checkpoint.h"

#include <doctest/doctest.h>

#include "converter/checkpoint/base_hash.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

std::string FaultOf(const std::filesystem::path& path) {
  const auto checkpoint = Checkpoint::Open(path);
  return checkpoint.ok() ? "" : std::string(checkpoint.status().message());
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kIndex = "model.safetensors.index.json";

void WriteShards(const TemporaryFolder& folder, const SmallTensors& first,
                 const SmallTensors& second, std::string_view weight_map) {
  WriteTensors(folder / "s1.safetensors", first);
  WriteTensors(folder / "s2.safetensors", second);
  WriteText(folder / kIndex,
            "{\"metadata\":{\"total_size\":1},\"weight_map\":" + std::string(weight_map) + "}");
}

TEST_SUITE("converter/checkpoint") {
  TEST_CASE("reads a file, a folder with one file, and a folder of shards alike") {
    SmallTensors all;
    all["a"] = RandomTensor({5, 3}, 1);
    all["b"] = RandomTensor({4}, 2);
    const TemporaryFolder single;
    WriteTensors(single / "model.safetensors", all);
    const TemporaryFolder other_name;
    WriteTensors(other_name / "weights.safetensors", all);
    const TemporaryFolder sharded;
    WriteShards(sharded, {{"a", all["a"]}}, {{"b", all["b"]}},
                R"({"a":"s1.safetensors","b":"s2.safetensors"})");
    for (const std::filesystem::path& path :
         {single.path(), single / "model.safetensors", other_name.path(), sharded.path(),
          sharded / kIndex}) {
      INFO(path.string());
      const auto checkpoint = Checkpoint::Open(path);
      REQUIRE_MESSAGE(checkpoint.ok(), checkpoint.status().message());
      REQUIRE((*checkpoint)->tensors().size() == 2);
      CHECK((*checkpoint)->tensors()[0].name == "a");
      CHECK(ReadAll(**checkpoint, "a", 2) == all["a"].values);
      CHECK(ReadAll(**checkpoint, "b") == all["b"].values);
      std::vector<double> row(3);
      CHECK((*checkpoint)->ReadRows("c", 0, 1, row).code() == StatusCode::kNotFound);
    }
    const auto one = Checkpoint::Open(single.path());
    const auto other = Checkpoint::Open(other_name.path());
    CHECK(*(*one)->Hash() == *(*other)->Hash());
    CHECK(*BaseHash(**one).Get() == *(*one)->Hash());
    const std::atomic<bool> stop{true};
    CHECK((*one)->Hash(&stop).status().code() == StatusCode::kCancelled);
  }

  TEST_CASE("names what is wrong with shards") {
    const TemporaryFolder folder;
    const SmallTensor t = RandomTensor({2}, 1);
    WriteShards(folder, {{"a", t}}, {{"b", t}}, R"({"a":"s1.safetensors","b":"s3.safetensors"})");
    CHECK(Mentions(FaultOf(folder.path()), "names the shard s3.safetensors, which is missing"));
    WriteShards(folder, {{"a", t}}, {{"b", t}}, R"({"a":"s1.safetensors","b":"s1.safetensors"})");
    CHECK(Mentions(FaultOf(folder.path()),
                   "'weight_map.b' should be in that shard, which does not hold it"));
    WriteShards(folder, {{"a", t}, {"b", t}}, {{"b", t}},
                R"({"a":"s1.safetensors","b":"s2.safetensors"})");
    CHECK(Mentions(FaultOf(folder.path()), "tensor 'b' is both in"));
    for (const char* name : {"../s1.safetensors", "/etc/passwd", "..", "", "x/y"}) {
      WriteShards(folder, {{"a", t}}, {{"b", t}}, "{\"a\":\"" + std::string(name) + "\"}");
      CHECK(Mentions(FaultOf(folder.path()), "is not the name of a file in the same folder"));
    }
    WriteText(folder / kIndex, "{}");
    CHECK(Mentions(FaultOf(folder.path()), "'weight_map' is missing"));
  }

  TEST_CASE("says what a folder lacks") {
    const TemporaryFolder folder;
    CHECK(Mentions(FaultOf(folder.path()), "needs model.safetensors"));
    CHECK(Mentions(FaultOf(folder / "none"), "cannot be opened"));
    WriteText(folder / "other.bin", "PK\3\4");
    CHECK(Mentions(FaultOf(folder.path()), "holds PyTorch files"));
    WriteTensors(folder / "x.safetensors", {});
    WriteTensors(folder / "y.safetensors", {});
    CHECK(Mentions(FaultOf(folder.path()), "2 .safetensors files"));
  }
}

}  // namespace
}  // namespace graft::converter
