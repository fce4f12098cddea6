// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/sentencepiece_model.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "converter/json/json.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

constexpr size_t kMaxPieceBytes = 4096;
constexpr size_t kMaxMerges = size_t{1} << 23;

/// One field of a protobuf message: a number, or bytes.
struct Field {
  uint32_t number = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

/// Walks the fields of one message.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  /// False at the end, and once it is damaged.
  bool Next(Field* field) {
    uint64_t tag = 0;
    if (damaged_ || rest_.empty()) return false;
    if (!ReadNumber(&tag)) return false;
    field->number = static_cast<uint32_t>(tag >> 3);
    field->bytes = {};
    field->value = 0;
    switch (tag & 7) {
      case 0:
        return ReadNumber(&field->value);
      case 1:
        return ReadFixed(8, field);
      case 2: {
        uint64_t size = 0;
        if (!ReadNumber(&size)) return false;
        if (size > rest_.size()) return Damaged();
        field->bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
      }
      case 5:
        return ReadFixed(4, field);
      default:
        return Damaged();
    }
  }
  bool damaged() const { return damaged_; }

 private:
  bool Damaged() {
    damaged_ = true;
    return false;
  }
  bool ReadNumber(uint64_t* number) {
    *number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return Damaged();
      const auto byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      *number |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return true;
    }
    return Damaged();
  }
  bool ReadFixed(size_t size, Field* field) {
    if (rest_.size() < size) return Damaged();
    for (size_t i = 0; i < size; ++i) {
      field->value |= uint64_t{static_cast<uint8_t>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  bool damaged_ = false;
};

enum class PieceType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct Piece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

struct Model {
  std::vector<Piece> pieces;
  uint64_t kind = 1;  // 1: Unigram, 2: BPE
  bool byte_fallback = false;
  bool adds_prefix = true;
  bool removes_spaces = true;
  std::string_view charsmap;
};

Status Corrupt(const char* what) {
  return Error(StatusCode::kCorrupt, "is not a SentencePiece model: %s", what);
}

Status ReadPiece(std::string_view bytes, Model* model) {
  Message message(bytes);
  Piece piece;
  for (Field field; message.Next(&field);) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) {
      const auto bits = static_cast<uint32_t>(field.value);
      std::memcpy(&piece.score, &bits, sizeof(bits));
    }
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) return Corrupt("a piece of an unknown type");
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  if (message.damaged()) return Corrupt("a piece is damaged");
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes) return Corrupt("a piece's length");
  if (!std::isfinite(piece.score)) return Corrupt("a score that is not finite");
  if (model->pieces.size() >= schema::kMaxTokens) return Corrupt("too many pieces");
  model->pieces.push_back(piece);
  return OkStatus();
}

Result<Model> ReadModel(std::string_view bytes) {
  Model model;
  Message message(bytes);
  for (Field field; message.Next(&field);) {
    if (field.number == 1) GRAFT_RETURN_IF_ERROR(ReadPiece(field.bytes, &model));
    if (field.number == 2) {  // how it was trained
      Message trainer(field.bytes);
      for (Field setting; trainer.Next(&setting);) {
        if (setting.number == 3) model.kind = setting.value;
        if (setting.number == 35) model.byte_fallback = setting.value != 0;
      }
      if (trainer.damaged()) return Corrupt("its training settings are damaged");
    }
    if (field.number == 3) {  // how it normalizes
      Message normalizer(field.bytes);
      for (Field setting; normalizer.Next(&setting);) {
        if (setting.number == 2) model.charsmap = setting.bytes;
        if (setting.number == 3) model.adds_prefix = setting.value != 0;
        if (setting.number == 4) model.removes_spaces = setting.value != 0;
      }
      if (normalizer.damaged()) return Corrupt("its normalizer is damaged");
    }
  }
  if (message.damaged()) return Corrupt("it is damaged");
  if (model.pieces.empty()) return Corrupt("it has no pieces");
  std::unordered_set<std::string_view> texts;
  for (const Piece& piece : model.pieces)
    if (!texts.insert(piece.text).second) return Corrupt("two of its pieces are the same");
  if (model.kind != 1 && model.kind != 2) {
    return Status(StatusCode::kUnsupported,
                  "is a SentencePiece model of words or characters, which graft does not know");
  }
  return model;
}

std::string Base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  uint32_t bits = 0;
  uint32_t count = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

/// Every way to join two pieces into a third, best piece first; of one piece's ways that with the
/// longest left side, as transformers orders them.
Result<std::string> MergesOf(const Model& model) {
  struct Merge {
    std::string_view left;
    std::string_view right;
    float score;
  };
  std::unordered_map<std::string_view, size_t> known;
  for (size_t i = 0; i < model.pieces.size(); ++i) known.emplace(model.pieces[i].text, i);
  std::vector<Merge> merges;
  for (const Piece& piece : model.pieces) {
    for (size_t cut = 1; cut < piece.text.size(); ++cut) {
      if ((static_cast<uint8_t>(piece.text[cut]) & 0xC0) == 0x80) continue;
      const Merge merge = {piece.text.substr(0, cut), piece.text.substr(cut), piece.score};
      if (known.contains(merge.left) && known.contains(merge.right)) merges.push_back(merge);
    }
    if (merges.size() > kMaxMerges) return Corrupt("too many ways to join its pieces");
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return a.score != b.score ? a.score > b.score : a.left.size() > b.left.size();
  });
  std::string json = "[";
  for (const Merge& merge : merges) {
    json += json.size() == 1 ? "[" : ",[";
    json += JsonQuote(merge.left) + "," + JsonQuote(merge.right) + "]";
  }
  return json + "]";
}

std::string VocabularyOf(const Model& model, bool with_scores) {
  std::string json = with_scores ? "[" : "{";
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    if (i > 0) json += ",";
    const std::string text = JsonQuote(model.pieces[i].text);
    if (with_scores) {
      char score[40];
      std::snprintf(score, sizeof(score), "%.9g", static_cast<double>(model.pieces[i].score));
      json += "[" + text + "," + score + "]";
    } else {
      json += text + ":" + std::to_string(i);
    }
  }
  return json + (with_scores ? "]" : "}");
}

/// Puts in place what a class has otherwise. `changes` must outlive the model.
Status ChangePieces(const PieceChanges& changes, Model* model) {
  if (changes.left_out == 0 && changes.before.empty() && changes.after.empty()) return OkStatus();
  if (changes.left_out > model->pieces.size()) return Corrupt("it has too few pieces");
  const auto piece = [&](const ScoredPiece& made) {
    const auto type = made.text == changes.unknown ? PieceType::kUnknown : PieceType::kNormal;
    return Piece{.text = made.text, .score = made.score, .type = type};
  };
  std::vector<Piece> pieces;
  for (const ScoredPiece& made : changes.before) pieces.push_back(piece(made));
  pieces.insert(pieces.end(), model->pieces.begin() + static_cast<std::ptrdiff_t>(changes.left_out),
                model->pieces.end());
  for (const ScoredPiece& made : changes.after) pieces.push_back(piece(made));
  model->pieces = std::move(pieces);
  return OkStatus();
}

std::string AddedTokensOf(const Model& model) {
  std::string json = "[";
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const PieceType type = model.pieces[i].type;
    const bool is_special = type == PieceType::kControl || type == PieceType::kUnknown;
    if (!is_special && type != PieceType::kUserDefined) continue;
    json += json.size() == 1 ? "" : ",";
    json += R"({"id":)" + std::to_string(i) + R"(,"content":)" + JsonQuote(model.pieces[i].text) +
            R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":)" +
            (is_special ? "true}" : "false}");
  }
  return json + "]";
}

}  // namespace

Result<std::string> SentencePieceToJson(std::string_view bytes, const SentencePieceUse& use) {
  GRAFT_ASSIGN_OR_RETURN(Model model, ReadModel(bytes));
  GRAFT_RETURN_IF_ERROR(ChangePieces(use.changes, &model));
  const bool is_bpe = model.kind == 2;
  std::string unknown_text = "null";
  std::string unknown_id = "null";
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    if (model.pieces[i].type != PieceType::kUnknown) continue;
    unknown_text = JsonQuote(model.pieces[i].text);
    unknown_id = std::to_string(i);
  }
  std::string normalizers;
  const auto normalize = [&](const std::string& step) {
    normalizers += (normalizers.empty() ? "" : ",") + step;
  };
  if (!model.charsmap.empty()) {
    normalize(R"({"type":"Precompiled","precompiled_charsmap":")" + Base64(model.charsmap) + "\"}");
  }
  if (model.removes_spaces) {
    // A space at the start stands for the prefix, which Metaspace then leaves out.
    const bool keeps_start = is_bpe && model.adds_prefix && !use.prefixes_every_part;
    normalize(keeps_start ? R"({"type":"Strip","strip_left":false,"strip_right":true})"
                          : R"({"type":"Strip","strip_left":true,"strip_right":true})");
    normalize(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "})");
  }
  std::string json = R"({"added_tokens":)" + AddedTokensOf(model);
  const std::string fallback = model.byte_fallback ? "true" : "false";
  if (is_bpe) {
    GRAFT_ASSIGN_OR_RETURN(const std::string merges, MergesOf(model));
    if (use.prefixes_every_part) {
      // Before a text that begins with a space, too.
      if (model.adds_prefix) normalize(R"({"type":"Prepend","prepend":"▁"})");
      normalize(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})");
      json += R"(,"pre_tokenizer":null)";
    } else {
      json +=
          std::string(R"(,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","split":false,)") +
          R"("prepend_scheme":")" + (model.adds_prefix ? "first" : "never") + "\"}";
    }
    json += R"(,"decoder":{"type":"Sequence","decoders":[)"
            R"({"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},)"
            R"({"type":"Fuse"})";
    if (model.adds_prefix) json += R"(,{"type":"Strip","content":" ","start":1,"stop":0})";
    json += R"(]},"model":{"type":"BPE","unk_token":)" + unknown_text +
            R"(,"fuse_unk":true,"byte_fallback":)" + fallback + R"(,"vocab":)" +
            VocabularyOf(model, false) + R"(,"merges":)" + merges + "}";
  } else {
    const std::string metaspace =
        std::string(R"({"type":"Metaspace","replacement":"▁","prepend_scheme":")") +
        (model.adds_prefix ? "always" : "never") + "\"}";
    json += R"(,"pre_tokenizer":)" + metaspace + R"(,"decoder":)" + metaspace +
            R"(,"model":{"type":"Unigram","unk_id":)" + unknown_id + R"(,"byte_fallback":)" +
            fallback + R"(,"vocab":)" + VocabularyOf(model, true) + "}";
  }
  if (!use.post_processor.empty()) json += R"(,"post_processor":)" + use.post_processor;
  return json + R"(,"normalizer":{"type":"Sequence","normalizers":[)" + normalizers + "]}}";
}

}  // namespace graft::converter
