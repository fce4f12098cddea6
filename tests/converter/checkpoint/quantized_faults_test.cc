// SPDX-License-Identifier: Apache-2.0
// Packed weights whose tensors contradict each other, and files that were damaged.
#include <filesystem>
#include <random>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

constexpr size_t kHeaderAt = 8;

size_t HeaderBytes(const std::string& file) {
  size_t bytes = 0;
  for (size_t i = 0; i < kHeaderAt; ++i) {
    bytes |= static_cast<size_t>(static_cast<uint8_t>(file[i])) << (8 * i);
  }
  return bytes;
}

// Opens and reads what it may; the message of what failed.
std::string Fault(const std::filesystem::path& folder) {
  const auto base = Checkpoint::Open(folder);
  if (!base.ok()) return std::string(base.status().message());
  for (const TensorInfo& info : (*base)->tensors()) {
    std::vector<double> numbers(static_cast<size_t>(info.rows() * info.row_elements()));
    const Status status = (*base)->ReadRows(info.name, 0, info.rows(), numbers);
    if (!status.ok()) return std::string(status.message());
  }
  return {};
}

// A case with a text of its header or configuration replaced by another of the same length.
std::string FaultOfEdited(const std::string& name, const std::string& from, const std::string& to) {
  const TemporaryFolder folder;
  CopyFolder(TestData("quantized") / name, folder.path());
  for (const char* file : {"model.safetensors", "config.json"}) {
    std::string bytes = ReadBytes(folder / file);
    const size_t at = bytes.find(from);
    if (at == std::string::npos) continue;
    bytes.replace(at, from.size(), to);
    WriteText(folder / file, bytes);
    return Fault(folder.path());
  }
  return "nothing to edit";
}

TEST_SUITE("converter/quantized_faults") {
  TEST_CASE("tensors that contradict each other are refused by name") {
    const struct {
      const char* folder;
      const char* from;
      const char* to;
      const char* message;
    } kCases[] = {
        {"bnb_nf4", R"("shape": [6, 40])", R"("shape": [6, 41])",
         "tensor 'model.fc.weight' has 120 bytes, but its quant_state's shape [6, 41] needs 123"},
        {"bnb_nf4", R"("blocksize": 64)", R"("blocksize": 32)",
         "tensor 'model.fc.weight.absmax' has the shape [4], but quant_state's shape and blocksize "
         "asks for 8 numbers"},
        {"bnb_nf4", "weight.quant_map", "weight.quant_mop",
         "tensor 'model.fc.weight' is quantized, but its 'model.fc.weight.quant_map' is missing"},
        {"bnb_nf4_double", R"("nested_blocksize": 256)", R"("nested_blocksize": 016)", ""},
        {"gptq_4", "[2,4]", "[4,2]",
         "tensor 'fc.qzeros' has the shape [4, 2], but there are scales of 2 groups"},
        {"gptq_4", "\"bits\": 4, \"group_size\": 32", "\"bits\": 4, \"format\": \"marlin\"",
         "is packed as 'marlin', says config.json, which graft does not read"},
        {"awq_4", "\"version\": \"gemm\"", "\"version\": \"gemv\"",
         "is packed as 'gemv', says config.json, which graft does not read"},
        {"ct_pack_group", R"("num_bits": 4)", R"("num_bits": 5)",
         "tensor 'model.fc.weight_packed' has rows of 8 words, which 64 codes"},
        {"ct_float_block", "[3,3]", "[9,1]",
         "tensor 'model.fc.weight_scale' has the shape [9, 1], which fits no groups or blocks"},
        {"mlx_affine", R"("bits": 2)", R"("bits": 3)",
         "tensor 'model.fc1.weight' has the shape [6, 8] and scales [6, 2], which 3 bits in "
         "groups"},
        {"mlx_mxfp4", R"("mode": "mxfp4")", R"("mode": "other")",
         "is of mlx's mode 'other', which graft does not read"},
        {"mxfp4_experts", "[2,3,2]", "[2,2,3]",
         "tensor 'experts.down_proj_scales' has the shape [2, 2, 3], its blocks [2, 3, 2, 16]"},
    };
    for (const auto& item : kCases) {
      const std::string message = FaultOfEdited(item.folder, item.from, item.to);
      INFO(item.folder, ": ", message, " | expected: ", item.message);
      CHECK(message != "nothing to edit");
      CHECK_FALSE(message.empty());
      CHECK(message.find(item.message) != std::string::npos);
    }
  }

  TEST_CASE("a group that does not exist is refused") {
    const TemporaryFolder folder;
    CopyFolder(TestData("quantized/gptq_4_act_order"), folder.path());
    const auto base = Checkpoint::Open(folder.path());
    REQUIRE(base.ok());
    std::string bytes = ReadBytes(folder / "model.safetensors");
    const WeightFile& file = *(*base)->shards()[0];
    const WeightFile::Entry* index = file.Find("fc.g_idx");
    REQUIRE(index != nullptr);
    bytes[index->file_offset] = 3;
    WriteText(folder / "model.safetensors", bytes);
    CHECK(Fault(folder.path()).find("tensor 'fc.g_idx' says that input 0 is in group 3 of 3") !=
          std::string::npos);
    bytes[index->file_offset + 3] = '\xff';
    WriteText(folder / "model.safetensors", bytes);
    CHECK(Fault(folder.path()).find("says that input 0 is in group -16777213 of 3") !=
          std::string::npos);
  }

  TEST_CASE("damaged headers and settings end in a message or in numbers") {
    std::mt19937 generator(1);
    for (const auto& entry : std::filesystem::directory_iterator(TestData("quantized"))) {
      if (!entry.is_directory() || entry.path().filename().string().starts_with("llama")) continue;
      const TemporaryFolder folder;
      CopyFolder(entry.path(), folder.path());
      const std::string weights = ReadBytes(folder / "model.safetensors");
      const std::string config = ReadBytes(folder / "config.json");
      for (int i = 0; i < 24; ++i) {
        std::string damaged = i % 3 == 0 ? config : weights;
        const size_t from = i % 3 == 0 ? 0 : kHeaderAt;
        const size_t count = i % 3 == 0 ? config.size() : HeaderBytes(weights);
        const size_t at = from + generator() % count;
        damaged[at] = damaged[at] >= '0' && damaged[at] <= '9'
                          ? static_cast<char>('0' + generator() % 10)
                          : static_cast<char>(generator());
        WriteText(folder / (i % 3 == 0 ? "config.json" : "model.safetensors"), damaged);
        (void)Fault(folder.path());
        WriteText(folder / "config.json", config);
      }
    }
  }
}

}  // namespace
}  // namespace graft::converter
