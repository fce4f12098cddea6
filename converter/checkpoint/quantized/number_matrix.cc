// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/quantized/number_matrix.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

uint64_t Word(const uint8_t* bytes, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

class Plain final : public NumberMatrix {
 public:
  Plain(const StoredTensor& tensor, int64_t rows, int64_t columns)
      : NumberMatrix(rows, columns), tensor_(tensor) {}

  Status Read(int64_t row_begin, int64_t /*row_end*/, std::span<double> out) const override {
    return tensor_.file->ReadElements(*tensor_.entry, row_begin * columns(), out);
  }

 private:
  StoredTensor tensor_;
};

class Rows final : public NumberMatrix {
 public:
  Rows(const StoredTensor& tensor, int64_t rows, int64_t columns, int64_t row_bytes, CodeUnit unit,
       const CodeTable& table)
      : NumberMatrix(rows, columns),
        tensor_(tensor),
        row_bytes_(row_bytes),
        unit_(unit),
        table_(table) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    thread_local std::vector<uint8_t> stored;
    stored.resize(static_cast<size_t>((row_end - row_begin) * row_bytes_));
    GRAFT_RETURN_IF_ERROR(tensor_.file->ReadBytes(
        *tensor_.entry, static_cast<uint64_t>(row_begin * row_bytes_), stored));
    const auto width = static_cast<size_t>(columns());
    for (size_t row = 0; row * width < out.size(); ++row) {
      Unpack(std::span(stored).subspan(row * static_cast<size_t>(row_bytes_),
                                       static_cast<size_t>(row_bytes_)),
             out.subspan(row * width, width));
    }
    return OkStatus();
  }

 private:
  void Unpack(std::span<const uint8_t> bytes, std::span<double> out) const {
    const auto unit_bytes = static_cast<size_t>(unit_.bytes);
    const auto unit_codes = static_cast<size_t>(unit_.codes);
    const uint64_t mask = (uint64_t{1} << table_.bits) - 1;
    size_t at = 0;
    for (size_t i = 0; i < out.size(); i += unit_codes, at += unit_bytes) {
      uint64_t word = Word(bytes.data() + at, std::min(unit_bytes, bytes.size() - at));
      const size_t count = std::min(unit_codes, out.size() - i);
      for (size_t k = 0; k < count; ++k, word >>= table_.bits) {
        out[i + k] = table_.values[word & mask];
      }
    }
  }

  StoredTensor tensor_;
  int64_t row_bytes_;
  CodeUnit unit_;
  CodeTable table_;
};

class Down final : public NumberMatrix {
 public:
  Down(const StoredTensor& tensor, int64_t rows, int64_t columns, const CodeTable& table)
      : NumberMatrix(rows, columns), tensor_(tensor), table_(table) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    if (out.empty()) return OkStatus();
    const auto bits = static_cast<uint64_t>(table_.bits);
    const auto width = static_cast<uint64_t>(columns());
    const uint64_t first_word = static_cast<uint64_t>(row_begin) * bits / 32;
    const uint64_t end_word = (static_cast<uint64_t>(row_end) * bits + 31) / 32;
    std::vector<uint8_t> stored(static_cast<size_t>((end_word - first_word) * width * 4));
    GRAFT_RETURN_IF_ERROR(tensor_.file->ReadBytes(*tensor_.entry, first_word * width * 4, stored));
    const uint64_t mask = (uint64_t{1} << bits) - 1;
    for (size_t i = 0; i < out.size(); ++i) {
      const uint64_t bit = (static_cast<uint64_t>(row_begin) + i / width) * bits;
      const uint64_t word = bit / 32 - first_word;
      const uint8_t* const at = stored.data() + (word * width + i % width) * 4;
      uint64_t pair = Word(at, 4);
      if (bit % 32 + bits > 32) pair |= Word(at + width * 4, 4) << 32;
      out[i] = table_.values[pair >> (bit % 32) & mask];
    }
    return OkStatus();
  }

 private:
  StoredTensor tensor_;
  CodeTable table_;
};

class Rescaled final : public NumberMatrix {
 public:
  Rescaled(std::unique_ptr<NumberMatrix> matrix, Rescale how, double by)
      : NumberMatrix(matrix->rows(), matrix->columns()),
        matrix_(std::move(matrix)),
        how_(how),
        by_(by) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    GRAFT_RETURN_IF_ERROR(matrix_->Read(row_begin, row_end, out));
    for (double& number : out) {
      const double exact = how_ == Rescale::kDivide ? number / by_ : number * by_;
      number = static_cast<double>(static_cast<float>(exact));
    }
    return OkStatus();
  }

 private:
  std::unique_ptr<NumberMatrix> matrix_;
  Rescale how_;
  double by_;
};

}  // namespace

CodeTable IntegerCodes(int bits, int zero) {
  CodeTable table{bits, {}};
  for (int code = 0; code < 1 << bits; ++code) {
    table.values[static_cast<size_t>(code)] = code - zero;
  }
  return table;
}

CodeTable Float4Codes() {
  constexpr std::array<double, 8> kMagnitudes = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
  CodeTable table{4, {}};
  for (size_t i = 0; i < kMagnitudes.size(); ++i) {
    table.values[i] = kMagnitudes[i];
    table.values[i + 8] = -kMagnitudes[i];
  }
  return table;
}

CodeTable PowerOfTwoCodes() {
  CodeTable table{8, {}};
  for (size_t code = 0; code < 256; ++code) {
    table.values[code] = Float8E8M0BitsToFloat(static_cast<uint8_t>(code));
  }
  return table;
}

CodeUnit DenseUnit(int bits) {
  switch (bits) {
    case 3:
    case 5:
    case 7:
      return {bits, 8};
    case 6:
      return {3, 4};
    default:
      return {1, 8 / bits};
  }
}

std::unique_ptr<NumberMatrix> PlainMatrix(const StoredTensor& tensor, int64_t rows,
                                          int64_t columns) {
  return std::make_unique<Plain>(tensor, rows, columns);
}

std::unique_ptr<NumberMatrix> PackedRows(const StoredTensor& tensor, int64_t rows, int64_t columns,
                                         int64_t row_bytes, CodeUnit unit, const CodeTable& table) {
  return std::make_unique<Rows>(tensor, rows, columns, row_bytes, unit, table);
}

std::unique_ptr<NumberMatrix> PackedDown(const StoredTensor& tensor, int64_t rows, int64_t columns,
                                         const CodeTable& table) {
  return std::make_unique<Down>(tensor, rows, columns, table);
}

std::unique_ptr<NumberMatrix> RescaledMatrix(std::unique_ptr<NumberMatrix> matrix, Rescale how,
                                             double by) {
  return std::make_unique<Rescaled>(std::move(matrix), how, by);
}

}  // namespace graft::converter
