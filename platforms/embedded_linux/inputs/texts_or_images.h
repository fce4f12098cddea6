// SPDX-License-Identifier: Apache-2.0
// TextsOrImages: what `classify` and `embed` are asked about, by --text or by --image, each as often
// as there are such.
#pragma once

#include <string>
#include <vector>

#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

struct TextsOrImages {
  std::vector<std::string> texts;
  std::vector<std::string> images;  ///< files

  /// This must outlive `options`.
  void AddTo(Options* options) {
    options->StringList("text", &texts);
    options->StringList("image", &images);
  }
  /// What is wrong with what was given, or an empty string: one kind there must be, and one alone.
  std::string Problem() const {
    if (texts.empty() != images.empty()) return {};
    return texts.empty() ? "--text or --image is missing" : "--text and --image do not go together";
  }
};

}  // namespace graft_run
