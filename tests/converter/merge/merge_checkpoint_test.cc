// SPDX-License-Identifier: Apache-2.0
// The merged checkpoint on disk: the same whatever the threads and shards, whole or absent, and
// true to its config.
#include "converter/merge/merge_checkpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "converter/base/cancellation.h"
#include "converter/formats/open_weight_file.h"
#include "converter/formats/safetensors.h"
#include "converter/json/json.h"
#include "converter/tensors/float_formats.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

Status RunMerge(const fs::path& base, const fs::path& adapter, const fs::path& output,
                int threads = 2, std::optional<DType> dtype = std::nullopt) {
  MergeRequest request;
  request.base = base;
  request.adapters = {{adapter, 1}};
  request.output = output;
  request.threads = threads;
  request.dtype = dtype;
  const auto report = MergeCheckpoint(request);
  return report.ok() ? OkStatus() : report.status();
}

// The adapter of `name` with B set to zero.
void WriteZeroAdapter(const fs::path& folder, const std::string& name) {
  CopyFolder(TestData("adapters/" + name), folder);
  const auto file = OpenWeightFile(folder / "adapter_model.safetensors");
  REQUIRE(file.ok());
  SmallTensors tensors;
  for (const WeightFile::Entry& entry : (*file)->entries()) {
    SmallTensor tensor{
        entry.info.shape,
        std::vector<double>(static_cast<size_t>(entry.info.rows() * entry.info.row_elements()))};
    if (entry.info.name.find("lora_B") == std::string::npos) {
      REQUIRE((*file)->ReadRows(entry, 0, entry.info.rows(), tensor.values).ok());
    }
    tensors[entry.info.name] = tensor;
  }
  WriteTensors(folder / "adapter_model.safetensors", tensors);
}

TEST_SUITE("converter/merge_checkpoint") {
  TEST_CASE("an adapter that changes nothing gives the base's file back, byte for byte") {
    const TemporaryFolder folder;
    WriteZeroAdapter(folder / "zero", "lora_all_linear");
    const Status status =
        RunMerge(TestData("adapters/base_llama"), folder / "zero", folder / "out");
    REQUIRE_MESSAGE(status.ok(), status.message());
    for (const char* name : {"model.safetensors", "config.json", "generation_config.json"}) {
      CHECK(ReadBytes(folder / "out" / name) == ReadBytes(TestData("adapters/base_llama") / name));
    }
  }

  TEST_CASE("one thread and two write the same bytes, and sharded is single") {
    const TemporaryFolder folder;
    const fs::path base = TestData("adapters/base_llama");
    const fs::path adapter = TestData("adapters/dora");
    REQUIRE(RunMerge(base, adapter, folder / "one", 1).ok());
    REQUIRE(RunMerge(base, adapter, folder / "two", 2).ok());
    const std::string bytes = ReadBytes(folder / "one" / "model.safetensors");
    CHECK(ReadBytes(folder / "two" / "model.safetensors") == bytes);

    // The same base in three shards.
    const auto single = Checkpoint::Open(base);
    REQUIRE(single.ok());
    SmallTensors shards[3];
    std::string map;
    int next = 0;
    for (const TensorInfo& info : (*single)->tensors()) {
      shards[next % 3][info.name] = {info.shape, ReadAll(**single, info.name), info.dtype};
      map += (next > 0 ? ", \"" : "\"") + info.name + "\": \"part-" + std::to_string(next % 3) +
             ".safetensors\"";
      ++next;
    }
    fs::create_directories(folder / "sharded");
    for (int i = 0; i < 3; ++i) {
      WriteTensors(folder / "sharded" / ("part-" + std::to_string(i) + ".safetensors"), shards[i]);
    }
    WriteText(folder / "sharded" / "model.safetensors.index.json",
              "{\"weight_map\": {" + map + "}}");
    const Status status = RunMerge(folder / "sharded", adapter, folder / "three");
    REQUIRE_MESSAGE(status.ok(), status.message());
    CHECK(fs::exists(folder / "three" / "part-2.safetensors"));
    const auto left = Checkpoint::Open(folder / "one");
    const auto right = Checkpoint::Open(folder / "three");
    REQUIRE(left.ok());
    REQUIRE_MESSAGE(right.ok(), right.status().message());
    REQUIRE((*left)->tensors().size() == (*right)->tensors().size());
    for (const TensorInfo& info : (*left)->tensors())
      CHECK(ReadAll(**left, info.name) == ReadAll(**right, info.name));
  }

  TEST_CASE("rounds once to the type asked for") {
    const TemporaryFolder folder;
    const fs::path base = TestData("adapters/base_llama");
    const fs::path adapter = TestData("adapters/rslora");
    const auto merged = Merge(base, adapter);
    REQUIRE(merged.ok());
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      const fs::path out = folder / DTypeName(dtype);
      REQUIRE(RunMerge(base, adapter, out, 2, dtype).ok());
      const auto written = Checkpoint::Open(out);
      REQUIRE(written.ok());
      for (const TensorInfo& info : (*written)->tensors()) {
        CHECK(info.dtype == dtype);
        std::vector<double> exact = ReadAll(**merged, info.name);
        for (double& value : exact) {
          if (dtype == DType::kFloat32) value = static_cast<float>(value);
          if (dtype == DType::kFloat16) value = HalfBitsToFloat(DoubleToHalfBits(value));
          if (dtype == DType::kBFloat16) value = Bf16BitsToFloat(DoubleToBf16Bits(value));
        }
        CHECK(ReadAll(**written, info.name) == exact);
      }
      const auto config = JsonDocument::Read(out / "config.json");
      REQUIRE(config.ok());
      const char* name = dtype == DType::kFloat32   ? "float32"
                         : dtype == DType::kFloat16 ? "float16"
                                                    : "bfloat16";
      CHECK(*(*config)->root().GetString("dtype") == name);
      CHECK(*(*config)->root().GetInt("vocab_size") == 97);
    }
  }

  TEST_CASE("an untied head is written and the config says so") {
    const TemporaryFolder folder;
    REQUIRE(RunMerge(TestData("adapters/base_llama_tied"), TestData("adapters/lm_head_tied"),
                     folder / "out")
                .ok());
    const auto config = JsonDocument::Read(folder / "out" / "config.json");
    REQUIRE(config.ok());
    CHECK(*(*config)->root().GetBool("tie_word_embeddings") == false);
    const auto written = Checkpoint::Open(folder / "out");
    REQUIRE(written.ok());
    CHECK((*written)->Find("lm_head.weight") != nullptr);
    CHECK(ReadAll(**written, "lm_head.weight") != ReadAll(**written, "model.embed_tokens.weight"));
  }

  TEST_CASE("needs no config.json") {
    const TemporaryFolder folder;
    REQUIRE(RunMerge(TestData("adapters/base_mlp"), TestData("adapters/mlp_100x10"), folder / "mlp")
                .ok());
    REQUIRE(RunMerge(TestData("adapters/base_conv") / "model.safetensors",
                     TestData("adapters/conv2d"), folder / "conv")
                .ok());
    CHECK(fs::exists(folder / "conv" / "model.safetensors"));
  }

  TEST_CASE("carries over small files, and the adapter's tokenizer where it has one") {
    const TemporaryFolder folder;
    CopyFolder(TestData("adapters/base_llama"), folder / "base");
    WriteText(folder / "base" / "tokenizer.json", "{\"from\": \"base\"}");
    WriteText(folder / "base" / "merges.txt", "a b");
    WriteText(folder / "base" / "pytorch_model.bin", "weights");
    WriteText(folder / "base" / "README.md", "read me");
    CopyFolder(TestData("adapters/lora_qv"), folder / "adapter");
    WriteText(folder / "adapter" / "tokenizer.json", "{\"from\": \"adapter\"}");
    REQUIRE(RunMerge(folder / "base", folder / "adapter", folder / "out").ok());
    CHECK(ReadBytes(folder / "out" / "tokenizer.json") == "{\"from\": \"adapter\"}");
    CHECK_FALSE(fs::exists(folder / "out" / "merges.txt"));  // of the base's tokenizer
    CHECK_FALSE(fs::exists(folder / "out" / "pytorch_model.bin"));
    CHECK_FALSE(fs::exists(folder / "out" / "README.md"));
    CHECK_FALSE(fs::exists(folder / "out" / "adapter_config.json"));
  }

  TEST_CASE("refuses a tokenizer with more tokens than the merged embedding has rows") {
    const TemporaryFolder folder;
    CopyFolder(TestData("adapters/lora_qv"), folder / "adapter");
    for (const char* tokenizer :
         {R"({"model": {"vocab": {"a": 0, "b": 97}}})",
          R"({"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 97, "content": "x"}]})"}) {
      WriteText(folder / "adapter" / "tokenizer.json", tokenizer);
      const Status status =
          RunMerge(TestData("adapters/base_llama"), folder / "adapter", folder / "out");
      CHECK(status.code() == StatusCode::kMismatch);
      CHECK(std::string(status.message())
                .find("tokenizer.json: has 98 tokens, but the embedding "
                      "'model.embed_tokens.weight' of the merged model has 97 rows") !=
            std::string::npos);
      CHECK_FALSE(fs::exists(folder / "out"));
    }
    WriteText(folder / "adapter" / "tokenizer.json",
              R"({"model": {"vocab": [["a", 0], ["b", 1]]}})");
    CHECK(RunMerge(TestData("adapters/base_llama"), folder / "adapter", folder / "out").ok());
  }

  TEST_CASE("leaves nothing behind when it fails or is stopped") {
    const TemporaryFolder folder;
    const fs::path base = TestData("adapters/base_llama");
    const fs::path adapter = TestData("adapters/lora_qv");
    CHECK(RunMerge(TestData("adapters/base_mlp"), adapter, folder / "out").code() ==
          StatusCode::kMismatch);
    g_cancelled = true;
    CHECK(RunMerge(base, adapter, folder / "out").code() == StatusCode::kCancelled);
    g_cancelled = false;
    CHECK(RunMerge(base, adapter, folder / "none" / "out").code() == StatusCode::kIo);
    CHECK(fs::is_empty(folder.path()));
    WriteText(folder / "taken", "x");
    CHECK(RunMerge(base, adapter, folder / "taken").code() == StatusCode::kInvalidArgument);
    fs::create_directories(folder / "full");
    WriteText(folder / "full" / "x", "x");
    CHECK(RunMerge(base, adapter, folder / "full").code() == StatusCode::kInvalidArgument);
    CHECK(ReadBytes(folder / "full" / "x") == "x");
    fs::create_directories(folder / "empty");
    CHECK(RunMerge(base, adapter, folder / "empty").ok());
  }

  TEST_CASE("reports progress up to the last byte") {
    const TemporaryFolder folder;
    MergeRequest request;
    request.base = TestData("adapters/base_llama");
    request.adapters = {{TestData("adapters/lora_qv"), 1}};
    request.output = folder / "out";
    uint64_t last = 0, total = 0;
    bool ascending = true;
    request.progress = [&](uint64_t done, uint64_t all) {
      ascending = ascending && done > last;
      last = done;
      total = all;
    };
    REQUIRE(MergeCheckpoint(request).ok());
    CHECK(ascending);
    CHECK(last == total);
    CHECK(total > 100000);
  }
}

}  // namespace
}  // namespace graft::converter
