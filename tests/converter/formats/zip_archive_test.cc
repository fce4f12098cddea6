// SPDX-License-Identifier: Apache-2.0
// Zip directories: told as they are, and whatever contradicts itself refused.
#include "converter/formats/zip_archive.h"

#include <doctest/doctest.h>

#include "tests/converter/formats/torch_bytes.h"
#include "tests/support/some_of_all.h"

namespace graft::converter {
namespace {

const ZipParts kParts = {{"m/data.pkl", "abc"}, {"m/data/0", "0123456789"}, {"m/empty", ""}};

Result<ZipArchive> ReadZip(const std::string& bytes) {
  const TemporaryFolder folder;
  WriteText(folder / "t.zip", bytes);
  const auto file = InputFile::Open(folder / "t.zip");
  REQUIRE(file.ok());
  return ZipArchive::Read(**file);
}

std::string FaultOf(const std::string& bytes) {
  const auto archive = ReadZip(bytes);
  if (archive.ok()) return "";
  const std::string message(archive.status().message());
  CHECK(message.find("t.zip") != std::string::npos);
  CHECK(archive.status().code() != StatusCode::kInternal);
  return message;
}

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_SUITE("converter/zip_archive") {
  TEST_CASE("tells where entries lie, in 32 and in 64 bits") {
    for (const bool zip64 : {false, true}) {
      CAPTURE(zip64);
      const std::string bytes = MakeZip(kParts, nullptr, zip64);
      const auto archive = ReadZip(bytes);
      REQUIRE_MESSAGE(archive.ok(), archive.status().message());
      REQUIRE(archive->entries().size() == kParts.size());
      for (const auto& [name, data] : kParts) {
        const ZipArchive::Entry* entry = archive->Find(name);
        REQUIRE(entry != nullptr);
        CHECK(bytes.substr(entry->data_offset, entry->size_bytes) == data);
      }
      CHECK(archive->Find("m/data") == nullptr);
    }
  }

  TEST_CASE("reads past a comment at the end") {
    ZipPlaces places;
    std::string bytes = MakeZip(kParts, &places);
    Put(&bytes, places.end + 20, Bytes16(5));
    CHECK(ReadZip(bytes + "hello").ok());
    CHECK(Mentions(FaultOf(bytes + "hell"), "no directory"));
  }

  TEST_CASE("refuses a file cut anywhere") {
    for (const bool zip64 : {false, true}) {
      const std::string bytes = MakeZip(kParts, nullptr, zip64);
      for (size_t size = 0; size < bytes.size(); size += test::StepOfAll(7)) {
        CAPTURE(size);
        CHECK(FaultOf(bytes.substr(0, size)) != "");
      }
    }
  }

  TEST_CASE("survives any byte of its records being another one") {
    for (const bool zip64 : {false, true}) {
      const std::string bytes = MakeZip(kParts, nullptr, zip64);
      for (size_t i = 0; i < bytes.size(); i += test::StepOfAll(7)) {
        for (const uint8_t flip : {0x01, 0x80, 0xFF}) {
          std::string bent = bytes;
          bent[i] = static_cast<char>(bent[i] ^ flip);
          const auto archive = ReadZip(bent);
          if (!archive.ok()) continue;
          for (const ZipArchive::Entry& entry : archive->entries()) {
            CHECK(entry.data_offset <= bytes.size());
            CHECK(entry.size_bytes <= bytes.size() - entry.data_offset);
          }
        }
      }
    }
  }

  TEST_CASE("refuses compressed and encrypted entries by name") {
    ZipPlaces places;
    const std::string bytes = MakeZip(kParts, &places);
    std::string bent = bytes;
    Put(&bent, places.listed[1] + 10, Bytes16(8));
    CHECK(Mentions(FaultOf(bent), "entry 'm/data/0' is compressed (method 8)"));
    CHECK(ReadZip(bent).status().code() == StatusCode::kUnsupported);
    bent = bytes;
    Put(&bent, places.headers[1] + 8, Bytes16(8));
    CHECK(Mentions(FaultOf(bent), "entry 'm/data/0' is compressed"));
    bent = bytes;
    Put(&bent, places.listed[0] + 8, Bytes16(1));
    CHECK(Mentions(FaultOf(bent), "entry 'm/data.pkl' is encrypted"));
  }

  TEST_CASE("refuses entries that overlap or share a name") {
    ZipPlaces places;
    const std::string bytes = MakeZip({{"m/a", "0123456789"}, {"m/b", "x"}}, &places);
    // a said to be longer, in both places: it then reaches over b's header.
    std::string bent = bytes;
    for (const size_t at : {places.headers[0] + 18, places.headers[0] + 22, places.listed[0] + 20,
                            places.listed[0] + 24}) {
      Put(&bent, at, Bytes32(12));
    }
    CHECK(Mentions(FaultOf(bent), "entry 'm/b' overlaps entry 'm/a'"));
    // Two directory entries for one place.
    bent = MakeZip({{"m/a", "1"}, {"m/a", "2"}}, &places);
    CHECK(Mentions(FaultOf(bent), "entry 'm/a' is there twice"));
    Put(&bent, places.listed[1] + 42, Bytes32(0));
    CHECK(Mentions(FaultOf(bent), "overlaps"));
  }

  TEST_CASE("refuses offsets and sizes beyond the file") {
    ZipPlaces places;
    const std::string bytes = MakeZip(kParts, &places);
    for (const uint32_t offset : {1u, 0x7FFFFFFFu, 0xFFFFFFFEu, 0xFFFFFFFFu}) {
      for (const size_t at : {places.listed[0] + 42, places.end + 16}) {
        std::string bent = bytes;
        Put(&bent, at, Bytes32(offset));
        CHECK(FaultOf(bent) != "");
      }
    }
    std::string bent = bytes;
    Put(&bent, places.listed[1] + 20, Bytes32(0x7FFFFFFF) + Bytes32(0x7FFFFFFF));
    CHECK(Mentions(FaultOf(bent), "does not lie before the directory"));
    // 64-bit fields whose sums wrap.
    const std::string wide = MakeZip(kParts, &places, true);
    for (const uint64_t value : {~uint64_t{0}, ~uint64_t{0} - 40, uint64_t{1} << 63}) {
      for (const size_t field : {size_t{9}, size_t{17}, size_t{25}}) {
        bent = wide;
        Put(&bent, places.listed[0] + 46 + kParts[0].first.size() + field, Bytes64(value));
        CHECK(FaultOf(bent) != "");
      }
      for (const size_t field : {size_t{24}, size_t{32}, size_t{40}, size_t{48}}) {
        bent = wide;
        Put(&bent, places.end - 76 + field, Bytes64(value));
        CHECK(FaultOf(bent) != "");
      }
      bent = wide;
      Put(&bent, places.end - 20 + 8, Bytes64(value));
      CHECK(Mentions(FaultOf(bent), "zip64 record"));
    }
  }

  TEST_CASE("refuses more entries than its directory can hold, before reading any") {
    ZipPlaces places;
    std::string bytes = MakeZip(kParts, &places);
    Put(&bytes, places.end + 8, Bytes16(60000) + Bytes16(60000));
    CHECK(Mentions(FaultOf(bytes), "too small for 60000 entries"));
    Put(&bytes, places.end + 8, Bytes16(2) + Bytes16(2));
    CHECK(Mentions(FaultOf(bytes), "belong to no entry"));
    Put(&bytes, places.end + 8, Bytes16(3) + Bytes16(4));
    CHECK(Mentions(FaultOf(bytes), "several parts"));
  }
}

}  // namespace
}  // namespace graft::converter
