// SPDX-License-Identifier: Apache-2.0
// safetensors: what is written reads back, and no file, however bent, is believed beyond its bytes.
#include "converter/formats/safetensors.h"

#include <filesystem>

#include <doctest/doctest.h>

#include "converter/formats/safetensors_writer.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

std::string FaultOf(const std::string& bytes) {
  const TemporaryFolder folder;
  WriteText(folder / "t.safetensors", bytes);
  const auto file = SafetensorsFile::Open(folder / "t.safetensors");
  if (file.ok()) return "";
  const std::string message(file.status().message());
  // Every complaint names the file.
  CHECK(message.find("t.safetensors") != std::string::npos);
  CHECK(file.status().code() != StatusCode::kInternal);
  return message;
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_SUITE("converter/safetensors") {
  TEST_CASE("reads back what it writes, in every type, by rows and by elements") {
    const TemporaryFolder folder;
    SmallTensors tensors;
    tensors["f32"] = RandomTensor({7, 5, 3}, 1);
    tensors["bf16"] = RandomTensor({11, 13}, 2, true);
    tensors["bf16"].dtype = DType::kBFloat16;
    tensors["f16"] = RandomTensor({3, 2}, 3, true);
    tensors["f16"].dtype = DType::kFloat16;
    tensors["f64"] = RandomTensor({17}, 4);
    tensors["f64"].dtype = DType::kFloat64;
    tensors["u8"] = {{3}, {0, 7, 255}, DType::kUInt8};
    tensors["scalar"] = {{}, {42}, DType::kFloat32};
    tensors["empty"] = {{0, 5}, {}, DType::kFloat32};
    WriteTensors(folder / "t.safetensors", tensors);
    const auto file = SafetensorsFile::Open(folder / "t.safetensors");
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    CHECK((*file)->entries().size() == tensors.size());
    REQUIRE((*file)->metadata().size() == 1);
    CHECK((*file)->metadata()[0].second == "pt");
    for (const auto& [name, tensor] : tensors) {
      INFO(name);
      const SafetensorsFile::Entry* entry = (*file)->Find(name);
      REQUIRE(entry != nullptr);
      CHECK(entry->info.shape == tensor.shape);
      CHECK(entry->file_offset % static_cast<uint64_t>(DTypeBytes(tensor.dtype)) == 0);
      std::vector<double> values(tensor.values.size());
      REQUIRE((*file)->ReadRows(*entry, 0, entry->info.rows(), values).ok());
      CHECK(values == tensor.values);
    }
    const SafetensorsFile::Entry* entry = (*file)->Find("f32");
    std::vector<double> some(15);
    REQUIRE((*file)->ReadRows(*entry, 2, 3, some).ok());
    CHECK(some[4] == tensors["f32"].values[34]);
    CHECK((*file)->ReadRows(*entry, 6, 8, some).code() == StatusCode::kOutOfRange);
    CHECK((*file)->ReadRows(*entry, -1, 0, some).code() == StatusCode::kOutOfRange);
    CHECK((*file)->ReadElements(*entry, 100, some).code() == StatusCode::kOutOfRange);
    CHECK((*file)->Find("none") == nullptr);
  }

  TEST_CASE("refuses a file cut short at any of its lengths") {
    const TemporaryFolder folder;
    SmallTensors tensors;
    tensors["a"] = RandomTensor({11, 13}, 1);
    tensors["b"] = RandomTensor({40}, 2);
    WriteTensors(folder / "t.safetensors", tensors);
    const std::string whole = ReadBytes(folder / "t.safetensors");
    CHECK(FaultOf(whole).empty());
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      // Every length of the header, then every 64th: all of them would only repeat the same check.
      if (bytes > 300 && bytes % 64 != 0) continue;
      INFO("cut to ", bytes);
      CHECK_FALSE(FaultOf(whole.substr(0, bytes)).empty());
    }
    CHECK_FALSE(FaultOf(whole + "x").empty());
  }

  TEST_CASE("refuses or survives every changed digit and every flipped bit of the header") {
    const TemporaryFolder folder;
    SmallTensors tensors;
    tensors["a"] = RandomTensor({3, 5}, 1);
    tensors["b"] = RandomTensor({4}, 2);
    WriteTensors(folder / "t.safetensors", tensors);
    const std::string whole = ReadBytes(folder / "t.safetensors");
    const size_t header_end =
        whole.rfind('}') < whole.size() - 76 ? whole.rfind('}') + 1 : whole.size() - 76;
    for (size_t i = 0; i < header_end; i += test::StepOfAll(7)) {
      const bool digit = i >= 8 && whole[i] >= '0' && whole[i] <= '9';
      for (int bit = 0; bit < 8; ++bit) {
        std::string bent = whole;
        bent[i] = static_cast<char>(bent[i] ^ (1 << bit));
        const std::string fault = FaultOf(bent);
        // A digit of shape or offsets cannot change without a contradiction; names may.
        if (digit && bent[i] >= '0' && bent[i] <= '9' && whole[i - 1] != 'F' &&
            whole[i - 1] != '3') {
          INFO("byte ", i, " bit ", bit, " ", bent.substr(8, header_end - 8));
          CHECK_FALSE(fault.empty());
        }
      }
    }
  }

  TEST_CASE("names tensor and limit for each way a header can lie") {
    const std::string data(16, '\0');
    const auto fault = [&](const std::string& header) {
      return FaultOf(RawSafetensors(header, data));
    };
    CHECK(fault(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})").empty());
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}})"),
                   "tensor 't' ends at byte 20 of the data, which has 16 bytes"));
    CHECK(Mentions(
        fault(R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})"),
        "tensor 't' of type F32 and shape [3] needs 12 bytes, but its data_offsets span 16"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F31","shape":[4],"data_offsets":[0,16]}})"),
                   "tensor 't' has the element type 'F31', which graft does not read"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}})"), "F4"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})"),
                   "impossible shape [-4]"));
    CHECK(Mentions(
        fault(R"({"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})"),
        "impossible shape"));
    CHECK(Mentions(
        fault(R"({"t":{"dtype":"F32","shape":[0,9223372036854775807,3],"data_offsets":[0,0]}})"),
        "impossible shape"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})"),
                   "data_offsets 16 to 0"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}})"),
                   "data_offsets -16 to 0"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0]}})"),
                   "two data_offsets"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4]}})"), "'t.data_offsets' is missing"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":4,"data_offsets":[0,16]}})"),
                   "'t.shape' must be an array"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4.5],"data_offsets":[0,16]}})"),
                   "must be an integer"));
    CHECK(Mentions(fault(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"extra":1}})"),
                   "unknown field"));
    CHECK(Mentions(fault(R"({"t":7})"), "tensor 't' is not described by an object"));
    CHECK(Mentions(fault(R"([])"), "must be an object"));
    CHECK(Mentions(fault(R"({"__metadata__":{"format":1}})"), "must be a string"));
    CHECK(Mentions(fault("{\"\xFF\":{}}"), "not valid JSON"));
    CHECK(Mentions(fault(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                         R"("a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"),
                   "the key 'a' twice"));
    CHECK(Mentions(fault(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
                         R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"),
                   "tensor 'b' overlaps tensor 'a'"));
    CHECK(Mentions(fault(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"),
                   "tensor 'b' leaves a gap of 4 bytes"));
    CHECK(Mentions(fault(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
                   "8 bytes after the last tensor belong to none"));
    CHECK(Mentions(
        fault(
            R"({"t":{"dtype":"F32","shape":[4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,16]}})"),
        "more than 16 dimensions"));
    CHECK(Mentions(fault(std::string(200, '[')), "nested deeper than 4 levels"));
  }

  TEST_CASE("refuses a header length beyond the file or the limit") {
    std::string bytes = RawSafetensors("{}", "");
    CHECK(FaultOf(bytes).empty());
    bytes[0] = 3;
    CHECK(Mentions(FaultOf(bytes), "a header of 3 bytes does not fit"));
    for (int i = 0; i < 8; ++i) bytes[static_cast<size_t>(i)] = '\xFF';
    CHECK(Mentions(FaultOf(bytes), "a header of 18446744073709551615 bytes does not fit"));
  }

  TEST_CASE("says so when a file shrinks under it") {
    const TemporaryFolder folder;
    SmallTensors tensors;
    tensors["a"] = RandomTensor({100, 10}, 1);
    WriteTensors(folder / "t.safetensors", tensors);
    const auto file = SafetensorsFile::Open(folder / "t.safetensors");
    REQUIRE(file.ok());
    std::filesystem::resize_file(folder / "t.safetensors", 200);
    std::vector<double> values(1000);
    const Status status = (*file)->ReadRows(*(*file)->Find("a"), 0, 100, values);
    CHECK(status.code() == StatusCode::kIo);
    CHECK(Mentions(std::string(status.message()), "'a'"));
  }

  TEST_CASE("a writer that is not finished leaves nothing behind") {
    const TemporaryFolder folder;
    {
      const std::vector<TensorInfo> infos = {{"a", DType::kFloat32, {4}}};
      auto writer = SafetensorsWriter::Create(folder / "t.safetensors", infos, {});
      REQUIRE(writer.ok());
      const uint8_t bytes[16] = {};
      CHECK((*writer)->WriteAt(0, 0, bytes).ok());
      CHECK((*writer)->WriteAt(0, 1, bytes).code() == StatusCode::kOutOfRange);
      CHECK((*writer)->WriteAt(1, 0, bytes).code() == StatusCode::kOutOfRange);
    }
    CHECK(std::filesystem::is_empty(folder.path()));
    CHECK(SafetensorsWriter::Create(folder / "none" / "t.safetensors", {}, {}).status().code() ==
          StatusCode::kNotFound);
    const std::vector<TensorInfo> twice = {{"a", DType::kFloat32, {4}},
                                           {"a", DType::kFloat32, {4}}};
    CHECK(SafetensorsWriter::Create(folder / "t.safetensors", twice, {}).status().code() ==
          StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace graft::converter
