// SPDX-License-Identifier: Apache-2.0
#include "converter/sensitivity/merged_numbers.h"

#include <algorithm>

#include "converter/base/parallel.h"
#include "converter/quantize/encode.h"

namespace graft::converter {
namespace {

constexpr size_t kRowsTogether = 16;

}  // namespace

Result<std::vector<Scratch>> ReadMergedNumbers(std::span<const Constant> constants,
                                               const TensorSource& source,
                                               const std::filesystem::path& folder, int threads) {
  std::vector<Scratch> all(constants.size());
  for (size_t i = 0; i < constants.size(); ++i) {
    const Constant& constant = constants[i];
    const int64_t rows = constant.rows(), width = constant.row_elements();
    GRAFT_ASSIGN_OR_RETURN(all[i], Scratch::Create(folder, static_cast<size_t>(rows * width)));
    const int64_t step = RowsPerRead(constant);
    GRAFT_RETURN_IF_ERROR(ParallelFor(threads, (rows + step - 1) / step, [&](int64_t task) {
      const int64_t begin = task * step, end = std::min(rows, begin + step);
      std::vector<double> merged(static_cast<size_t>((end - begin) * width));
      GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source, begin, end, merged, {}));
      std::transform(merged.begin(), merged.end(), all[i].numbers().data() + begin * width,
                     [](double number) { return static_cast<float>(number); });
      return OkStatus();
    }));
  }
  return all;
}

Status RoundNumbers(std::span<const float> numbers, size_t width, const StoredFormat& format,
                    int threads, std::span<float> stored) {
  const size_t rows = numbers.size() / width;
  const auto row_elements = static_cast<int64_t>(width);
  const auto tasks = static_cast<int64_t>((rows + kRowsTogether - 1) / kRowsTogether);
  return ParallelFor(threads, tasks, [&](int64_t task) {
    const size_t begin = static_cast<size_t>(task) * kRowsTogether;
    const size_t count = std::min(kRowsTogether, rows - begin);
    const std::span<const float> from = numbers.subspan(begin * width, count * width);
    const std::vector<double> exact(from.begin(), from.end());
    std::vector<double> rounded(exact.size());
    std::vector<uint8_t> data(count * static_cast<size_t>(format.RowDataBytes(row_elements)));
    std::vector<uint8_t> scales(count * static_cast<size_t>(format.RowScaleBytes(row_elements)));
    GRAFT_RETURN_IF_ERROR(
        EncodeRows(format, exact, row_elements, data.data(), scales.data(), rounded));
    std::transform(rounded.begin(), rounded.end(), stored.data() + begin * width,
                   [](double number) { return static_cast<float>(number); });
    return OkStatus();
  });
}

}  // namespace graft::converter
