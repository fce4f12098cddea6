// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/sparse_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "schema/variable_length.h"

namespace graft::schema {
namespace {

static_assert(std::endian::native == std::endian::little);
// Of an entry, and those of the byte in which it begins.
static_assert(kLongGap + 1 + kMostGapBits + kMostCodeBits + 7 <= 64);

// Of a place and a value, and of what was looked up: below the place the value, below it a number of
// bits.
constexpr uint32_t kPlaceBit = 16;
constexpr uint32_t kValueBit = 8;
constexpr uint64_t kOnePlace = uint64_t{1} << kPlaceBit;
constexpr uint64_t kOneValue = uint64_t{1} << kValueBit;
constexpr uint64_t kBelowPlace = kOnePlace - 1;
constexpr uint64_t kBeforeFirst = uint64_t{0} - kOnePlace;  // sums are modulo 2^64
constexpr uint64_t kUnsound = uint64_t{1} << 62;            // no place is that far
constexpr uint64_t EndAfter(uint64_t place) { return (place + kOnePlace) / kOnePlace; }
constexpr uint32_t kEntryBits = 0xFF;

Status Corrupt(const char* what) {
  return Error(StatusCode::kCorrupt, "its sparse bytes %s", what);
}

}  // namespace

Status SparseDecoder::ReadCodes(std::span<const uint8_t>* coded) {
  if (coded->size() < 2) return Corrupt("have no codes");
  gap_bits_ = coded->front();
  const size_t count = (*coded)[1] + size_t{1};
  *coded = coded->subspan(2);
  if (gap_bits_ > kMostGapBits) return Corrupt("have gaps of too many bits");
  if (coded->size() < 2 * count) return Corrupt("end within their codes");
  // Codes of one length are ascending, after all shorter ones; the first bit is the lowest.
  size_t next = 0;
  for (uint32_t bits = 0; bits <= kMostCodeBits; ++bits) {
    const size_t share = size_t{1} << (kMostCodeBits - bits);
    uint8_t previous = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t value = (*coded)[2 * i];
      const uint8_t length = (*coded)[2 * i + 1];
      if (value <= previous || length > kMostCodeBits) {
        return Corrupt("have codes out of order");
      }
      previous = value;
      if (length != bits) continue;
      if (share > code_of_bits_.size() - next) return Corrupt("have too many codes");
      // `next` counts in reverse order of bits.
      size_t first = 0;
      for (uint32_t bit = 0; bit < kMostCodeBits; ++bit)
        first |= (next >> bit & 1) << (kMostCodeBits - 1 - bit);
      for (size_t at = first; at < code_of_bits_.size(); at += size_t{1} << bits)
        code_of_bits_[at] = {value, length};
      next += share;
    }
  }
  *coded = coded->subspan(2 * count);
  return next == code_of_bits_.size() ? OkStatus() : Corrupt("have bits of no code");
}

Status SparseDecoder::CutIntoStreams(std::span<const uint8_t> coded, Streams* streams) {
  uint64_t sizes[kSparseStreams - 1];
  for (uint64_t& size : sizes) {
    if (!TakeNumber(&coded, &size)) return Corrupt("end before their entries");
  }
  for (size_t i = 0; i < kSparseStreams; ++i) {
    const uint64_t size = i + 1 < kSparseStreams ? sizes[i] : coded.size();
    if (size > coded.size()) return Corrupt("end within their entries");
    (*streams)[i] = {coded.data(), 0, size};
    coded = coded.subspan(static_cast<size_t>(size));
  }
  return OkStatus();
}

uint64_t SparseEntriesOf(std::span<const uint8_t> coded) {
  uint64_t entries = 0;
  coded = coded.subspan(1);
  return TakeNumber(&coded, &entries) ? entries : 0;
}

Status SparseDecoder::ReadHead(std::span<const uint8_t> coded, size_t count, size_t* entries,
                               Streams* streams) {
  coded = coded.subspan(1);
  uint64_t said = 0;
  // Each entry stands for one byte at least, and takes one bit at least.
  if (!TakeNumber(&coded, &said) || said > count || said / 8 > coded.size()) {
    return Corrupt("have more entries than bytes");
  }
  *entries = static_cast<size_t>(said);
  GRAFT_RETURN_IF_ERROR(ReadCodes(&coded));
  GRAFT_RETURN_IF_ERROR(CutIntoStreams(coded, streams));
  MakeEntries(*entries);
  return OkStatus();
}

// Most entries are short: one look says all of one. Few entries are not worth a large table.
void SparseDecoder::MakeEntries(size_t count) {
  constexpr uint32_t kFewestEntryBits = 6;
  constexpr uint32_t kSmaller = 2;  // the table than the entries, in bits
  const auto count_bits = static_cast<uint32_t>(std::bit_width(count));
  entry_bits_ =
      std::clamp(count_bits, kFewestEntryBits + kSmaller, kMostEntryBits + kSmaller) - kSmaller;
  // Without zeros before the one, and then those after so many zeros as there is room for.
  const uint32_t rest_bits = entry_bits_ - 1;
  const uint32_t gap_mask = (1u << gap_bits_) - 1;
  entry_of_bits_[0] = 0;
  largest_gap_ = 0;
  for (uint32_t rest = 0; rest < 1u << rest_bits; ++rest) {
    const Code code = code_of_bits_[rest >> gap_bits_ & ((1u << kMostCodeBits) - 1)];
    const uint32_t bits = 1 + gap_bits_ + code.bits;
    const uint32_t entry =
        ((rest & gap_mask) + 1) << kPlaceBit | uint32_t{code.value} << kValueBit | bits;
    entry_of_bits_[rest << 1 | 1] = bits <= entry_bits_ ? entry : 0;
  }
  for (uint32_t upper = 0; upper <= rest_bits; ++upper) {
    const uint32_t more = (upper << gap_bits_ << kPlaceBit) + upper;
    for (uint32_t rest = 0; rest < 1u << (rest_bits - upper); ++rest) {
      const uint32_t entry = entry_of_bits_[rest << 1 | 1];
      const bool is_whole = entry != 0 && (entry & kEntryBits) + upper <= entry_bits_;
      const uint32_t later = is_whole ? entry + more : 0;
      entry_of_bits_[(rest << 1 | 1) << upper] = later;
      largest_gap_ = std::max(largest_gap_, later >> kPlaceBit);
    }
  }
}

// Requires HasWholeWindow().
uint64_t SparseDecoder::Stream::WholeWindow() const {
  uint64_t window;
  std::memcpy(&window, bytes + bit / 8, sizeof(window));
  return window >> bit % 8;
}

// What is beyond a stream's end has no entry.
uint64_t SparseDecoder::Stream::Window() const {
  if (HasWholeWindow()) return WholeWindow();
  uint64_t window = 0;
  if (bit / 8 < end) std::memcpy(&window, bytes + bit / 8, static_cast<size_t>(end - bit / 8));
  return window >> bit % 8;
}

// last: the place of the byte before, from the 17th bit on. Gives that of the one that is read, and
// below it its value; no value if there is none; kUnsound if there is neither.
uint64_t SparseDecoder::ReadLong(uint64_t last, size_t count, Stream* stream) const {
  uint64_t window = stream->Window();
  const auto upper = static_cast<uint32_t>(std::countr_zero(window | uint64_t{1} << 63));
  if (upper >= kLongGap) {
    last += (uint64_t{kLongGap} << gap_bits_) * kOnePlace;
    stream->bit += kLongGap + 1;
    if (upper > kLongGap) return kUnsound;
  } else {
    window >>= upper + 1;
    const uint64_t gap =
        (uint64_t{upper} << gap_bits_) + (window & ((uint64_t{1} << gap_bits_) - 1));
    const Code code = code_of_bits_[window >> gap_bits_ & ((1u << kMostCodeBits) - 1)];
    stream->bit += upper + 1 + gap_bits_ + code.bits;
    last += (gap + 1) * kOnePlace + uint64_t{code.value} * kOneValue;
  }
  return EndAfter(last) <= count ? last : kUnsound;
}

// As many entries as stay far from the ends of their streams, and of the run.
template <typename Put>
void SparseDecoder::ReadShort(size_t* entries, size_t count, Streams* streams, uint64_t* last,
                              Put* put) const {
  // So many of each stream are found in the bits that one load brings.
  constexpr size_t kAtOnce = 4;
  static_assert(kAtOnce * kMostEntryBits + 7 <= 64 && kSparseStreams == 4);
  const uint64_t most_places = kAtOnce * kSparseStreams * (largest_gap_ + uint64_t{1});
  const uint32_t* const entry_of_bits = entry_of_bits_.data();
  const uint32_t mask = (1u << entry_bits_) - 1;
  uint64_t at = *last;
  Put to = *put;
  // False where those that follow need another look. `bits` sums up what was looked up: its lowest
  // byte says how many bits were.
  const auto read = [&](uint64_t & window, uint64_t & bits, size_t index)
      __attribute__((always_inline)) {
    const uint32_t entry = entry_of_bits[window & mask];
    if ((entry & kEntryBits) != 0) [[likely]] {
      window >>= entry & kEntryBits;
      bits += entry;
      at += entry;
      to(at);
      at &= ~kBelowPlace;
      return true;
    }
    Stream& stream = (*streams)[index];
    stream.bit += bits & kEntryBits;
    bits = 0;
    at = ReadLong(at, count, &stream);
    window = stream.Window();
    if ((at & kBelowPlace) != 0) to(at);
    at &= ~kBelowPlace;
    return EndAfter(at) + most_places <= count;
  };
  size_t done = kAtOnce * kSparseStreams;  // of those that are to be read at once
  while (*entries >= done && EndAfter(at) + most_places <= count &&
         std::all_of(streams->begin(), streams->end(),
                     [](const Stream& stream) { return stream.HasWholeWindow(); })) {
    uint64_t a = (*streams)[0].WholeWindow(), b = (*streams)[1].WholeWindow();
    uint64_t c = (*streams)[2].WholeWindow(), d = (*streams)[3].WholeWindow();
    uint64_t a_bits = 0, b_bits = 0, c_bits = 0, d_bits = 0;
    for (size_t turn = 0; turn < kAtOnce; ++turn) {
      size_t index = 0;
      if (read(a, a_bits, index) && read(b, b_bits, ++index) && read(c, c_bits, ++index) &&
          read(d, d_bits, ++index)) {
        continue;
      }
      done = turn * kSparseStreams + index + 1;
      break;
    }
    (*streams)[0].bit += a_bits & kEntryBits;
    (*streams)[1].bit += b_bits & kEntryBits;
    (*streams)[2].bit += c_bits & kEntryBits;
    (*streams)[3].bit += d_bits & kEntryBits;
    *entries -= done;
    if (done < kAtOnce * kSparseStreams) break;
  }
  *last = at;
  *put = to;
}

// Calls (*put)(bits of place and value) for each byte.
template <typename Put>
Status SparseDecoder::ReadEntries(size_t entries, size_t count, Streams* streams, Put* put) const {
  uint64_t last = kBeforeFirst;
  const size_t all = entries;
  ReadShort(&entries, count, streams, &last, put);
  for (size_t i = all - entries; i < all && last != kUnsound; ++i) {
    last = ReadLong(last, count, &(*streams)[i % kSparseStreams]);
    if ((last & kBelowPlace) != 0) (*put)(last);
    last &= ~kBelowPlace;
  }
  if (last == kUnsound) return Corrupt("have a gap that does not end, or lie beyond the end");
  for (const Stream& stream : *streams) {
    if ((stream.bit + 7) / 8 != stream.end) return Corrupt("do not end as they must");
  }
  return OkStatus();
}

Result<std::span<const SparseByte>> SparseDecoder::Decode(std::span<const uint8_t> coded,
                                                          size_t count) {
  size_t entries = 0;
  Streams streams;
  GRAFT_RETURN_IF_ERROR(ReadHead(coded, count, &entries, &streams));
  if (found_.size() < entries) found_.resize(entries);
  struct Append {
    SparseByte* end;
    void operator()(uint64_t bits) { (end++)->bits = static_cast<uint32_t>(bits / kOneValue); }
  } append{found_.data()};
  GRAFT_RETURN_IF_ERROR(ReadEntries(entries, count, &streams, &append));
  return std::span<const SparseByte>(found_.data(), append.end);
}

Status SparseDecoder::Scatter(std::span<const uint8_t> coded, size_t count, uint8_t* out,
                              uint32_t stride_bits) {
  size_t entries = 0;
  Streams streams;
  GRAFT_RETURN_IF_ERROR(ReadHead(coded, count, &entries, &streams));
  struct Place {
    uint8_t* out;
    uint32_t stride_bits;
    void operator()(uint64_t bits) {
      out[bits / kOnePlace << stride_bits] = static_cast<uint8_t>(bits / kOneValue);
    }
  } place{out, stride_bits};
  return ReadEntries(entries, count, &streams, &place);
}

}  // namespace graft::schema
