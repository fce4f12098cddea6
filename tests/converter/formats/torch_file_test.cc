// SPDX-License-Identifier: Apache-2.0
// torch.save's files: PyTorch's own read as PyTorch reads them, others refused, nothing ever run.
#include "converter/formats/torch_file.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <random>
#include <tuple>

#include <doctest/doctest.h>

#include "converter/tensors/strided_read.h"
#include "tests/converter/formats/torch_bytes.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

using namespace pickled;

std::string FaultOf(const std::string& bytes) {
  const TemporaryFolder folder;
  WriteText(folder / "t.bin", bytes);
  const auto file = TorchFile::Open(folder / "t.bin");
  if (file.ok()) return "";
  const std::string message(file.status().message());
  // Every complaint names the file.
  CHECK(message.find("t.bin") != std::string::npos);
  CHECK(file.status().code() != StatusCode::kInternal);
  return message;
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

std::unique_ptr<TorchFile> OpenData(const std::string& name) {
  auto file = TorchFile::Open(TestData("pickles/" + name));
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  return std::move(file).value();
}

std::vector<double> Whole(const WeightFile& file, std::string_view name) {
  const WeightFile::Entry* entry = file.Find(name);
  REQUIRE_MESSAGE(entry != nullptr, std::string(name));
  std::vector<double> values(static_cast<size_t>(entry->info.rows() * entry->info.row_elements()));
  const Status status = file.ReadRows(*entry, 0, entry->info.rows(), values);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return values;
}

// 0, 1, 2, ... seen through strides, in row-major order.
std::vector<double> RampThrough(const std::vector<int64_t>& shape,
                                const std::vector<int64_t>& strides, int64_t offset = 0) {
  std::vector<double> values{static_cast<double>(offset)};
  for (size_t d = 0; d < shape.size(); ++d) {
    std::vector<double> longer;
    for (const double value : values) {
      for (int64_t i = 0; i < shape[d]; ++i) {
        longer.push_back(value + static_cast<double>(i * strides[d]));
      }
    }
    values = longer;
  }
  return values;
}

std::string Ramp(size_t elements) {
  std::string bytes;
  for (size_t i = 0; i < elements; ++i) bytes += Bytes16(static_cast<uint16_t>(i));
  return bytes;
}

TEST_SUITE("converter/torch_file") {
  TEST_CASE("reads every element type, of the oldest and the newest protocol") {
    for (const char* name : {"types_protocol2.bin", "types_protocol5.bin"}) {
      CAPTURE(name);
      const auto file = OpenData(name);
      CHECK(file->entries().size() == 12);
      for (const auto& [tensor, dtype] :
           std::vector<std::pair<std::string, DType>>{{"float64", DType::kFloat64},
                                                      {"float32", DType::kFloat32},
                                                      {"float16", DType::kFloat16},
                                                      {"bfloat16", DType::kBFloat16},
                                                      {"int64", DType::kInt64},
                                                      {"int32", DType::kInt32},
                                                      {"int16", DType::kInt16},
                                                      {"int8", DType::kInt8},
                                                      {"uint8", DType::kUInt8},
                                                      {"bool", DType::kBool}}) {
        const std::string& kind = tensor;
        CAPTURE(kind);
        REQUIRE(file->Find(tensor) != nullptr);
        CHECK(file->Find(tensor)->info.dtype == dtype);
        CHECK(file->Find(tensor)->info.shape == std::vector<int64_t>{3, 5});
        std::vector<double> expected;
        for (int i = 0; i < 15; ++i) {
          if (dtype == DType::kBool) {
            expected.push_back(i > 0 ? 1 : 0);
          } else {
            expected.push_back(dtype == DType::kUInt8 ? i : i - 7);
          }
        }
        CHECK(Whole(*file, tensor) == expected);
      }
      CHECK(Whole(*file, "scalar") == std::vector<double>{2.5});
      CHECK(file->Find("scalar")->info.shape.empty());
      CHECK(file->Find("empty")->info.shape == std::vector<int64_t>{0, 4});
      CHECK(Whole(*file, "empty").empty());
    }
  }

  TEST_CASE("reads views through their strides") {
    const auto file = OpenData("views.bin");
    const std::vector<std::tuple<std::string, std::vector<int64_t>, std::vector<int64_t>, int64_t>>
        views = {
            {"plain", {7, 11}, {11, 1}, 0},       {"transposed", {11, 7}, {1, 11}, 0},
            {"rows", {3, 11}, {11, 1}, 22},       {"columns", {7, 5}, {11, 1}, 3},
            {"every_second", {4, 4}, {22, 3}, 0}, {"permuted", {5, 3, 6, 4}, {6, 120, 1, 30}, 0},
            {"expanded", {4, 6}, {0, 1}, 0},      {"single_step", {1, 6}, {0, 1}, 0}};
    for (const auto& [name, shape, strides, offset] : views) {
      const std::string& view = name;
      CAPTURE(view);
      CHECK(file->Find(name)->info.shape == shape);
      CHECK(Whole(*file, name) == RampThrough(shape, strides, offset));
    }
    // channels_last changes where elements lie, not which they are.
    CHECK(!file->Find("channels_last")->strides.empty());
    CHECK(Whole(*file, "channels_last") == RampThrough({120}, {1}));
    CHECK(file->Find("plain")->strides.empty());
    CHECK(file->Find("rows")->strides.empty());
    CHECK(file->Find("single_step")->strides.empty());
  }

  TEST_CASE("reads a module's state_dict, bare, wrapped and of parameters") {
    const auto bare = OpenData("state_dict.bin");
    CHECK(bare->entries().size() == 7);
    const auto wrapped = OpenData("wrapped.bin");
    CHECK(wrapped->entries().size() == 7);
    const auto parameters = OpenData("parameters.bin");
    CHECK(parameters->entries().size() == 4);
    for (const auto& file : {bare.get(), wrapped.get(), parameters.get()}) {
      CHECK(Whole(*file, "0.weight") == std::vector<double>{1, 2, 3, 4, 5, 6});
      CHECK(Whole(*file, "1.bias") == std::vector<double>{1, 2});
    }
    CHECK(Whole(*bare, "1.num_batches_tracked") == std::vector<double>{1});
  }

  TEST_CASE("refuses what PyTorch pickles beyond tensors, by name, and runs none of it") {
    const auto fault = [](const std::string& name) {
      const auto file = TorchFile::Open(TestData("pickles/" + name));
      REQUIRE(!file.ok());
      CHECK(file.status().code() == StatusCode::kUnsupported);
      CHECK(Mentions(std::string(file.status().message()), name));
      return std::string(file.status().message());
    };
    for (const char* name : {"os_system.bin", "os_system_protocol4.bin"}) {
      CHECK(Mentions(fault(name),
                     "asks for posix.system; graft executes nothing and reads tensors "
                     "only"));
      CHECK(Mentions(fault(name), "safetensors.torch.save_file"));
    }
    CHECK(!std::filesystem::exists("graft_pickle_ran"));
    CHECK(Mentions(fault("whole_module.bin"), "asks for torch.nn.modules.container.Sequential"));
    CHECK(Mentions(fault("complex.bin"), "asks for torch.ComplexFloatStorage"));
    CHECK(Mentions(fault("legacy.bin"), "format from before 1.6"));
    CHECK(Mentions(fault("with_optimizer.bin"), "EMPTY_LIST"));
    const auto negated = TorchFile::Open(TestData("pickles/negated.bin"));
    CHECK(Mentions(std::string(negated.status().message()), "_rebuild_tensor_v2 with other"));
  }

  TEST_CASE("refuses a file cut anywhere") {
    const std::string bytes = ReadBytes(TestData("pickles/state_dict.bin"));
    for (size_t size = 0; size < bytes.size(); size += test::StepOfAll(7)) {
      CAPTURE(size);
      CHECK(FaultOf(bytes.substr(0, size)) != "");
    }
  }

  TEST_CASE("stays within the file whatever byte of it is another one") {
    const std::string bytes = ReadBytes(TestData("pickles/views.bin"));
    const TemporaryFolder folder;
    for (size_t i = 0; i < bytes.size(); i += test::StepOfAll(7)) {
      std::string bent = bytes;
      bent[i] = static_cast<char>(bent[i] ^ (i % 3 == 0 ? 0xFF : i % 3 == 1 ? 0x01 : 0x80));
      WriteText(folder / "t.bin", bent);
      const auto file = TorchFile::Open(folder / "t.bin");
      if (!file.ok()) {
        CHECK(!file.status().message().empty());
        continue;
      }
      for (const WeightFile::Entry& entry : (*file)->entries()) {
        REQUIRE(entry.size_bytes <= 64 * bytes.size());
        Whole(**file, entry.info.name);
      }
    }
  }

  TEST_CASE("refuses tensors that do not lie in their storage") {
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    const auto fault = [](int64_t offset, const std::vector<int64_t>& sizes,
                          const std::vector<int64_t>& strides) {
      return FaultOf(TorchBytes(
          Dict(Text("w") + Tensor(Storage("ShortStorage", "0", 12), offset, sizes, strides)),
          {Ramp(12)}));
    };
    CHECK(fault(0, {3, 4}, {4, 1}) == "");
    CHECK(fault(2, {3, 4}, {3, 1}) == "");
    CHECK(fault(11, {1}, {kMax}) == "");
    CHECK(fault(12, {0}, {1}) == "");
    CHECK(Mentions(fault(1, {3, 4}, {4, 1}), "tensor 'w' of shape [3, 4] at offset 1 goes beyond"));
    CHECK(Mentions(fault(0, {3, 4}, {5, 1}), "goes beyond its storage of 12 elements"));
    CHECK(Mentions(fault(0, {13}, {1}), "goes beyond"));
    CHECK(Mentions(fault(13, {0}, {1}), "goes beyond"));
    CHECK(Mentions(fault(kMax, {1}, {1}), "goes beyond"));
    CHECK(Mentions(fault(0, {2}, {kMax}), "goes beyond"));
    CHECK(Mentions(fault(0, {3}, {kMax / 2 + 1}), "goes beyond"));
    CHECK(Mentions(fault(0, {5}, {int64_t{1} << 62}), "goes beyond"));
    CHECK(Mentions(fault(0, {2, 2}, {kMax, kMax}), "goes beyond"));
    CHECK(Mentions(fault(-1, {1}, {1}), "negative"));
    CHECK(Mentions(fault(11, {2}, {-1}), "negative"));
    CHECK(Mentions(fault(0, {2, 2}, {1, std::numeric_limits<int64_t>::min()}), "negative"));
    CHECK(Mentions(fault(0, {-1}, {1}), "impossible shape"));
    CHECK(Mentions(fault(0, {-3, -4}, {4, 1}), "impossible shape"));
    CHECK(Mentions(fault(0, {kMax, 2}, {0, 0}), "impossible shape"));
    CHECK(Mentions(fault(0, {0, kMax, kMax}, {0, 0, 0}), "impossible shape"));
    // One element, said to be more than any file needs.
    CHECK(Mentions(fault(0, {int64_t{1} << 40}, {0}), "times the file's"));
  }

  TEST_CASE("refuses storages that are missing or of another size") {
    const auto fault = [](int64_t elements, const std::string& key, const std::string& data) {
      return FaultOf(TorchBytes(
          Dict(Text("w") + Tensor(Storage("FloatStorage", key, elements), 0, {1}, {1})), {data}));
    };
    CHECK(fault(2, "0", std::string(8, '\0')) == "");
    CHECK(Mentions(fault(2, "0", std::string(7, '\0')), "entry 'model/data/0' has 7 bytes"));
    CHECK(Mentions(fault(2, "0", std::string(12, '\0')), "has 12 bytes"));
    CHECK(Mentions(fault(-1, "0", std::string(8, '\0')), "a storage of -1 elements"));
    CHECK(Mentions(fault(int64_t{1} << 62, "0", std::string(8, '\0')), "has 8 bytes"));
    CHECK(Mentions(fault(2, "1", std::string(8, '\0')), "storage '1', which the file does not"));
    CHECK(Mentions(fault(2, "../data.pkl", std::string(8, '\0')), "which the file does not hold"));
  }

  TEST_CASE("lets tied tensors share a storage, but not many") {
    const auto fault = [](int count) {
      std::string items;
      for (int i = 0; i < count; ++i) {
        items += Text("w" + std::to_string(i)) +
                 Tensor(Storage("ShortStorage", "0", 50000), 0, {50000}, {1});
      }
      return FaultOf(TorchBytes(Dict(items), {Ramp(50000)}));
    };
    CHECK(fault(4) == "");
    CHECK(Mentions(fault(100), "they overlap or repeat themselves"));
  }

  TEST_CASE("refuses big-endian numbers, unknown versions and zip files of others") {
    const std::string pickle =
        Dict(Text("w") + Tensor(Storage("FloatStorage", "0", 1), 0, {1}, {1}));
    const std::vector<std::string> storages = {std::string(4, '\0')};
    CHECK(FaultOf(TorchBytes(pickle, storages)) == "");
    CHECK(FaultOf(TorchBytes(pickle, storages, "")) == "");
    CHECK(Mentions(FaultOf(TorchBytes(pickle, storages, "big")), "big-endian"));
    CHECK(Mentions(FaultOf(TorchBytes(pickle, storages, "middle")), "byte order 'middle'"));
    const auto with = [&](const std::string& name, const std::string& data) {
      return FaultOf(MakeZip({{"m/data.pkl", pickle}, {"m/data/0", storages[0]}, {name, data}}));
    };
    CHECK(with("m/other", "x") == "");
    CHECK(Mentions(with("m/version", "11\n"), "version 11"));
    CHECK(Mentions(with("m/version", "x"), "'x', which is no number"));
    CHECK(Mentions(with("m/version", std::string(17, '1')), "17 bytes where a word is expected"));
    CHECK(Mentions(with("n/data.pkl", pickle), "holds two pickles"));
    CHECK(Mentions(FaultOf(MakeZip({{"word/document.xml", "x"}})), "holds no data.pkl"));
    CHECK(Mentions(FaultOf("version 1 of something else\n"), "does not begin as"));
  }

  TEST_CASE("reads any part of any strided tensor as a walk over its elements does") {
    const TemporaryFolder folder;
    constexpr int64_t kElements = 60000;  // below 2^16, so that uint16_t numbers them
    WriteText(folder / "ramp", Ramp(kElements));
    const auto file = InputFile::Open(folder / "ramp");
    REQUIRE(file.ok());
    std::mt19937 engine(20);
    for (int round = 0; round < 400; ++round) {
      CAPTURE(round);
      // Random dimensions, laid out in random order with random gaps.
      const size_t rank = 1 + engine() % 4;
      const int64_t largest[] = {3000, 120, 24, 10};
      std::vector<int64_t> shape(rank);
      std::vector<size_t> order(rank);
      for (size_t i = 0; i < rank; ++i) {
        shape[i] = 1 + static_cast<int64_t>(engine()) % largest[rank - 1];
        order[i] = i;
      }
      for (size_t i = rank; i-- > 1;) std::swap(order[i], order[engine() % (i + 1)]);
      std::vector<int64_t> strides(rank);
      int64_t step = round % 3 == 0 ? 1 + static_cast<int64_t>(engine() % 9) : 1;
      int64_t reach = 1;
      for (const size_t i : order) {
        strides[i] = engine() % 16 == 0 ? 0 : step;
        reach += (shape[i] - 1) * strides[i];
        step = std::max(step * shape[i] + static_cast<int64_t>(round % 5), int64_t{1});
      }
      if (reach > kElements) continue;
      const std::vector<double> expected = RampThrough(shape, strides);
      const StridedLayout layout{0, 2, shape, strides};
      for (int part = 0; part < 4; ++part) {
        const size_t first = part == 0 ? 0 : engine() % expected.size();
        const size_t count = part == 0 ? expected.size() : 1 + engine() % (expected.size() - first);
        std::vector<uint8_t> out(2 * count);
        const Status status = ReadStrided(**file, layout, static_cast<int64_t>(first), out);
        REQUIRE_MESSAGE(status.ok(), status.message());
        bool same = true;
        for (size_t i = 0; i < count; ++i) {
          same = same && out[2 * i] + 256 * out[2 * i + 1] == expected[first + i];
        }
        CHECK(same);
      }
    }
  }

  TEST_CASE("reads a large transposed matrix in blocks of rows") {
    const TemporaryFolder folder;
    constexpr int64_t kRows = 4000;  // columns of 160,000 bytes: more than one stretch
    constexpr int64_t kColumns = 15;
    WriteText(folder / "t.bin",
              TorchBytes(Dict(Text("w") + Tensor(Storage("ShortStorage", "0", kRows * kColumns), 0,
                                                 {kRows, kColumns}, {1, kRows})),
                         {Ramp(kRows * kColumns)}));
    const auto file = TorchFile::Open(folder / "t.bin");
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    std::vector<double> expected = RampThrough({kRows, kColumns}, {1, kRows});
    for (double& value : expected) value = static_cast<int16_t>(static_cast<uint16_t>(value));
    CHECK(Whole(**file, "w") == expected);
    const WeightFile::Entry& entry = *(*file)->Find("w");
    for (int64_t row = 0; row < kRows; row += 77) {
      const int64_t end = std::min(kRows, row + 77);
      std::vector<double> rows(static_cast<size_t>((end - row) * kColumns));
      REQUIRE((*file)->ReadRows(entry, row, end, rows).ok());
      CHECK(std::equal(rows.begin(), rows.end(), expected.begin() + row * kColumns));
    }
    std::vector<uint8_t> bytes(2 * 100);
    CHECK((*file)->ReadBytes(entry, 0, bytes).ok());
    CHECK((*file)->ReadBytes(entry, 1, bytes).code() == StatusCode::kOutOfRange);
    CHECK((*file)->ReadBytes(entry, entry.size_bytes - 100, bytes).code() ==
          StatusCode::kOutOfRange);
    std::vector<double> row(kColumns);
    CHECK((*file)->ReadRows(entry, kRows, kRows + 1, row).code() == StatusCode::kOutOfRange);
    CHECK((*file)->ReadElements(entry, -1, row).code() == StatusCode::kOutOfRange);
  }
}

}  // namespace
}  // namespace graft::converter
