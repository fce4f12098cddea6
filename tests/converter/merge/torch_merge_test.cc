// SPDX-License-Identifier: Apache-2.0
// Bases and adapters in PyTorch's files merge as the same tensors in safetensors files do.
#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/formats/torch_bytes.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Checkpoint> OpenCheckpoint(const fs::path& path) {
  auto checkpoint = Checkpoint::Open(path);
  REQUIRE_MESSAGE(checkpoint.ok(), checkpoint.status().message());
  return std::move(checkpoint).value();
}

SmallTensors AllOf(const TensorSource& source) {
  SmallTensors tensors;
  for (const TensorInfo& info : source.tensors()) {
    tensors[info.name] = {info.shape, ReadAll(source, info.name), info.dtype};
  }
  return tensors;
}

void CheckSame(const fs::path& a, const fs::path& b) {
  const SmallTensors left = AllOf(*OpenCheckpoint(a));
  const SmallTensors right = AllOf(*OpenCheckpoint(b));
  REQUIRE(left.size() == right.size());
  for (const auto& [name, tensor] : left) {
    const std::string& shown = name;
    CAPTURE(shown);
    const auto found = right.find(name);
    REQUIRE(found != right.end());
    CHECK(found->second.dtype == tensor.dtype);
    CHECK(found->second.shape == tensor.shape);
    CHECK(found->second.values == tensor.values);
  }
}

void RunMerge(const fs::path& base, const fs::path& adapter, const fs::path& output) {
  MergeRequest request;
  request.base = base;
  request.adapters = {{adapter, 1}};
  request.output = output;
  const auto report = MergeCheckpoint(request);
  REQUIRE_MESSAGE(report.ok(), report.status().message());
}

// The folder with its safetensors file rewritten as one of PyTorch's.
void CopyAsTorch(const fs::path& from, const fs::path& to, const std::string& name,
                 const std::string& torch_name) {
  CopyFolder(from, to);
  WriteTorch(to / torch_name, AllOf(*OpenCheckpoint(from / name)));
  fs::remove(to / name);
}

TEST_SUITE("converter/torch_merge") {
  TEST_CASE("a base and an adapter in PyTorch's files merge as in safetensors files") {
    const TemporaryFolder folder;
    const fs::path base = TestData("adapters/base_llama");
    const fs::path adapter = TestData("adapters/lora_all_linear");
    CopyAsTorch(base, folder / "base", "model.safetensors", "pytorch_model.bin");
    CopyAsTorch(adapter, folder / "adapter", "adapter_model.safetensors", "adapter_model.bin");
    RunMerge(base, adapter, folder / "expected");
    RunMerge(folder / "base", folder / "adapter", folder / "merged");
    CHECK(fs::exists(folder / "merged" / "model.safetensors"));
    CHECK(!fs::exists(folder / "merged" / "pytorch_model.bin"));
    CheckSame(folder / "merged", folder / "expected");
  }

  TEST_CASE("shards of PyTorch's are found by their index and written as safetensors") {
    const TemporaryFolder folder;
    const fs::path base = TestData("adapters/base_llama");
    const fs::path adapter = TestData("adapters/lora_all_linear");
    CopyFolder(base, folder / "base");
    fs::remove(folder / "base" / "model.safetensors");
    SmallTensors shards[2];
    std::string map;
    for (const auto& [name, tensor] : AllOf(*OpenCheckpoint(base))) {
      const int shard = static_cast<int>(map.size() % 2);
      shards[shard][name] = tensor;
      map += (map.empty() ? "\"" : ", \"") + name + "\": \"pytorch_model-0000" +
             std::to_string(shard + 1) + "-of-00002.bin\"";
    }
    REQUIRE(!shards[0].empty());
    REQUIRE(!shards[1].empty());
    WriteTorch(folder / "base" / "pytorch_model-00001-of-00002.bin", shards[0]);
    WriteTorch(folder / "base" / "pytorch_model-00002-of-00002.bin", shards[1]);
    WriteText(folder / "base" / "pytorch_model.bin.index.json", "{\"weight_map\": {" + map + "}}");
    RunMerge(base, adapter, folder / "expected");
    RunMerge(folder / "base", adapter, folder / "merged");
    CHECK(fs::exists(folder / "merged" / "model.safetensors.index.json"));
    CHECK(fs::exists(folder / "merged" / "model-00002-of-00002.safetensors"));
    CheckSame(folder / "merged", folder / "expected");
  }

  TEST_CASE("a transposed tensor that no adapter changes is written in its own order") {
    const TemporaryFolder folder;
    std::string bytes;
    for (int i = 0; i < 6; ++i) bytes += Bytes16(static_cast<uint16_t>(i));
    using namespace pickled;
    SmallTensors others = {{"layer.weight", RandomTensor({4, 3}, 1)}};
    WriteTorch(folder / "one.bin", others);
    WriteText(folder / "two.bin",
              TorchBytes(
                  Dict(Text("turned") + Tensor(Storage("ShortStorage", "0", 6), 0, {3, 2}, {1, 3})),
                  {bytes}));
    WriteText(folder / "pytorch_model.bin.index.json",
              R"({"weight_map": {"layer.weight": "one.bin", "turned": "two.bin"}})");
    fs::create_directory(folder / "adapter");
    WriteText(folder / "adapter" / "adapter_config.json",
              R"({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["layer"]})");
    WriteTorch(folder / "adapter" / "adapter_model.bin",
               {{"base_model.model.layer.lora_A.weight", RandomTensor({2, 3}, 2)},
                {"base_model.model.layer.lora_B.weight", RandomTensor({4, 2}, 3)}});
    RunMerge(folder / "pytorch_model.bin.index.json", folder / "adapter", folder / "merged");
    const auto merged = OpenCheckpoint(folder / "merged");
    CHECK(merged->Find("turned")->dtype == DType::kInt16);
    CHECK(ReadAll(*merged, "turned") == std::vector<double>{0, 3, 1, 4, 2, 5});
    CHECK(ReadAll(*merged, "layer.weight") != others["layer.weight"].values);
  }

  TEST_CASE("a head under a second name is the input embedding where the config says so") {
    const TemporaryFolder folder;
    using namespace pickled;
    const std::string table = Tensor(Storage("ShortStorage", "0", 6), 0, {3, 2}, {2, 1});
    const std::string other = Tensor(Storage("ShortStorage", "1", 6), 0, {3, 2}, {2, 1});
    const std::string data(12, '\1');
    std::string other_data = data;
    const auto has_head = [&](const std::string& head, std::string_view config) {
      WriteText(folder / "pytorch_model.bin",
                TorchBytes(
                    Dict(Text("model.embed_tokens.weight") + table + Text("lm_head.weight") + head),
                    {data, other_data}));
      fs::remove(folder / "config.json");
      if (!config.empty()) WriteText(folder / "config.json", config);
      const auto checkpoint = OpenCheckpoint(folder.path());
      CHECK(checkpoint->Find("model.embed_tokens.weight") != nullptr);
      return checkpoint->Find("lm_head.weight") != nullptr;
    };
    CHECK(!has_head(table, R"({"tie_word_embeddings": true})"));
    CHECK(has_head(table, R"({"tie_word_embeddings": false})"));
    CHECK(has_head(table, ""));
    CHECK(!has_head(other, R"({"tie_word_embeddings": true})"));
    CHECK(has_head(other, R"({"tie_word_embeddings": false})"));
    other_data[7] = '\2';
    CHECK(has_head(other, R"({"tie_word_embeddings": true})"));
  }

  TEST_CASE("safetensors go first, and a pickle that asks for more is refused with its folder") {
    const TemporaryFolder folder;
    WriteText(folder / "pytorch_model.bin", "not looked at");
    WriteTensors(folder / "model.safetensors", {{"w", RandomTensor({2}, 1)}});
    CHECK(OpenCheckpoint(folder.path())->Find("w") != nullptr);
    fs::remove(folder / "model.safetensors");
    fs::remove(folder / "pytorch_model.bin");
    fs::copy_file(TestData("pickles/os_system.bin"), folder / "pytorch_model.bin");
    const auto refused = Checkpoint::Open(folder.path());
    REQUIRE(!refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
    CHECK(refused.status().message().find("pytorch_model.bin: pickle, byte") !=
          std::string_view::npos);
    CHECK(refused.status().message().find("posix.system") != std::string_view::npos);
    fs::rename(folder / "pytorch_model.bin", folder / "training_args.bin");
    CHECK(Checkpoint::Open(folder.path()).status().message().find("name the file") !=
          std::string_view::npos);
  }
}

}  // namespace
}  // namespace graft::converter
