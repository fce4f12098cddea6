// SPDX-License-Identifier: Apache-2.0
// Hostile tables: each lie is refused, and no bit flip crashes whoever reads what was accepted.
#include "schema/verify_tokenizer.h"

#include <cmath>
#include <functional>
#include <random>

#include <doctest/doctest.h>

#include "runtime/tokenizer/tokenizer.h"
#include "schema/generated/tokenizer_generated.h"
#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

/// A tokenizer of three tokens, "a", "b" and "ab", in which any part can be made wrong.
struct Parts {
  std::vector<uint8_t> bytes = {'a', 'b', 'a', 'b'};
  std::vector<uint32_t> offsets = {0, 1, 2, 4};
  std::vector<uint32_t> merges = {0, 1};
  std::vector<uint32_t> results = {2};
  std::vector<uint32_t> prefix;
  std::vector<uint32_t> suffix;
  std::vector<uint32_t> order;
  std::vector<double> scores;
  std::string continuing_prefix;
  uint32_t max_word_characters = 0;
  std::vector<fb::TemplatePart> single;
  std::vector<fb::TemplatePart> pair;
  int32_t unknown_id = -1;
  fb::TokenizerKind kind = fb::TokenizerKind::Bpe;
  std::function<std::vector<Offset<fb::NormalizerStep>>(FlatBufferBuilder&)> normalizer;
  std::function<std::vector<Offset<fb::PreTokenizerStep>>(FlatBufferBuilder&)> pre_tokenizer;
  std::function<std::vector<Offset<fb::DecoderStep>>(FlatBufferBuilder&)> decoder;
  std::function<std::vector<Offset<fb::AddedToken>>(FlatBufferBuilder&)> added;

  Status Verify(uint64_t vocabulary = 0) const {
    FlatBufferBuilder builder;
    const auto list = [&](const auto& make) {
      return make ? builder.CreateVector(make(builder))
                  : decltype(builder.CreateVector(make(builder)))();
    };
    const auto normalizer_offset = list(normalizer);
    const auto pre_tokenizer_offset = list(pre_tokenizer);
    const auto decoder_offset = list(decoder);
    const auto added_offset = list(added);
    const auto prefix_offset = builder.CreateVector(prefix);
    const auto bytes_offset = builder.CreateVector(bytes);
    const auto offsets_offset = builder.CreateVector(offsets);
    const auto merges_offset = builder.CreateVector(merges);
    const auto results_offset = builder.CreateVector(results);
    const auto suffix_offset = builder.CreateVector(suffix);
    const auto order_offset = builder.CreateVector(order);
    const auto scores_offset = builder.CreateVector(scores);
    const auto continuing_offset = builder.CreateString(continuing_prefix);
    const auto single_offset = builder.CreateVectorOfStructs(single);
    const auto pair_offset = builder.CreateVectorOfStructs(pair);
    builder.Finish(fb::CreateTokenizer(
        builder, kind, normalizer_offset, pre_tokenizer_offset, decoder_offset, added_offset,
        prefix_offset, suffix_offset, bytes_offset, offsets_offset, merges_offset, results_offset,
        unknown_id, false, false, false, false, order_offset, scores_offset, continuing_offset,
        max_word_characters, single_offset, pair_offset));
    return schema::VerifyTokenizer(*flatbuffers::GetRoot<fb::Tokenizer>(builder.GetBufferPointer()),
                                   vocabulary);
  }
};

void CheckRefused(const std::function<void(Parts&)>& change, const char* part,
                  StatusCode code = StatusCode::kCorrupt) {
  Parts parts;
  change(parts);
  const Status status = parts.Verify();
  CAPTURE(part);
  CAPTURE(status.message());
  CHECK(status.code() == code);
  CHECK(status.message().find(part) != std::string_view::npos);
}

TEST_SUITE("schema/verify_tokenizer") {
  TEST_CASE("accepts tables that agree") {
    CHECK(Parts().Verify().ok());
    CHECK(Parts().Verify(3).ok());
    CHECK(Parts().Verify(100).ok());
  }

  TEST_CASE("refuses more tokens than the model's embedding has rows") {
    CHECK(Parts().Verify(2).code() == StatusCode::kMismatch);
  }

  TEST_CASE("refuses a token table that contradicts itself") {
    CheckRefused([](Parts& p) { p.offsets = {0}; }, "token_offsets");
    CheckRefused([](Parts& p) { p.offsets = {1, 1, 2, 4}; }, "token_offsets");
    CheckRefused([](Parts& p) { p.offsets = {0, 2, 1, 4}; }, "token 1");
    CheckRefused([](Parts& p) { p.offsets = {0, 1, 2, 5}; }, "byte 5");
    CheckRefused([](Parts& p) { p.offsets = {0, 1, 2, 3}; }, "byte 3");
    CheckRefused(
        [](Parts& p) {
          p.offsets.assign(schema::kMaxTokens + 3, 4);
          p.offsets[0] = 0;
        },
        "tokens exceed");
  }

  TEST_CASE("refuses tables of WordPiece and Unigram that a search would stumble over") {
    const auto word_piece = [](Parts& p) {
      p.kind = fb::TokenizerKind::WordPiece;
      p.order = {0, 2, 1};
      p.unknown_id = 0;
      p.max_word_characters = 100;
    };
    const auto unigram = [](Parts& p) {
      p.kind = fb::TokenizerKind::Unigram;
      p.order = {0, 2, 1};
      p.scores = {-1, -2, -3};
    };
    Parts parts;
    word_piece(parts);
    CHECK(parts.Verify().ok());
    parts = Parts();
    unigram(parts);
    CHECK(parts.Verify().ok());
    const auto refuse = [](const auto& base, const std::function<void(Parts&)>& change,
                           const char* part) {
      CheckRefused(
          [&](Parts& p) {
            base(p);
            change(p);
          },
          part);
    };
    refuse(
        word_piece, [](Parts& p) { p.order = {}; }, "token_order");
    refuse(
        word_piece,
        [](Parts& p) {
          p.order = {0, 3};
        },
        "token_order[1]");
    refuse(
        word_piece,
        [](Parts& p) {
          p.order = {0, 1, 2};
        },
        "token_order[2]");
    refuse(
        word_piece,
        [](Parts& p) {
          p.order = {0, 0};
        },
        "token_order[1]");
    refuse(
        word_piece,
        [](Parts& p) {
          p.offsets = {0, 0, 2, 4};
        },
        "token_order[0]");
    refuse(
        word_piece, [](Parts& p) { p.unknown_id = -1; }, "unknown_id");
    refuse(
        word_piece, [](Parts& p) { p.max_word_characters = 1u << 17; }, "max_word_characters");
    refuse(
        word_piece, [](Parts& p) { p.continuing_prefix.assign(513, '#'); }, "continuing_prefix");
    refuse(
        word_piece,
        [](Parts& p) {
          p.bytes.assign(515, 'b');
          p.bytes[0] = 'a';
          p.offsets = {0, 1, 2, 515};
          p.order = {0, 1, 2};
        },
        "513 bytes");
    refuse(
        unigram, [](Parts& p) { p.order = {}; }, "token_order");
    refuse(
        unigram,
        [](Parts& p) {
          p.scores = {1, 2};
        },
        "2 scores");
    refuse(
        unigram, [](Parts& p) { p.scores[1] = std::nan(""); }, "scores[1]");
    refuse(
        unigram, [](Parts& p) { p.scores[2] = -INFINITY; }, "scores[2]");
  }

  TEST_CASE("refuses templates that lose a text, repeat it or put what is no token around it") {
    using Part = fb::TemplatePart;
    Parts parts;
    parts.prefix = {0};
    parts.suffix = {1};
    parts.single = {Part(0, 0), Part(-1, 1), Part(1, 0)};
    parts.pair = {Part(0, 0), Part(-2, 1), Part(-1, 0), Part(1, 1)};
    CHECK(parts.Verify().ok());
    CheckRefused([](Parts& p) { p.single = {Part(0, 0)}; }, "single_template");
    CheckRefused([](Parts& p) { p.single = {Part(0, 0), Part(-1, 0)}; }, "single_template");
    CheckRefused([](Parts& p) { p.single = {Part(-2, 0)}; }, "single_template[0]");
    CheckRefused([](Parts& p) { p.pair = {Part(-1, 0)}; }, "pair_template");
    CheckRefused(
        [](Parts& p) {
          p.pair = {Part(-1, 0), Part(-2, 0), Part(-2, 0)};
        },
        "pair_template");
    CheckRefused(
        [](Parts& p) {
          p.pair = {Part(-1, 0), Part(-2, 0), Part(3, 0)};
        },
        "pair_template[2]");
    CheckRefused([](Parts& p) { p.pair = {Part(-3, 0), Part(-2, 0)}; }, "pair_template[0]");
    CheckRefused([](Parts& p) { p.pair = {Part(-1, 256), Part(-2, 0)}; }, "pair_template[0]");
    CheckRefused([](Parts& p) { p.pair.assign(1000, Part(0, 0)); }, "pair_template");
  }

  TEST_CASE("refuses ids that are none") {
    CheckRefused([](Parts& p) { p.merges = {0, 3}; }, "merges[1]");
    CheckRefused([](Parts& p) { p.merges = {0}; }, "merges");
    CheckRefused([](Parts& p) { p.results = {3}; }, "merge_results[0]");
    CheckRefused([](Parts& p) { p.results = {2, 2}; }, "merge_results");
    CheckRefused([](Parts& p) { p.prefix = {3}; }, "prefix_ids[0]");
    CheckRefused([](Parts& p) { p.prefix.assign(1000, 0); }, "prefix_ids");
    CheckRefused([](Parts& p) { p.unknown_id = 3; }, "unknown_id");
    CheckRefused([](Parts& p) { p.unknown_id = -2; }, "unknown_id");
    CheckRefused(
        [](Parts& p) {
          p.added = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateAddedToken(b, b.CreateString("x"), 3)};
          };
        },
        "added token 0");
    CheckRefused(
        [](Parts& p) {
          p.added = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateAddedToken(b, b.CreateString(""), 1)};
          };
        },
        "added token 0");
  }

  TEST_CASE("refuses steps of kinds it does not know") {
    const auto unsupported = StatusCode::kUnsupported;
    CheckRefused([](Parts& p) { p.kind = static_cast<fb::TokenizerKind>(3); }, "kind 3",
                 unsupported);
    CheckRefused(
        [](Parts& p) {
          p.normalizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateNormalizerStep(b, static_cast<fb::NormalizerKind>(12))};
          };
        },
        "normalizer step 0", unsupported);
    CheckRefused(
        [](Parts& p) {
          p.pre_tokenizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreatePreTokenizerStep(b, fb::PreTokenizerKind::Split,
                                                          b.CreateString("x"), false,
                                                          static_cast<fb::SplitBehavior>(5))};
          };
        },
        "pre-tokenizer step 0", unsupported);
    CheckRefused(
        [](Parts& p) {
          p.decoder = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateDecoderStep(b, fb::DecoderKind::Metaspace, 0,
                                                     b.CreateString("x"), 0, 0,
                                                     static_cast<fb::PrependScheme>(3))};
          };
        },
        "decoder step 0", unsupported);
  }

  TEST_CASE("refuses steps that lack what they need or ask for too much") {
    CheckRefused(
        [](Parts& p) {
          p.normalizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateNormalizerStep(b, fb::NormalizerKind::Charsmap)};
          };
        },
        "charsmap");
    CheckRefused(
        [](Parts& p) {
          p.decoder = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateDecoderStep(b, fb::DecoderKind::WordPiece)};
          };
        },
        "content");
    CheckRefused(
        [](Parts& p) {
          p.normalizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreateNormalizerStep(b, fb::NormalizerKind::Replace)};
          };
        },
        "pattern");
    CheckRefused(
        [](Parts& p) {
          p.pre_tokenizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreatePreTokenizerStep(b, fb::PreTokenizerKind::Metaspace)};
          };
        },
        "content");
    CheckRefused(
        [](Parts& p) {
          p.decoder = [](FlatBufferBuilder& b) {
            return std::vector{
                fb::CreateDecoderStep(b, fb::DecoderKind::Strip, 0, b.CreateString("x"), 1 << 30)};
          };
        },
        "strips");
    CheckRefused(
        [](Parts& p) {
          p.pre_tokenizer = [](FlatBufferBuilder& b) {
            return std::vector{fb::CreatePreTokenizerStep(b, fb::PreTokenizerKind::Split,
                                                          b.CreateString(std::string(20000, 'x')))};
          };
        },
        "20000");
    CheckRefused(
        [](Parts& p) {
          p.normalizer = [](FlatBufferBuilder& b) {
            return std::vector<Offset<fb::NormalizerStep>>(
                100, fb::CreateNormalizerStep(b, fb::NormalizerKind::Nfc));
          };
        },
        "100 normalizer steps");
  }

  TEST_CASE("no flipped bit or cut crashes a reader of what was accepted") {
    for (const char* name : {"stories260k", "tales", "bert"}) {
      const TestTokenizer original = TestTokenizer::FromFolder(TokenizerFolder(name));
      const std::vector<uint8_t> bytes = original.bytes();
      std::mt19937 random(4);
      int accepted = 0;
      for (int round = 0; round < 1500; ++round) {
        std::vector<uint8_t> broken = bytes;
        if (round % 4 == 0) {
          broken.resize(4 * (random() % (broken.size() / 4)));
        } else {
          // Mostly in the tables' structure, which lies at the ends.
          const size_t span = round % 2 == 0 ? broken.size() : std::min<size_t>(600, broken.size());
          for (int i = 0; i < 1 + round % 3; ++i) {
            broken[random() % span] ^= static_cast<uint8_t>(1u << random() % 8);
          }
        }
        flatbuffers::Verifier verifier(broken.data(), broken.size(), 16, 100000);
        if (!verifier.VerifyBuffer<fb::Tokenizer>()) continue;
        const auto& tables = *flatbuffers::GetRoot<fb::Tokenizer>(broken.data());
        if (!schema::VerifyTokenizer(tables, 0).ok()) continue;
        const auto tokenizer = runtime::Tokenizer::Create(tables);
        if (!tokenizer.ok()) continue;
        ++accepted;
        const auto ids =
            (*tokenizer)->Encode("Hello <s> world, \xF0\x9F\x98\x80  it's 12345!\n", true);
        if (ids.ok()) (void)(*tokenizer)->Decode(*ids, true);
      }
      CHECK(accepted > 20);  // else the test would prove nothing
    }
  }
}

}  // namespace
}  // namespace graft::test
