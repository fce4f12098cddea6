// SPDX-License-Identifier: Apache-2.0
// What models of images share: the sizes of what they take, and the heads of their tasks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "converter/lower/architectures/vision/pixel_map.h"
#include "converter/lower/lowering.h"

namespace graft::converter {

/// A side for both, or [height, width].
Result<ImageSize> ReadSides(const JsonValue& config, const char* key, int64_t fallback);

/// The size of the images that a model takes which could take others: what its files prepare images
/// to, else `image_size` of its configuration, else `fallback` a side.
Result<ImageSize> ReadImageSize(const JsonValue& config, const TaskDescription& task,
                                int64_t fallback);

/// Numbers of a list of config.json, each 1 to `most`, `count` of them if that is not 0.
Result<std::vector<int64_t>> ReadNumbers(const JsonValue& config, const char* key, int64_t most,
                                         const std::vector<int64_t>& fallback, size_t count = 0);

/// Says that the model takes images. Pictures have one channel or three; what other numbers of
/// channels come from is the caller's.
void DescribeImage(int64_t channels, const ImageSize& size, TaskDescription* task);

/// "family" if its modules are called so, else nothing: the bare model's have no prefix.
std::string FamilyPath(const GraphBuilder& graph, const std::string& family,
                       const std::string& tensor);

/// Errors   kUnsupported: `architectures` names a class that is not one of the bare model,
///          ForImageClassification and those in `others`.
Status CheckImageHead(const JsonValue& config, const std::vector<std::string>& others = {});

/// logits [1, labels] of a row `features`, if the checkpoint has a "classifier.weight"; false if it
/// has none.
Result<bool> ClassifyImage(const JsonValue& config, ValueId features, GraphBuilder& graph,
                           TaskDescription* task);

/// The mean of all pixels, [1, channels].
ValueId MeanOfPixels(GraphBuilder& graph, const std::string& name, const PixelMap& x);

/// Scores of the mean of all pixels, or, of the bare model, that mean as pooler_output and
/// last_hidden_state [channels, height, width].
Status OutputPixels(const JsonValue& config, const PixelMap& x, ValueId pooled, GraphBuilder& graph,
                    TaskDescription* task);

}  // namespace graft::converter
