// SPDX-License-Identifier: Apache-2.0
// Pictures that a text is about: read from files, put into the text, and given to the session.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/pictures/picture.h"

namespace graft_run {

/// A message in JSON. in_parts: its content is a list of pictures and the text, as models that see are
/// given it.
std::string MessageOf(const std::string& role, const std::string& text, bool in_parts,
                      size_t pictures);

class TextPictures {
 public:
  /// Decodes `file` as one more picture; false after a failure, which has been printed.
  bool Add(const std::string& file);
  /// Forgets those from `first` on, or the first `count`.
  void Truncate(size_t first) { pictures_.resize(first); }
  void RemoveFirst(size_t count) {
    pictures_.erase(pictures_.begin(), pictures_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  size_t size() const { return pictures_.size(); }
  bool empty() const { return pictures_.empty(); }

  /// Puts what stands for the pictures into *text. `model_file` is for messages.
  bool Place(const std::string& model_file, const graft_model* model, std::string* text) const;
  /// Makes them the session's.
  bool SetIn(const std::string& model_file, graft_session* session) const;

 private:
  std::vector<graft_image> Images() const;

  std::vector<Picture> pictures_;
};

}  // namespace graft_run
