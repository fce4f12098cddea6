// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/picture_files.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>

#include "converter/base/input_file.h"
#include "converter/describe/image_files.h"
#include "converter/json/json.h"
#include "schema/image_window.h"
#include "schema/ops/verify_pictures.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;
using Filter = ImagePreparation::Filter;
using Layout = PicturesDescription::Layout;
using Kind = PicturesDescription::Processor;

// Settings beside those of all processors that are read, or that say nothing about pixels.
constexpr std::string_view kOfThese[] = {"pan_and_scan_max_num_crops",
                                         "pan_and_scan_min_crop_size",
                                         "pan_and_scan_min_ratio_to_activate",
                                         "max_image_size",
                                         "do_image_splitting",
                                         "downsample_factor",
                                         "min_tiles",
                                         "max_tiles",
                                         "use_thumbnail",
                                         "min_image_tokens",
                                         "max_image_tokens",
                                         "encoder_patch_size",
                                         "tile_size",
                                         "max_pixels_tolerance",
                                         "max_num_patches",
                                         "do_pad",
                                         "patch_size",
                                         "return_row_col_info",
                                         "min_pixels",
                                         "max_pixels",
                                         "merge_size",
                                         "temporal_patch_size",
                                         "video_sampling"};

bool IsKindOf(std::string_view type, Kind kind) {
  switch (kind) {
    case Kind::kGemma3:
      return type.starts_with("Gemma3ImageProcessor");
    case Kind::kIdefics3:
      return type.starts_with("Idefics3ImageProcessor") ||
             type.starts_with("SmolVLMImageProcessor");
    case Kind::kPixtral:
      return type.starts_with("PixtralImageProcessor");
    case Kind::kLfm2Vl:
      return type.starts_with("Lfm2VlImageProcessor");
    case Kind::kQwen2Vl:
      return type.starts_with("Qwen2VLImageProcessor");
  }
  return false;
}

Status CheckSettings(const JsonValue& config, Kind kind) {
  if (!config.IsObject()) return config.Fail("must hold an object");
  if (config.Has("image_processor_type")) {
    GRAFT_ASSIGN_OR_RETURN(const std::string type, config.GetString("image_processor_type"));
    if (!IsKindOf(type, kind)) {
      return config.Find("image_processor_type")
          .Fail("is \"" + type + "\", which is not the family's; --text-only leaves pictures out",
                StatusCode::kUnsupported);
    }
  }
  for (size_t i = 0; i < config.size(); ++i) {
    const JsonValue value = config.at(i);
    const bool off = value.IsNull() || (value.kind() == JsonKind::kBool && !value.AsBool().value());
    const bool is_known =
        IsSettingOfAllProcessors(config.key(i)) ||
        std::find(std::begin(kOfThese), std::end(kOfThese), config.key(i)) != std::end(kOfThese);
    if (off ? config.key(i) == "do_resize" ||
                  (config.key(i) == "do_image_splitting" && !value.IsNull() &&
                   kind != Kind::kLfm2Vl) ||
                  (config.key(i) == "use_thumbnail" && !value.IsNull())
            : !is_known) {
      return value.Fail(
          "is " + value.Text() + ", which is not computed; --text-only leaves pictures out",
          StatusCode::kUnsupported);
    }
  }
  return OkStatus();
}

// The sides of `key`, which are the model's, or may be up to them if `longest` is not null.
Status ReadSize(const JsonValue& config, const char* key, const PicturesDescription& pictures,
                int64_t* longest) {
  const JsonValue size = config.Find(key);
  if (!config.Has(key)) return OkStatus();
  if (!size.IsObject()) return size.Fail("must hold an object", StatusCode::kUnsupported);
  if (longest != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(*longest, size.GetIntIn("longest_edge", 1, schema::kMaxImageSide));
    return OkStatus();
  }
  const int64_t side = pictures.image.height;
  for (size_t i = 0; i < size.size(); ++i) {
    if (size.at(i).IsNull()) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t given, size.at(i).AsInt());
    if (given == side) continue;
    return size.at(i).Fail("makes images of " + std::to_string(given) +
                               " a side, but the model takes " + std::to_string(side),
                           StatusCode::kMismatch);
  }
  return OkStatus();
}

// A number that the model has, too.
Status ExpectModels(const JsonValue& config, const char* key, int64_t own) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t given, config.GetIntIn(key, 1, int64_t{1} << 20, own));
  if (given == own) return OkStatus();
  return config.Find(key).Fail("is not the model's " + std::to_string(own), StatusCode::kMismatch);
}

// Qwen says how many pixels a picture may have: in `size`, whose edges are no edges, or beside it.
Status ReadArea(const JsonValue& config, PicturesDescription* p) {
  constexpr int64_t kMost = int64_t{1} << 28;
  p->layout = Layout::kArea;
  const JsonValue size = config.Find("size");
  if (config.Has("size") && !size.IsObject())
    return size.Fail("must hold an object", StatusCode::kUnsupported);
  const auto read = [&](const char* beside, const char* in_size, int64_t usual) {
    if (config.Has(beside)) return config.GetIntIn(beside, 1, kMost);
    if (size.IsObject() && size.Has(beside)) return size.GetIntIn(beside, 1, kMost);
    return size.IsObject() ? size.GetIntIn(in_size, 1, kMost) : Result<int64_t>(usual);
  };
  GRAFT_ASSIGN_OR_RETURN(p->fewest_pixels, read("min_pixels", "shortest_edge", int64_t{56} * 56));
  GRAFT_ASSIGN_OR_RETURN(p->most_pixels,
                         read("max_pixels", "longest_edge", int64_t{28} * 28 * 1280));
  GRAFT_RETURN_IF_ERROR(ExpectModels(config, "patch_size", p->patch));
  GRAFT_RETURN_IF_ERROR(ExpectModels(config, "merge_size", p->merge));
  GRAFT_RETURN_IF_ERROR(ExpectModels(config, "temporal_patch_size", p->frames));
  const int64_t block = p->patch * p->merge;
  if (p->most_pixels < p->fewest_pixels || p->most_pixels < block * block) {
    return config.Fail("wants pictures of " + std::to_string(p->fewest_pixels) + " to " +
                           std::to_string(p->most_pixels) + " pixels, in blocks of " +
                           std::to_string(block) + " a side",
                       StatusCode::kUnsupported);
  }
  // The longest are a block high.
  p->most_patches = p->most_pixels / (p->patch * p->patch);
  p->side = std::min(p->most_patches / p->merge, schema::kMaxImageSide / p->patch);
  p->side -= p->side % p->merge;
  p->most_patches = std::min(p->most_patches, p->side * p->side);
  p->image.height = p->image.width = p->side * p->patch;
  return OkStatus();
}

// LFM2-VL says how many rows a picture may have; sides follow from that.
Status ReadRatio(const JsonValue& config, PicturesDescription* p) {
  constexpr int64_t kMost = 4096;
  p->layout = Layout::kRatio;
  GRAFT_ASSIGN_OR_RETURN(p->fewest_rows, config.GetIntIn("min_image_tokens", 1, kMost, 64));
  GRAFT_ASSIGN_OR_RETURN(p->most_rows,
                         config.GetIntIn("max_image_tokens", p->fewest_rows, kMost, 256));
  GRAFT_ASSIGN_OR_RETURN(p->tile_side, config.GetIntIn("tile_size", 1, schema::kMaxImageSide, 512));
  GRAFT_ASSIGN_OR_RETURN(p->tolerance, config.GetDouble("max_pixels_tolerance", 2.0));
  GRAFT_ASSIGN_OR_RETURN(p->fewest_tiles,
                         config.GetIntIn("min_tiles", 1, schema::kMaxTiles - 1, 2));
  GRAFT_ASSIGN_OR_RETURN(p->most_tiles,
                         config.GetIntIn("max_tiles", p->fewest_tiles, schema::kMaxTiles - 1, 10));
  GRAFT_ASSIGN_OR_RETURN(const bool splits, config.GetBool("do_image_splitting", true));
  if (!splits || p->most_tiles == 1) p->fewest_tiles = p->most_tiles = 0;
  GRAFT_RETURN_IF_ERROR(ExpectModels(config, "downsample_factor", p->merge));
  GRAFT_RETURN_IF_ERROR(ExpectModels(config, "encoder_patch_size", p->patch));
  const int64_t block = p->patch * p->merge;
  if (p->most_tiles > 0 && p->tile_side % block != 0) {
    return config.Find("tile_size")
        .Fail("is no multiple of " + std::to_string(block), StatusCode::kUnsupported);
  }
  const int64_t across = p->most_tiles > 0 ? p->tile_side / p->patch : 0;
  p->side = std::max(p->most_rows * p->merge, across);
  p->most_patches = std::max(p->most_rows * p->merge * p->merge, across * across);
  p->image.height = p->image.width = p->side * p->patch;
  if (p->image.height <= schema::kMaxImageSide) return OkStatus();
  return config.Fail("max_image_tokens makes images of up to " + std::to_string(p->image.height) +
                         " pixels a side",
                     StatusCode::kUnsupported);
}

Status ReadLayout(const JsonValue& config, PicturesDescription* pictures) {
  if (pictures->processor == Kind::kLfm2Vl) return ReadRatio(config, pictures);
  if (pictures->processor == Kind::kQwen2Vl) return ReadArea(config, pictures);
  const int64_t side = pictures->image.height;
  int64_t& longest = pictures->longest_side;
  switch (pictures->processor) {
    case Kind::kGemma3:
      pictures->layout = Layout::kSquare;
      return ReadSize(config, "size", *pictures, nullptr);
    case Kind::kIdefics3:
      pictures->layout = Layout::kTiles;
      longest = 4 * side;
      GRAFT_RETURN_IF_ERROR(ReadSize(config, "max_image_size", *pictures, nullptr));
      GRAFT_RETURN_IF_ERROR(ReadSize(config, "size", *pictures, &longest));
      break;
    case Kind::kPixtral:
      pictures->layout = Layout::kGrid;
      longest = side;
      GRAFT_RETURN_IF_ERROR(ReadSize(config, "size", *pictures, &longest));
      break;
    case Kind::kLfm2Vl:
    case Kind::kQwen2Vl:
      break;
  }
  const int64_t tiles = longest / side + 1;
  const bool fits =
      pictures->layout == Layout::kGrid ? longest <= side : tiles * tiles <= schema::kMaxTiles;
  if (fits) return OkStatus();
  return config.Find("size").Fail("makes images of up to " + std::to_string(longest) +
                                      " a side, more than the model's " + std::to_string(side) +
                                      " allow",
                                  StatusCode::kMismatch);
}

// Special tokens, as one of the two files calls them.
class SpecialTokens {
 public:
  Status Read(const fs::path& processor, const fs::path& tokenizer) {
    for (const fs::path& file : {processor, tokenizer}) {
      if (!Exists(file)) continue;
      GRAFT_ASSIGN_OR_RETURN(auto document, JsonDocument::Read(file));
      documents_.push_back(std::move(document));
    }
    return OkStatus();
  }

  std::string Find(const char* key, std::string_view usual) const {
    for (const auto& document : documents_) {
      const JsonValue root = document->root();
      for (const JsonValue& in :
           {root, root.Find("extra_special_tokens"), root.Find("model_specific_special_tokens")}) {
        if (!in.IsObject() || !in.Has(key)) continue;
        const JsonValue token =
            in.Find(key).IsObject() ? in.Find(key).Find("content") : in.Find(key);
        if (const auto text = token.AsString(); text.ok() && !text->empty())
          return std::string(*text);
      }
    }
    return std::string(usual);
  }

 private:
  std::vector<std::unique_ptr<JsonDocument>> documents_;
};

void WriteTexts(const SpecialTokens& tokens, PicturesDescription* p) {
  switch (p->processor) {
    case Kind::kGemma3:
      p->placeholder = tokens.Find("boi_token", "<start_of_image>");
      p->token_text = tokens.Find("image_token", "<image_soft_token>");
      p->begin = "\n\n" + p->placeholder;
      p->end = tokens.Find("eoi_token", "<end_of_image>") + "\n\n";
      return;
    case Kind::kIdefics3: {
      p->placeholder = p->token_text = tokens.Find("image_token", "<image>");
      const std::string around = tokens.Find("fake_image_token", "<fake_token_around_image>");
      p->end = around;
      p->single_begin = around + tokens.Find("global_image_token", "<global-img>");
      p->whole_begin = "\n" + p->single_begin;
      p->tile_begin = around + "<row_{row}_col_{column}>";
      p->tile_row_end = "\n";
      return;
    }
    case Kind::kPixtral:
      p->placeholder = p->token_text = tokens.Find("image_token", "[IMG]");
      p->row_break = tokens.Find("image_break_token", "[IMG_BREAK]");
      p->end = tokens.Find("image_end_token", "[IMG_END]");
      return;
    case Kind::kLfm2Vl:
      p->placeholder = p->token_text = tokens.Find("image_token", "<image>");
      p->begin = tokens.Find("image_start_token", "<|image_start|>");
      p->end = tokens.Find("image_end_token", "<|image_end|>");
      p->whole_begin = tokens.Find("image_thumbnail_token", "<|img_thumbnail|>");
      p->tile_begin = "<|img_row_{row}_col_{column}|>";
      return;
    case Kind::kQwen2Vl:
      p->token_text = tokens.Find("image_token", "<|image_pad|>");
      p->begin = tokens.Find("vision_bos_token", "<|vision_start|>");
      p->end = tokens.Find("vision_eos_token", "<|vision_end|>");
      p->placeholder = p->begin + p->token_text + p->end;
      return;
  }
}

}  // namespace

Status ReadPictureFiles(const fs::path& images, const fs::path& tokens,
                        PicturesDescription* pictures) {
  constexpr Filter kUsual[] = {Filter::kBilinear, Filter::kLanczos, Filter::kBicubic,
                               Filter::kBilinear, Filter::kBicubic};
  const Filter usual = kUsual[static_cast<size_t>(pictures->processor)];
  const bool is_clip =
      pictures->processor == Kind::kPixtral || pictures->processor == Kind::kQwen2Vl;
  const fs::path own = images / "preprocessor_config.json";
  const fs::path of_all = images / "processor_config.json";
  std::unique_ptr<JsonDocument> document;
  if (Exists(own) || Exists(of_all)) {
    GRAFT_ASSIGN_OR_RETURN(document, JsonDocument::Read(Exists(own) ? own : of_all));
  }
  if (document != nullptr && !Exists(own) && !document->root().Find("image_processor").IsObject())
    document.reset();
  if (document == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(document, JsonDocument::Parse("{}", own.string()));
  } else {
    pictures->image.source = (Exists(own) ? own : of_all).string();
  }
  const JsonValue root = document->root();
  const JsonValue config =
      Exists(own) || pictures->image.source.empty() ? root : root.Find("image_processor");
  GRAFT_RETURN_IF_ERROR(CheckSettings(config, pictures->processor));
  GRAFT_RETURN_IF_ERROR(ReadPixelSettings(config, usual, is_clip, &pictures->image));
  GRAFT_RETURN_IF_ERROR(ReadLayout(config, pictures));
  SpecialTokens special;
  GRAFT_RETURN_IF_ERROR(special.Read(of_all, tokens / "tokenizer_config.json"));
  WriteTexts(special, pictures);
  return OkStatus();
}

std::string DescribePictures(const PicturesDescription& pictures) {
  const std::string side = std::to_string(pictures.image.height);
  const int64_t across = pictures.side / pictures.merge;
  std::string rows = std::to_string(across * across) + " tokens";
  if (pictures.layout == Layout::kSquare) return "resized to " + side + "x" + side + ", " + rows;
  if (pictures.layout == Layout::kRatio) {
    return "at most " + std::to_string(pictures.most_rows) + " tokens, or cut into up to " +
           std::to_string(pictures.most_tiles) + " images of " +
           std::to_string(pictures.tile_side) + " a side";
  }
  if (pictures.layout == Layout::kArea) {
    const int64_t block = pictures.patch * pictures.merge;
    return "of about their sides, at most " + std::to_string(pictures.most_pixels) +
           " pixels, a token for each " + std::to_string(block) + "x" + std::to_string(block);
  }
  const std::string longest = std::to_string(pictures.longest_side);
  if (pictures.layout == Layout::kGrid)
    return "at most " + longest + " pixels a side, up to " + rows;
  return "the longer side resized to " + longest + ", cut into images of " + side + "x" + side +
         ", " + rows + " each";
}

}  // namespace graft::converter
