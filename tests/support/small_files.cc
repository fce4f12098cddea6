// SPDX-License-Identifier: Apache-2.0
// The makers behind small_files.h; any failure ends the test case.
#include "tests/support/small_files.h"

#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include <doctest/doctest.h>

#include "converter/formats/safetensors_writer.h"
#include "converter/tensors/float_kernels.h"

namespace graft::converter {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "graft_test_XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

SmallTensor RandomTensor(std::vector<int64_t> shape, uint32_t seed, bool coarse) {
  SmallTensor tensor;
  tensor.shape = std::move(shape);
  size_t count = 1;
  for (const int64_t dimension : tensor.shape) count *= static_cast<size_t>(dimension);
  std::mt19937 engine(seed);
  // 2^-23 and 2^-6 steps: the engine's own numbers, so that every standard library gives the same.
  const int64_t steps = coarse ? 64 : 8388608;
  for (size_t i = 0; i < count; ++i) {
    const int64_t step = static_cast<int64_t>(engine()) % (2 * steps + 1) - steps;
    tensor.values.push_back(static_cast<double>(step) / static_cast<double>(steps));
  }
  return tensor;
}

void WriteTensors(const fs::path& file, const SmallTensors& tensors,
                  std::vector<std::pair<std::string, std::string>> metadata) {
  std::vector<TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) infos.push_back({name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::Create(file, infos, metadata);
  REQUIRE_MESSAGE(writer.ok(), writer.status().message());
  size_t index = 0;
  for (const auto& [name, tensor] : tensors) {
    std::vector<uint8_t> stored(tensor.values.size() *
                                static_cast<size_t>(DTypeBytes(tensor.dtype)));
    if (IsFloat(tensor.dtype)) {
      Narrow(tensor.dtype, tensor.values.data(), tensor.values.size(), stored.data());
    } else {
      const size_t bytes = static_cast<size_t>(DTypeBytes(tensor.dtype));
      for (size_t i = 0; i < stored.size(); ++i) {
        const auto whole = static_cast<int64_t>(tensor.values[i / bytes]);
        stored[i] = static_cast<uint8_t>(static_cast<uint64_t>(whole) >> (i % bytes * 8));
      }
    }
    REQUIRE((*writer)->WriteAt(index++, 0, stored).ok());
  }
  REQUIRE((*writer)->Finish().ok());
}

void WriteText(const fs::path& file, std::string_view text) {
  std::ofstream out(file, std::ios::binary);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  REQUIRE(out.good());
}

std::string ReadBytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  REQUIRE_MESSAGE(in.good(), file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string RawSafetensors(std::string_view header, std::string_view data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  return bytes.append(header).append(data);
}

std::vector<double> ReadAll(const TensorSource& source, std::string_view name, int64_t block) {
  const TensorInfo* info = source.Find(name);
  REQUIRE_MESSAGE(info != nullptr, std::string(name));
  std::vector<double> values(static_cast<size_t>(info->rows() * info->row_elements()));
  for (int64_t row = 0; row < info->rows(); row += block) {
    const int64_t end = std::min(info->rows(), row + block);
    const Status status = source.ReadRows(
        name, row, end, std::span(values).subspan(static_cast<size_t>(row * info->row_elements())));
    REQUIRE_MESSAGE(status.ok(), status.message());
  }
  return values;
}

void CopyFolder(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.is_regular_file()) fs::copy_file(entry.path(), to / entry.path().filename());
    if (entry.is_directory()) CopyFolder(entry.path(), to / entry.path().filename());
  }
}

fs::path TestData(std::string_view name) { return fs::path(GRAFT_TEST_DATA) / name; }

}  // namespace graft::converter
