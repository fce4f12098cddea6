// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/write_pack.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "converter/base/cancellation.h"
#include "converter/base/output_file.h"
#include "converter/base/parallel.h"
#include "converter/packs/entropy_encoder.h"
#include "converter/packs/plan_pack.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using schema::kZeros;
using schema::PackBlock;
using schema::PackStep;
using schema::PackUnit;

// Blocks that are coded before any of them is written.
constexpr size_t kBlocksForEachThread = 32;

constexpr uint8_t kOnZeros = 0x08;
constexpr uint8_t kBeginsBlock = 0x10;

template <typename Number>
void Subtract(const uint8_t* result, const uint8_t* base, size_t bytes, uint8_t* out) {
  for (size_t i = 0; i + sizeof(Number) <= bytes; i += sizeof(Number)) {
    Number a;
    Number b;
    std::memcpy(&a, result + i, sizeof(a));
    std::memcpy(&b, base + i, sizeof(b));
    a = static_cast<Number>(a - b);
    std::memcpy(out + i, &a, sizeof(a));
  }
}

void SubtractNibbles(const uint8_t* result, const uint8_t* base, size_t bytes, uint8_t* out) {
  for (size_t i = 0; i < bytes; ++i) {
    const unsigned low = (result[i] - base[i]) & 0x0Fu;
    const unsigned high = ((result[i] >> 4) - (base[i] >> 4)) & 0x0Fu;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
}

// The reverse of schema::AddDifferences.
void PutDifferences(PackUnit unit, const uint8_t* result, const uint8_t* base, size_t bytes,
                    std::vector<uint8_t>* out) {
  const size_t at = out->size();
  out->resize(at + bytes);
  uint8_t* to = out->data() + at;
  if (base == nullptr) {
    std::memcpy(to, result, bytes);
  } else if (unit == PackUnit::kNibbles) {
    SubtractNibbles(result, base, bytes, to);
  } else if (unit == PackUnit::kPairs) {
    Subtract<uint16_t>(result, base, bytes, to);
  } else if (unit == PackUnit::kQuads) {
    Subtract<uint32_t>(result, base, bytes, to);
  } else {
    Subtract<uint8_t>(result, base, bytes, to);
  }
}

struct CodedBlock {
  std::vector<uint8_t> coded;
  uint64_t codes = 0;
  uint64_t changed_codes = 0;
  double entropy_bytes = 0;
};

double EntropyBytesOf(const std::array<uint64_t, 256>& counts) {
  uint64_t all = 0;
  for (const uint64_t count : counts) all += count;
  double bits = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    bits += static_cast<double>(count) *
            std::log2(static_cast<double>(all) / static_cast<double>(count));
  }
  return bits / 8;
}

// Of a plane of a block's differences: of codes of 4 bits one by one, of all else byte by byte.
double EntropyBytesOf(std::span<const uint8_t> plane, PackUnit unit) {
  std::array<uint64_t, 256> counts{};
  for (const uint8_t byte : plane) {
    if (unit == PackUnit::kNibbles) {
      ++counts[byte & 0x0F];
      ++counts[byte >> 4];
    } else {
      ++counts[byte];
    }
  }
  return EntropyBytesOf(counts);
}

void CountCodes(std::span<const uint8_t> differences, PackUnit unit, CodedBlock* block) {
  const size_t each = unit == PackUnit::kNibbles ? 2 : 1;
  block->codes += differences.size() * each;
  for (const uint8_t byte : differences) {
    const bool is_first = (unit == PackUnit::kNibbles ? byte & 0x0F : byte) != 0;
    const bool is_second = each == 2 && byte >> 4 != 0;
    block->changed_codes += (is_first ? 1 : 0) + (is_second ? 1 : 0);
  }
}

struct Range {
  uint64_t begin = 0, end = 0;
};

// Where codes of 8 bits lie, which share their unit with all that is no number; ascending.
std::vector<Range> RangesOfByteCodes(const schema::VerifiedModel& model) {
  std::vector<Range> ranges;
  for (const fb::Tensor* tensor : *model.model().tensors()) {
    if (tensor->format() != fb::TensorFormat::Int8PerChannel) continue;
    const std::span<const uint8_t> codes = model.tensor_bytes(*tensor).data;
    const auto begin = static_cast<uint64_t>(codes.data() - model.file_bytes().data());
    ranges.push_back({begin, begin + codes.size()});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  return ranges;
}

class PackWriter {
 public:
  PackWriter(const schema::VerifiedModel& base, const schema::VerifiedModel& result,
             const PackOptions& options)
      : base_(base), result_(result), options_(options), byte_codes_(RangesOfByteCodes(result)) {}

  Result<PackOutcome> Run() {
    GRAFT_ASSIGN_OR_RETURN(plan_, PlanPack(base_, result_));
    GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<OutputFile> file,
                           OutputFile::Create(options_.path, 0));
    GRAFT_RETURN_IF_ERROR(WriteBlocks(*file));
    GRAFT_RETURN_IF_ERROR(WriteEnds(*file));
    GRAFT_RETURN_IF_ERROR(file->SetSize(outcome_.pack_bytes));
    GRAFT_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file->Map());
    if (Status status = Check(bytes); !status.ok()) {
      return status.WithContext("does not pass its own check").WithContext(options_.path.string());
    }
    GRAFT_RETURN_IF_ERROR(file->Commit());
    return outcome_;
  }

 private:
  Status WriteBlocks(OutputFile& file) {
    const size_t together =
        kBlocksForEachThread * static_cast<size_t>(std::max(options_.threads, 1));
    std::vector<CodedBlock> coded;
    for (size_t first = 0; first < plan_.blocks.size(); first += together) {
      coded.assign(std::min(together, plan_.blocks.size() - first), {});
      GRAFT_RETURN_IF_ERROR(ParallelFor(
          options_.threads, static_cast<int64_t>(coded.size()), [&](int64_t i) -> Status {
            const auto at = static_cast<size_t>(i);
            Encode(plan_.blocks[first + at], static_cast<uint32_t>(first + at), &coded[at]);
            return OkStatus();
          }));
      for (size_t i = 0; i < coded.size(); ++i) {
        GRAFT_RETURN_IF_ERROR(Place(coded[i], &plan_.blocks[first + i], file));
      }
    }
    return OkStatus();
  }

  void Encode(const PackBlock& block, uint32_t index, CodedBlock* out) const {
    std::vector<uint8_t> differences;
    differences.reserve(block.result_bytes);
    for (uint32_t i = block.first_step; i < block.end_step; ++i) {
      const PackStep& step = plan_.steps[i];
      if (step.block != index) continue;
      const uint8_t* base =
          step.base_offset == kZeros ? nullptr : base_.file_bytes().data() + step.base_offset;
      PutDifferences(step.unit, result_.file_bytes().data() + step.offset, base,
                     static_cast<size_t>(step.bytes), &differences);
      if (IsOfCodes(step)) {
        CountCodes(std::span(differences).last(static_cast<size_t>(step.bytes)), step.unit, out);
      }
    }
    const size_t planes = schema::PlanesOf(block.unit);
    std::vector<uint8_t> plane(differences.size() / planes);
    std::vector<uint8_t> section;
    for (size_t p = 0; p < planes; ++p) {
      for (size_t i = 0; i < plane.size(); ++i) plane[i] = differences[i * planes + p];
      out->entropy_bytes += EntropyBytesOf(plane, block.unit);
      section.clear();
      EncodeBytes(plane, &section);
      PutNumber(section.size(), &out->coded);
      out->coded.insert(out->coded.end(), section.begin(), section.end());
    }
  }

  bool IsOfCodes(const PackStep& step) const {
    if (step.unit != PackUnit::kBytes) return step.unit == PackUnit::kNibbles;
    const auto behind =
        std::upper_bound(byte_codes_.begin(), byte_codes_.end(), step.offset,
                         [](uint64_t at, const Range& range) { return at < range.end; });
    return behind != byte_codes_.end() && behind->begin <= step.offset;
  }

  Status Place(const CodedBlock& coded, PackBlock* block, OutputFile& file) {
    block->coded_offset = end_;
    block->coded_bytes = static_cast<uint32_t>(coded.coded.size());
    block->checksum = schema::Checksum64(coded.coded);
    GRAFT_RETURN_IF_ERROR(file.WriteAt(end_, coded.coded));
    end_ += coded.coded.size();
    outcome_.codes += coded.codes;
    outcome_.changed_codes += coded.changed_codes;
    outcome_.entropy_bytes += coded.entropy_bytes;
    done_ += block->result_bytes;
    if (options_.progress) {
      options_.progress(static_cast<int64_t>(done_),
                        static_cast<int64_t>(result_.file_bytes().size()));
    }
    return OkStatus();
  }

  std::vector<uint8_t> Index() {
    std::vector<uint8_t> index;
    PutNumber(plan_.steps.size(), &index);
    uint64_t base_end = 0;
    uint32_t next_block = 0;
    for (const PackStep& step : plan_.steps) {
      const bool is_new = step.base_offset == kZeros;
      // Blocks are numbered in the order of their first steps.
      const bool begins = step.block == next_block;
      index.push_back(static_cast<uint8_t>(static_cast<uint8_t>(step.unit) |
                                           (is_new ? kOnZeros : 0) | (begins ? kBeginsBlock : 0)));
      PutNumber(step.bytes, &index);
      if (!is_new) {
        PutSigned(static_cast<int64_t>(step.base_offset - base_end), &index);
        base_end = step.base_offset + step.bytes;
      }
      if (begins) {
        const PackBlock& block = plan_.blocks[next_block++];
        PutNumber(block.coded_bytes, &index);
        for (int i = 0; i < 8; ++i) {
          index.push_back(static_cast<uint8_t>(block.checksum >> (8 * i)));
        }
      }
      uint64_t& kind = step.unit == PackUnit::kNone ? outcome_.same_bytes
                       : is_new                     ? outcome_.new_bytes
                                                    : outcome_.changed_bytes;
      kind += step.bytes;
    }
    return index;
  }

  Status WriteEnds(OutputFile& file) {
    const std::vector<uint8_t> index = Index();
    if (index.size() > schema::kMaxPackIndexBytes) {
      return Status(StatusCode::kUnsupported, "the pack's index would be too large");
    }
    schema::PackPreamble preamble;
    preamble.base_bytes = base_.file_bytes().size();
    preamble.base_identity = base_.identity();
    preamble.result_bytes = result_.file_bytes().size();
    preamble.result_identity = result_.identity();
    preamble.result_hash = schema::ContentHash(result_.file_bytes(), {});
    preamble.index_offset = end_;
    preamble.index_bytes = index.size();
    preamble.index_checksum = schema::Checksum64(index);
    preamble.pack_bytes = end_ + index.size();
    GRAFT_RETURN_IF_ERROR(file.WriteAt(end_, index));
    GRAFT_RETURN_IF_ERROR(file.WriteAt(0, schema::EncodePackPreamble(preamble)));
    outcome_.pack_bytes = preamble.pack_bytes;
    outcome_.result_bytes = preamble.result_bytes;
    outcome_.base_identity = preamble.base_identity;
    outcome_.result_identity = preamble.result_identity;
    return OkStatus();
  }

  // What a device will read makes the result again.
  Status Check(std::span<const uint8_t> bytes) const {
    GRAFT_ASSIGN_OR_RETURN(const schema::Pack pack, schema::Pack::Open(bytes, base_));
    return ParallelFor(
        options_.threads, static_cast<int64_t>(pack.blocks().size()), [&](int64_t i) -> Status {
          thread_local schema::PackWorkspace workspace;
          const PackBlock& block = pack.blocks()[static_cast<size_t>(i)];
          std::vector<uint8_t> made(block.result_bytes);
          GRAFT_RETURN_IF_ERROR(
              pack.MakeBlock(static_cast<size_t>(i), base_.file_bytes(), made.data(), &workspace));
          const uint8_t* from = made.data();
          for (uint32_t s = block.first_step; s < block.end_step; ++s) {
            const PackStep& step = pack.steps()[s];
            if (step.block != static_cast<uint32_t>(i)) continue;
            const auto size = static_cast<size_t>(step.bytes);
            if (std::memcmp(from, result_.file_bytes().data() + step.offset, size) != 0) {
              return Error(StatusCode::kInternal, "block %lld makes other bytes",
                           static_cast<long long>(i));
            }
            from += size;
          }
          return OkStatus();
        });
  }

  const schema::VerifiedModel& base_;
  const schema::VerifiedModel& result_;
  const PackOptions& options_;
  const std::vector<Range> byte_codes_;
  PackPlan plan_;
  PackOutcome outcome_;
  uint64_t end_ = schema::kPackPreambleBytes;
  uint64_t done_ = 0;
};

}  // namespace

Result<PackOutcome> WritePack(const schema::VerifiedModel& base,
                              const schema::VerifiedModel& result, const PackOptions& options) {
  return PackWriter(base, result, options).Run();
}

}  // namespace graft::converter
