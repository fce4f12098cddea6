// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/generation/constraint_options.h"

#include <algorithm>
#include <utility>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {

void ConstraintOptions::AddTo(Options* options) {
  options->String("json-schema", 0, &schema_file_, &has_schema_);
  options->String("grammar", 0, &grammar_file_, &has_grammar_);
  options->String("regex", 0, &regex_, &has_regex_);
  options->String("choices", 0, &choices_, &has_choices_);
  options->String("after", 0, &trigger_, &has_trigger_);
  options->Flag("in-order", &in_order_);
}

std::string ConstraintOptions::Check() {
  const int given = has_schema_ + has_grammar_ + has_regex_ + has_choices_;
  if (given > 1) return "give one of --json-schema, --grammar, --regex and --choices";
  if (has_trigger_ && given == 0) {
    return "--after needs --json-schema, --grammar, --regex or --choices";
  }
  if (in_order_ && !has_schema_) return "--in-order needs --json-schema";
  if (!has_choices_) return "";
  for (size_t begin = 0; begin <= choices_.size();) {
    const size_t end = std::min(choices_.find(',', begin), choices_.size());
    choice_list_.push_back(choices_.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const std::string& choice : choice_list_) choice_pointers_.push_back(choice.c_str());
  return "";
}

bool ConstraintOptions::Read() {
  if (has_schema_) return ReadTextFile(schema_file_, &text_);
  return !has_grammar_ || ReadTextFile(grammar_file_, &text_);
}

void ConstraintOptions::SetIn(graft_generate_options* options) const {
  if (has_schema_) options->json_schema = text_.c_str();
  if (has_grammar_) options->grammar = text_.c_str();
  if (has_regex_) options->regex = regex_.c_str();
  if (has_choices_) {
    options->choices = choice_pointers_.data();
    options->choice_count = choice_pointers_.size();
  }
  if (has_trigger_) options->constraint_trigger = trigger_.c_str();
  options->json_in_order = in_order_ ? 1 : 0;
}

int ConstraintOptions::FailCall(const std::string& model_file, const std::string& tools_file,
                                const graft_error& error) const {
  const std::pair<std::string_view, std::string> subjects[] = {{"json_schema: ", schema_file_},
                                                               {"grammar: ", grammar_file_},
                                                               {"regex: ", "--regex"},
                                                               {"choices: ", "--choices"},
                                                               {"tools: ", tools_file}};
  const std::string_view message = error.message;
  for (const auto& [field, subject] : subjects) {
    if (message.starts_with(field)) return Fail(subject, message.substr(field.size()));
  }
  return graft_run::FailCall(model_file, error);
}

}  // namespace graft_run
