// SPDX-License-Identifier: Apache-2.0
// The options of commands that generate: what the text must be.
#pragma once

#include <string>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

class ConstraintOptions {
 public:
  void AddTo(Options* options);
  /// What is wrong with them together; empty if nothing is.
  std::string Check();
  /// Reads the files. False after a failure, which has been printed.
  bool Read();
  /// Sets the fields of *options, which point to the strings here.
  void SetIn(graft_generate_options* options) const;
  /// Says why a call that was given these failed: of the file or option that is at fault, if the
  /// message names its field, else of the model. Returns an exit code.
  int FailCall(const std::string& model_file, const std::string& tools_file,
               const graft_error& error) const;

 private:
  std::string schema_file_;
  std::string grammar_file_;
  std::string text_;  // of either
  std::string regex_;
  std::string choices_;
  std::string trigger_;
  bool has_schema_ = false;
  bool has_grammar_ = false;
  bool has_regex_ = false;
  bool has_choices_ = false;
  bool has_trigger_ = false;
  bool in_order_ = false;
  std::vector<std::string> choice_list_;
  std::vector<const char*> choice_pointers_;
};

}  // namespace graft_run
