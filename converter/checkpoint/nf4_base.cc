// SPDX-License-Identifier: Apache-2.0
// Blocks may begin in one row and end in another, so rows are read from where their first block
// begins to where their last one ends.
#include "converter/checkpoint/nf4_base.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "converter/checkpoint/tied_embeddings.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kScaleBlock = 256;

// QLoRA, appendix E: quantiles of a normal distribution, with an exact zero.
constexpr std::array<float, 16> kNf4 = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The value of an ascending table nearest to `x`; the lower one if x lies halfway.
template <typename Table>
float Nearest(const Table& table, float x) {
  size_t low = 0;
  size_t high = table.size() - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (x > (table[middle] + table[middle + 1]) * 0.5f) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return table[low];
}

// bitsandbytes' signed 8-bit type: seven decades, each cut twice as finely as the one below, and
// the middles of the cuts, of both signs; 0 and 1 besides.
std::vector<float> DynamicValues() {
  std::vector<float> values = {0.0f, 1.0f};
  constexpr int kDecades = 7;
  for (int decade = 0; decade < kDecades; ++decade) {
    const int cuts = 1 << decade;
    const double power = std::pow(10.0, decade - (kDecades - 1));
    for (int i = 0; i < cuts; ++i) {
      const auto low = static_cast<float>(0.1 + 0.9 * i / cuts);
      const auto high = static_cast<float>(0.1 + 0.9 * (i + 1) / cuts);
      const auto middle = static_cast<float>(power * static_cast<double>((low + high) / 2.0f));
      values.push_back(middle);
      values.push_back(-middle);
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

float LargestMagnitude(std::span<const double> block) {
  float largest = 0;
  for (const double value : block)
    largest = std::max(largest, std::fabs(static_cast<float>(value)));
  return largest;
}

double AsStored(DType dtype, float value) {
  if (dtype == DType::kBFloat16) return Bf16BitsToFloat(FloatToBf16Bits(value));
  if (dtype == DType::kFloat16) return HalfBitsToFloat(FloatToHalfBits(value));
  return value;
}

// Layers that hold one row for each token or position, and the heads transformers leaves alone.
bool IsEmbeddingOrHead(std::string_view module) {
  const size_t dot = module.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? module : module.substr(dot + 1);
  return module.find("embed") != std::string_view::npos || last == "wte" || last == "wpe" ||
         last == "relative_attention_bias" || TiedEmbeddings::IsHeadModule(module);
}

bool IsConv1D(std::string_view module) {
  return module.ends_with(".c_attn") || module.ends_with(".c_fc");
}

}  // namespace

Result<std::unique_ptr<Nf4Base>> Nf4Base::Create(const TensorSource& base, Nf4Options options) {
  std::unique_ptr<Nf4Base> nf4(new Nf4Base(base, options));
  constexpr std::string_view kLeaf = ".weight";
  for (const TensorInfo& info : base.tensors()) {
    const std::string_view name = info.name;
    if (info.shape.size() != 2 || !IsFloat(info.dtype) || !name.ends_with(kLeaf)) continue;
    const std::string_view module = name.substr(0, name.size() - kLeaf.size());
    if (IsConv1D(module)) {
      return Error(StatusCode::kUnsupported,
                   "tensor '%s': an NF4 base of transposed layers (Conv1D) is not supported",
                   info.name.c_str());
    }
    if (!IsEmbeddingOrHead(module)) nf4->rounded_.push_back(info.name);
  }
  if (nf4->rounded_.empty()) {
    return Error(StatusCode::kUnsupported, "the base has no linear weights to round to NF4");
  }
  return nf4;
}

bool Nf4Base::Rounds(std::string_view name) const {
  return std::binary_search(rounded_.begin(), rounded_.end(), name, std::less<>());
}

Result<const std::vector<float>*> Nf4Base::StoredScales(const TensorInfo& info) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = scales_.find(info.name);
  if (known != scales_.end()) return &known->second;
  const int64_t elements = info.rows() * info.row_elements();
  std::vector<float> scales(static_cast<size_t>((elements + kBlock - 1) / kBlock));
  // Rows in steps that are whole blocks, whatever the width.
  const int64_t step =
      kBlock * std::max<int64_t>(1, 4096 / std::max<int64_t>(1, info.row_elements()));
  std::vector<double> rows;
  for (int64_t row = 0; row < info.rows(); row += step) {
    const int64_t end = std::min(info.rows(), row + step);
    rows.resize(static_cast<size_t>((end - row) * info.row_elements()));
    GRAFT_RETURN_IF_ERROR(base_->ReadRows(info.name, row, end, rows));
    const auto first = static_cast<size_t>(row * info.row_elements() / kBlock);
    const std::span<const double> values(rows);
    for (size_t at = 0; at < rows.size(); at += kBlock) {
      scales[first + at / kBlock] =
          LargestMagnitude(values.subspan(at, std::min<size_t>(kBlock, rows.size() - at)));
    }
  }
  double sum = 0;
  for (const float scale : scales) sum += static_cast<double>(scale);
  const auto mean =
      static_cast<float>(sum / static_cast<double>(std::max<size_t>(1, scales.size())));
  static const std::vector<float> kDynamic = DynamicValues();
  for (float& scale : scales) scale -= mean;
  for (size_t begin = 0; begin < scales.size(); begin += kScaleBlock) {
    const std::span<float> block =
        std::span(scales).subspan(begin, std::min<size_t>(kScaleBlock, scales.size() - begin));
    float largest = 0;
    for (const float scale : block) largest = std::max(largest, std::fabs(scale));
    for (float& scale : block) {
      scale = largest == 0 ? mean : Nearest(kDynamic, scale / largest) * largest + mean;
    }
  }
  return &scales_.emplace(info.name, std::move(scales)).first->second;
}

Status Nf4Base::ReadRows(std::string_view name, int64_t row_begin, int64_t row_end,
                         std::span<double> out) const {
  if (!Rounds(name) || row_end <= row_begin) return base_->ReadRows(name, row_begin, row_end, out);
  const TensorInfo& info = *base_->Find(name);
  const int64_t width = info.row_elements();
  if (row_begin < 0 || row_end > info.rows() || width == 0)
    return base_->ReadRows(name, row_begin, row_end, out);
  // From the row in which the first block begins to the row in which the last one ends.
  const int64_t elements = info.rows() * width;
  const int64_t first = row_begin * width / kBlock * kBlock;
  const int64_t last = std::min(elements, (row_end * width + kBlock - 1) / kBlock * kBlock);
  const int64_t read_begin = first / width;
  const int64_t read_end = (last + width - 1) / width;
  thread_local std::vector<double> rows;
  rows.resize(static_cast<size_t>((read_end - read_begin) * width));
  GRAFT_RETURN_IF_ERROR(base_->ReadRows(name, read_begin, read_end, rows));
  const std::vector<float>* stored_scales = nullptr;
  if (options_.double_quantization) {
    GRAFT_ASSIGN_OR_RETURN(stored_scales, StoredScales(info));
  }
  for (int64_t at = first; at < last; at += kBlock) {
    const auto offset = static_cast<size_t>(at - read_begin * width);
    const std::span<double> block =
        std::span(rows).subspan(offset, static_cast<size_t>(std::min(kBlock, last - at)));
    // The codes come from the block's own scale; only what is multiplied back was stored in 8 bits.
    const float largest = LargestMagnitude(block);
    const float scale =
        stored_scales != nullptr ? (*stored_scales)[static_cast<size_t>(at / kBlock)] : largest;
    const float inverse = largest == 0 ? 0.0f : 1.0f / largest;
    for (double& value : block) {
      value = AsStored(info.dtype, Nearest(kNf4, static_cast<float>(value) * inverse) * scale);
    }
  }
  std::copy_n(rows.begin() + static_cast<ptrdiff_t>((row_begin - read_begin) * width),
              (row_end - row_begin) * width, out.begin());
  return OkStatus();
}

}  // namespace graft::converter
