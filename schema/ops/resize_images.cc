// SPDX-License-Identifier: Apache-2.0
#include "schema/ops/resize_images.h"

#include <cstring>
#include <span>
#include <string>

#include "schema/container.h"
#include "schema/generated/model_generated.h"
#include "schema/image_window.h"
#include "schema/verify_graph.h"

namespace graft::schema {
namespace {

// Rewrites the sizes in a copy of a header, op by op. What it makes is checked as a whole afterwards:
// here nothing is taken for granted but that it was a valid graph.
class ImageResizer {
 public:
  explicit ImageResizer(fb::Model* model)
      : graph_(*model->graph()),
        before_(graph_.values()->size()),
        after_(graph_.values()->size()) {}

  Status Run(const ImageSides& sides) {
    for (const fb::GraphInput* input : *graph_.inputs()) {
      const fb::Value& value = *graph_.values()->Get(static_cast<uint32_t>(input->value()));
      if (input->role() != fb::InputRole::Tensor || value.shape()->size() != 3) continue;
      before_[Index(input->value())] = {value.shape()->Get(1)->size(),
                                        value.shape()->Get(2)->size()};
      after_[Index(input->value())] = sides;
      SetDimension(input->value(), 1, sides.height);
      SetDimension(input->value(), 2, sides.width);
    }
    for (const fb::Op* op : *graph_.ops()) GRAFT_RETURN_IF_ERROR(Resize(*op));
    return OkStatus();
  }

 private:
  static size_t Index(int32_t value) { return static_cast<size_t>(value); }
  static Status Refuse(const fb::Op& op) {
    return Error(StatusCode::kInvalidArgument,
                 "op %.200s is made for images of the model's own size",
                 op.name() == nullptr ? "unnamed" : op.name()->c_str());
  }

  void SetDimension(int32_t value, uint32_t index, int64_t size) const {
    const auto* dimension = graph_.values()->Get(static_cast<uint32_t>(value))->shape()->Get(index);
    *const_cast<fb::Dimension*>(dimension) = fb::Dimension(size, dimension->symbol());
  }

  // The window as it was and as it is to be, and the places of both.
  Status ResizeWindow(const fb::Op& op, const fb::ImageWindow& window, uint32_t extra_height,
                      uint32_t extra_width) {
    const size_t in = Index(op.inputs()->Get(0));
    const size_t out = Index(op.outputs()->Get(0));
    const Result<WindowPlaces> old_places = PlacesOf(window, extra_height, extra_width);
    if (!old_places.ok() || before_[in].height != window.height() ||
        before_[in].width != window.width()) {
      return Refuse(op);
    }
    before_[out] = {old_places->height, old_places->width};
    auto* resized = const_cast<fb::ImageWindow*>(&window);
    const ImageSides& sides = after_[in];
    *resized = fb::ImageWindow(window.channels(), static_cast<uint32_t>(sides.height),
                               static_cast<uint32_t>(sides.width), window.kernel_height(),
                               window.kernel_width(), window.stride_height(), window.stride_width(),
                               window.pad_height(), window.pad_width(), window.dilation_height(),
                               window.dilation_width());
    const Result<WindowPlaces> places = PlacesOf(*resized, extra_height, extra_width);
    if (!places.ok()) {
      return Error(StatusCode::kInvalidArgument, "op %.200s %s",
                   op.name() == nullptr ? "unnamed" : op.name()->c_str(),
                   std::string(places.status().message()).c_str());
    }
    after_[out] = {places->height, places->width};
    SetDimension(op.outputs()->Get(0), 0, places->height * places->width);
    return OkStatus();
  }

  // To the size of the first map that had this size before.
  Status ResizeResizing(const fb::Op& op, const fb::ResizePixels& resize) {
    const size_t in = Index(op.inputs()->Get(0));
    const size_t out = Index(op.outputs()->Get(0));
    const ImageSides wanted = {resize.out_height(), resize.out_width()};
    size_t like = 0;
    while (like < before_.size() &&
           (before_[like].height != wanted.height || before_[like].width != wanted.width))
      ++like;
    if (like == before_.size()) return Refuse(op);
    const ImageSides& to = after_[like];
    auto* table =
        const_cast<flatbuffers::Table*>(reinterpret_cast<const flatbuffers::Table*>(&resize));
    using Fields = fb::ResizePixels;
    // What was one row, as of all pixels, stays one.
    const bool is_image = before_[in].height > 0;
    const ImageSides from = is_image ? after_[in] : ImageSides{resize.height(), resize.width()};
    const bool written =
        table->SetField<uint32_t>(Fields::VT_HEIGHT, static_cast<uint32_t>(from.height), 0) &&
        table->SetField<uint32_t>(Fields::VT_WIDTH, static_cast<uint32_t>(from.width), 0) &&
        table->SetField<uint32_t>(Fields::VT_OUT_HEIGHT, static_cast<uint32_t>(to.height), 0) &&
        table->SetField<uint32_t>(Fields::VT_OUT_WIDTH, static_cast<uint32_t>(to.width), 0);
    if (!written) return Refuse(op);
    before_[out] = wanted;
    after_[out] = to;
    SetDimension(op.outputs()->Get(0), 0, to.height * to.width);
    return OkStatus();
  }

  // Of an op that has a row for each of its first input's.
  Status KeepRows(const fb::Op& op) {
    const size_t in = Index(op.inputs()->Get(0));
    const size_t out = Index(op.outputs()->Get(0));
    before_[out] = before_[in];
    after_[out] = after_[in];
    SetDimension(op.outputs()->Get(0), 0, after_[in].height * after_[in].width);
    return OkStatus();
  }

  Status Resize(const fb::Op& op) {
    bool sees_image = false;
    for (const int32_t input : *op.inputs())
      sees_image = sees_image || before_[Index(input)].height > 0;
    if (op.attributes_type() == fb::OpAttributes::ResizePixels)
      return ResizeResizing(op, *op.attributes_as_ResizePixels());
    if (!sees_image) return OkStatus();
    if (before_[Index(op.inputs()->Get(0))].height == 0) return Refuse(op);
    switch (op.attributes_type()) {
      case fb::OpAttributes::Patches:
        return ResizeWindow(op, *op.attributes_as_Patches()->window(), 0, 0);
      case fb::OpAttributes::PoolPixels:
        return ResizeWindow(op, *op.attributes_as_PoolPixels()->window(), 0, 0);
      case fb::OpAttributes::Convolution: {
        const fb::Convolution& convolution = *op.attributes_as_Convolution();
        return ResizeWindow(op, *convolution.window(), convolution.extra_height(),
                            convolution.extra_width());
      }
      case fb::OpAttributes::Planes: {
        const ImageSides& sides = after_[Index(op.inputs()->Get(0))];
        SetDimension(op.outputs()->Get(0), 1, sides.height);
        SetDimension(op.outputs()->Get(0), 2, sides.width);
        return OkStatus();
      }
      case fb::OpAttributes::PoolRows:
        return OkStatus();  // one row, however many there were
      case fb::OpAttributes::Attention:
        return op.attributes_as_Attention()->block() == 0 ? KeepRows(op) : Refuse(op);
      case fb::OpAttributes::Linear:
      case fb::OpAttributes::RmsNorm:
      case fb::OpAttributes::LayerNorm:
      case fb::OpAttributes::Add:
      case fb::OpAttributes::Multiply:
      case fb::OpAttributes::Activation:
      case fb::OpAttributes::GatedActivation:
      case fb::OpAttributes::Scale:
      case fb::OpAttributes::Clamp:
      case fb::OpAttributes::Xielu:
        return KeepRows(op);
      default:
        return Refuse(op);
    }
  }

  const fb::Graph& graph_;
  std::vector<ImageSides> before_, after_;  // of each value; 0: it is no image
};

}  // namespace

Result<VerifiedModel> ResizeImages(const VerifiedModel& model, const ImageSides& sides,
                                   std::vector<uint64_t>* header) {
  const std::span<const uint8_t> bytes = model.file_bytes();
  GRAFT_ASSIGN_OR_RETURN(const Preamble preamble, DecodePreamble(bytes, bytes.size()));
  header->assign((preamble.header_bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t), 0);
  std::memcpy(header->data(), bytes.data() + preamble.header_offset, preamble.header_bytes);
  fb::Model* resized = const_cast<fb::Model*>(fb::GetModel(header->data()));
  GRAFT_RETURN_IF_ERROR(ImageResizer(resized).Run(sides));
  const Result<GraphFacts> facts = CheckGraph(*resized);
  if (!facts.ok())
    return Error(StatusCode::kInvalidArgument, "%s", std::string(facts.status().message()).c_str());
  return VerifiedModel(resized, bytes, *facts);
}

}  // namespace graft::schema
