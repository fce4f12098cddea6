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

Status SparseDecoder::CutIntoStreams(std::span<const uint8_t> coded,
                                     std::array<Stream, kSparseStreams>* streams) {
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

Result<SparseBytes> SparseDecoder::Decode(std::span<const uint8_t> coded, size_t count) {
  coded = coded.subspan(1);
  uint64_t entries = 0;
  // Each entry stands for one byte at least, and takes one bit at least.
  if (!TakeNumber(&coded, &entries) || entries > count || entries / 8 > coded.size()) {
    return Corrupt("have more entries than bytes");
  }
  GRAFT_RETURN_IF_ERROR(ReadCodes(&coded));
  std::array<Stream, kSparseStreams> streams;
  GRAFT_RETURN_IF_ERROR(CutIntoStreams(coded, &streams));
  places_.resize(std::max(places_.size(), static_cast<size_t>(entries)));
  values_.resize(places_.size());
  uint64_t end = 0;
  GRAFT_ASSIGN_OR_RETURN(const size_t found,
                         ReadEntries(static_cast<size_t>(entries), &streams, &end));
  if (end > count) return Corrupt("lie beyond the end");
  for (const Stream& stream : streams) {
    if ((stream.bit + 7) / 8 != stream.end) return Corrupt("do not end as they must");
  }
  return SparseBytes{std::span(places_).first(found), std::span(values_).first(found)};
}

// Fills places and values. *end is after the last byte.
Result<size_t> SparseDecoder::ReadEntries(size_t entries,
                                          std::array<Stream, kSparseStreams>* all_streams,
                                          uint64_t* end) {
  std::array<Stream, kSparseStreams> streams = *all_streams;
  const Code* const codes = code_of_bits_.data();
  const uint32_t gap_bits = gap_bits_;
  uint32_t* places = places_.data();
  uint8_t* values = values_.data();
  uint64_t place = 0;
  bool is_sound = true;
  const auto read = [&](uint64_t window, Stream& stream) {
    const auto upper = static_cast<uint32_t>(std::countr_zero(window | uint64_t{1} << 63));
    if (upper >= kLongGap) {
      is_sound = is_sound && upper == kLongGap;
      place += uint64_t{kLongGap} << gap_bits;
      stream.bit += kLongGap + 1;
      return;
    }
    window >>= upper + 1;
    place += (uint64_t{upper} << gap_bits) + (window & ((uint64_t{1} << gap_bits) - 1));
    const Code code = codes[window >> gap_bits & ((1u << kMostCodeBits) - 1)];
    stream.bit += upper + 1 + gap_bits + code.bits;
    *places++ = static_cast<uint32_t>(place++);
    *values++ = code.value;
  };
  const auto is_far_from_end = [](const Stream& stream) {
    return stream.bit / 8 + sizeof(uint64_t) <= stream.end;
  };
  size_t i = 0;
  for (; i + kSparseStreams <= entries && is_sound; i += kSparseStreams) {
    if (!std::all_of(streams.begin(), streams.end(), is_far_from_end)) break;
    for (Stream& stream : streams) {
      uint64_t window;
      std::memcpy(&window, stream.bytes + stream.bit / 8, sizeof(window));
      read(window >> stream.bit % 8, stream);
    }
  }
  for (; i < entries && is_sound; ++i) {
    Stream& stream = streams[i % kSparseStreams];
    uint64_t window = 0;  // what is beyond the end has no entry
    const uint64_t at = std::min(stream.bit / 8, stream.end);
    std::memcpy(&window, stream.bytes + at,
                static_cast<size_t>(std::min<uint64_t>(sizeof(window), stream.end - at)));
    read(window >> stream.bit % 8, stream);
  }
  if (!is_sound) return Corrupt("have a gap that does not end");
  *all_streams = streams;
  *end = place;
  return static_cast<size_t>(places - places_.data());
}

}  // namespace graft::schema
