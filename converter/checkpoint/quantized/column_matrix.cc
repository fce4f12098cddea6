// SPDX-License-Identifier: Apache-2.0
// Rows that lie across the file: columns are read in panels, and each thread keeps the panels it
// read last, for it will be asked for the rows beside these next.
#include "converter/checkpoint/quantized/column_matrix.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

constexpr int64_t kPanelBytes = int64_t{1} << 20;

// Some columns of a row-major tensor, row by row.
struct Panel {
  uint64_t owner = 0;
  int64_t begin = 0;
  int64_t end = 0;
  uint64_t used = 0;  // when
  std::vector<uint8_t> bytes;
};

// A tensor [height, width] of elements of some bytes.
class Columns {
 public:
  Columns(const StoredTensor& tensor, int64_t height, int64_t width)
      : tensor_(tensor),
        height_(height),
        width_(width),
        element_bytes_(DTypeBytes(tensor.dtype())),
        step_(std::clamp<int64_t>(kPanelBytes / std::max<int64_t>(1, height * element_bytes_), 1,
                                  std::max<int64_t>(1, width))) {
    static std::atomic<uint64_t> owners{0};
    owner_ = ++owners;
  }

  int64_t height() const { return height_; }
  // The panel that holds a column; good until the thread's next call.
  Result<const Panel*> At(int64_t column) const {
    static constexpr size_t kPanels = 3;  // codes, zeros and scales of one matrix
    thread_local std::array<Panel, kPanels> panels;
    thread_local uint64_t now = 0;
    const int64_t begin = column / step_ * step_;
    Panel* oldest = panels.data();
    for (Panel& panel : panels) {
      if (panel.owner == owner_ && panel.begin == begin) {
        panel.used = ++now;
        return &panel;
      }
      if (panel.used < oldest->used) oldest = &panel;
    }
    oldest->owner = 0;  // should reading fail
    GRAFT_RETURN_IF_ERROR(Fill(begin, std::min(width_, begin + step_), oldest));
    oldest->owner = owner_;
    oldest->used = ++now;
    return oldest;
  }

 private:
  Status Fill(int64_t begin, int64_t end, Panel* panel) const {
    panel->begin = begin;
    panel->end = end;
    const auto row_bytes = static_cast<size_t>((end - begin) * element_bytes_);
    panel->bytes.resize(row_bytes * static_cast<size_t>(height_));
    const std::span<uint8_t> bytes(panel->bytes);
    if (end - begin == width_) return tensor_.file->ReadBytes(*tensor_.entry, 0, bytes);
    for (int64_t y = 0; y < height_; ++y) {
      GRAFT_RETURN_IF_ERROR(tensor_.file->ReadBytes(
          *tensor_.entry, static_cast<uint64_t>((y * width_ + begin) * element_bytes_),
          bytes.subspan(static_cast<size_t>(y) * row_bytes, row_bytes)));
    }
    return OkStatus();
  }

  StoredTensor tensor_;
  int64_t height_;
  int64_t width_;
  int64_t element_bytes_;
  int64_t step_;
  uint64_t owner_ = 0;
};

uint32_t WordAt(const Panel& panel, int64_t y, int64_t column) {
  const int64_t width = panel.end - panel.begin;
  const uint8_t* at =
      panel.bytes.data() + static_cast<size_t>(y * width + column - panel.begin) * 4;
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 |
         static_cast<uint32_t>(at[2]) << 16 | static_cast<uint32_t>(at[3]) << 24;
}

class Transposed final : public NumberMatrix {
 public:
  Transposed(const StoredTensor& tensor, int64_t rows, int64_t columns)
      : NumberMatrix(rows, columns), source_(tensor, columns, rows), dtype_(tensor.dtype()) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    const auto element_bytes = static_cast<size_t>(DTypeBytes(dtype_));
    const auto width = static_cast<size_t>(columns());
    for (int64_t row = row_begin; row < row_end;) {
      GRAFT_ASSIGN_OR_RETURN(const Panel* panel, source_.At(row));
      const int64_t end = std::min(row_end, panel->end);
      const auto count = static_cast<size_t>(end - row);
      const auto panel_width = static_cast<size_t>(panel->end - panel->begin);
      std::vector<double> numbers(count);
      for (size_t y = 0; y < width; ++y) {
        const size_t at = y * panel_width + static_cast<size_t>(row - panel->begin);
        Widen(dtype_, panel->bytes.data() + at * element_bytes, count, numbers.data());
        double* to = out.data() + static_cast<size_t>(row - row_begin) * width + y;
        for (size_t i = 0; i < count; ++i) to[i * width] = numbers[i];
      }
      row = end;
    }
    return OkStatus();
  }

 private:
  Columns source_;
  DType dtype_;
};

class CodesDown final : public NumberMatrix {
 public:
  CodesDown(const StoredTensor& tensor, int64_t rows, int64_t columns, const CodeTable& table)
      : NumberMatrix(rows, columns),
        source_(tensor, (columns * table.bits + 31) / 32, rows),
        table_(table) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    const auto width = static_cast<size_t>(columns());
    for (int64_t row = row_begin; row < row_end; ++row) {
      GRAFT_ASSIGN_OR_RETURN(const Panel* panel, source_.At(row));
      double* to = out.data() + static_cast<size_t>(row - row_begin) * width;
      Unpack(*panel, row, std::span(to, width));
    }
    return OkStatus();
  }

 private:
  void Unpack(const Panel& panel, int64_t row, std::span<double> out) const {
    const uint64_t mask = (uint64_t{1} << table_.bits) - 1;
    uint64_t bits = 0;  // not taken yet
    int held = 0;
    int64_t y = 0;
    for (double& number : out) {
      if (held < table_.bits) {
        bits |= static_cast<uint64_t>(WordAt(panel, y++, row)) << held;
        held += 32;
      }
      number = table_.values[bits & mask];
      bits >>= table_.bits;
      held -= table_.bits;
    }
  }

  Columns source_;
  CodeTable table_;
};

class CodesAlong final : public NumberMatrix {
 public:
  CodesAlong(const StoredTensor& tensor, int64_t rows, int64_t columns, const CodeTable& table,
             const CodeOrder& order)
      : NumberMatrix(rows, columns),
        words_((rows * table.bits + 31) / 32),
        source_(tensor, columns, words_),
        table_(table),
        order_(order) {}

  Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const override {
    const auto width = static_cast<size_t>(columns());
    const uint32_t mask = (uint32_t{1} << table_.bits) - 1;
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t place = row / 8 * 8 + order_[static_cast<size_t>(row % 8)];
      const int64_t bit = place * table_.bits;
      const int64_t word = bit / 32;
      const auto shift = static_cast<int>(bit % 32);
      double* to = out.data() + static_cast<size_t>(row - row_begin) * width;
      GRAFT_ASSIGN_OR_RETURN(const Panel* panel, source_.At(word));
      std::vector<uint32_t> codes(width);
      for (size_t y = 0; y < width; ++y) {
        codes[y] = WordAt(*panel, static_cast<int64_t>(y), word) >> shift;
      }
      if (shift + table_.bits > 32) {
        GRAFT_ASSIGN_OR_RETURN(const Panel* next, source_.At(word + 1));
        for (size_t y = 0; y < width; ++y) {
          codes[y] |= WordAt(*next, static_cast<int64_t>(y), word + 1) << (32 - shift);
        }
      }
      for (size_t y = 0; y < width; ++y) to[y] = table_.values[codes[y] & mask];
    }
    return OkStatus();
  }

 private:
  int64_t words_;
  Columns source_;
  CodeTable table_;
  CodeOrder order_;
};

}  // namespace

std::unique_ptr<NumberMatrix> TransposedMatrix(const StoredTensor& tensor, int64_t rows,
                                               int64_t columns) {
  return std::make_unique<Transposed>(tensor, rows, columns);
}

std::unique_ptr<NumberMatrix> TransposedCodesDown(const StoredTensor& tensor, int64_t rows,
                                                  int64_t columns, const CodeTable& table) {
  return std::make_unique<CodesDown>(tensor, rows, columns, table);
}

std::unique_ptr<NumberMatrix> TransposedCodesAlong(const StoredTensor& tensor, int64_t rows,
                                                   int64_t columns, const CodeTable& table,
                                                   const CodeOrder& order) {
  return std::make_unique<CodesAlong>(tensor, rows, columns, table, order);
}

}  // namespace graft::converter
