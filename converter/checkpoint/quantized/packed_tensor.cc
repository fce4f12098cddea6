// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/packed_tensor.h"

#include <algorithm>

namespace graft::converter {
namespace {

class Scaled final : public PackedTensor {
 public:
  Scaled(TensorInfo info, std::unique_ptr<NumberMatrix> codes, GroupScales scales)
      : PackedTensor(std::move(info)), codes_(std::move(codes)), scales_(std::move(scales)) {}

 protected:
  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    // A row of the tensor may be several of the codes, if it has more dimensions.
    const int64_t each = info().row_elements() / codes_->columns();
    const int64_t begin = row_begin * each;
    const int64_t end = row_end * each;
    GRAFT_RETURN_IF_ERROR(codes_->Read(begin, end, out));
    const int64_t first = begin / scales_.rows_each;
    const int64_t last = (end - 1) / scales_.rows_each + 1;
    const int64_t groups = scales_.scale->columns();
    thread_local std::vector<double> scale, zero, bias;
    const auto read = [&](const NumberMatrix* matrix, std::vector<double>* numbers) -> Status {
      numbers->resize(static_cast<size_t>((last - first) * groups));
      return matrix == nullptr ? OkStatus() : matrix->Read(first, last, *numbers);
    };
    GRAFT_RETURN_IF_ERROR(read(scales_.scale.get(), &scale));
    GRAFT_RETURN_IF_ERROR(read(scales_.zero.get(), &zero));
    GRAFT_RETURN_IF_ERROR(read(scales_.bias.get(), &bias));
    for (int64_t row = begin; row < end; ++row) {
      const auto at = static_cast<size_t>((row / scales_.rows_each - first) * groups);
      const auto width = static_cast<size_t>(codes_->columns());
      ApplyTo(out.subspan(static_cast<size_t>(row - begin) * width, width), scale.data() + at,
              zero.data() + at, bias.data() + at);
    }
    return OkStatus();
  }

 private:
  void ApplyTo(std::span<double> numbers, const double* scale, const double* zero,
               const double* bias) const {
    const auto apply = [&](double* number, size_t group) {
      double value = *number;
      if (scales_.zero != nullptr) value -= zero[group];
      value *= scale[group];
      if (scales_.bias != nullptr) value += bias[group];
      *number = value;
    };
    if (!scales_.group_of_column.empty()) {
      for (size_t i = 0; i < numbers.size(); ++i) {
        apply(&numbers[i], static_cast<size_t>(scales_.group_of_column[i]));
      }
      return;
    }
    const auto each = static_cast<size_t>(scales_.columns_each);
    for (size_t begin = 0, group = 0; begin < numbers.size(); begin += each, ++group) {
      const size_t end = std::min(numbers.size(), begin + each);
      for (size_t i = begin; i < end; ++i) apply(&numbers[i], group);
    }
  }

  std::unique_ptr<NumberMatrix> codes_;
  GroupScales scales_;
};

class Unscaled final : public PackedTensor {
 public:
  Unscaled(TensorInfo info, std::unique_ptr<NumberMatrix> codes)
      : PackedTensor(std::move(info)), codes_(std::move(codes)) {}

 protected:
  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    const int64_t each = info().row_elements() / codes_->columns();
    return codes_->Read(row_begin * each, row_end * each, out);
  }

 private:
  std::unique_ptr<NumberMatrix> codes_;
};

class Transposed final : public PackedTensor {
 public:
  Transposed(TensorInfo info, std::unique_ptr<PackedTensor> stored)
      : PackedTensor(std::move(info)), stored_(std::move(stored)) {}

 protected:
  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    std::vector<double> numbers(static_cast<size_t>(info().row_elements()));
    const auto height = static_cast<size_t>(info().shape[1]);
    const auto width = static_cast<size_t>(info().shape[2]);
    for (int64_t row = row_begin; row < row_end; ++row) {
      GRAFT_RETURN_IF_ERROR(stored_->ReadRows(row, row + 1, numbers));
      double* to = out.data() + static_cast<size_t>(row - row_begin) * numbers.size();
      for (size_t x = 0; x < width; ++x) {
        for (size_t y = 0; y < height; ++y) to[y * width + x] = numbers[x * height + y];
      }
    }
    return OkStatus();
  }

 private:
  std::unique_ptr<PackedTensor> stored_;
};

}  // namespace

Status PackedTensor::ReadRows(int64_t row_begin, int64_t row_end, std::span<double> out) const {
  if (row_begin < 0 || row_end < row_begin || row_end > info_.rows()) {
    return Error(StatusCode::kOutOfRange, "tensor '%s' has %lld rows; %lld to %lld were asked for",
                 info_.name.c_str(), static_cast<long long>(info_.rows()),
                 static_cast<long long>(row_begin), static_cast<long long>(row_end));
  }
  const auto elements = static_cast<size_t>((row_end - row_begin) * info_.row_elements());
  if (out.size() < elements) {
    return Error(StatusCode::kInternal, "tensor '%s': the buffer holds %zu of %zu elements",
                 info_.name.c_str(), out.size(), elements);
  }
  return elements == 0 ? OkStatus() : Read(row_begin, row_end, out.first(elements));
}

std::unique_ptr<PackedTensor> ScaledTensor(TensorInfo info, std::unique_ptr<NumberMatrix> codes,
                                           GroupScales scales) {
  return std::make_unique<Scaled>(std::move(info), std::move(codes), std::move(scales));
}

std::unique_ptr<PackedTensor> UnscaledTensor(TensorInfo info, std::unique_ptr<NumberMatrix> codes) {
  return std::make_unique<Unscaled>(std::move(info), std::move(codes));
}

std::unique_ptr<PackedTensor> TransposedEach(TensorInfo info,
                                             std::unique_ptr<PackedTensor> stored) {
  return std::make_unique<Transposed>(std::move(info), std::move(stored));
}

}  // namespace graft::converter
