// SPDX-License-Identifier: Apache-2.0
// How weights are stored: the options of `convert` for that.
#include <cstdint>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "converter/commands/commands.h"

namespace graft::converter {

namespace {

CLI::Option* AddCalibration(CLI::App* command, ConvertOptions* options) {
  CLI::Option* calibrate =
      command
          ->add_option("--calibrate", options->calibrate,
                       "Round weights by what their errors do to outputs, on texts that the model "
                       "itself writes (self), or on those of a text file or a JSONL file of chats")
          ->expected(0, 1)
          ->default_str("self")
          ->type_name("[self|FILE]");
  const auto add_count = [&](const char* name, const char* text, int64_t least, int64_t* value) {
    command->add_option(name, *value, text)
        ->check(CLI::Range(least, int64_t{1} << 20))
        ->capture_default_str()
        ->needs(calibrate)
        ->type_name("N");
  };
  add_count("--calibration-texts", "How many texts", 1, &options->calibration_texts);
  add_count("--calibration-tokens", "Tokens of each", 2, &options->calibration_tokens);
  return calibrate;
}

}  // namespace

CLI::Validator Between(double least, double most) {
  return {[least, most](std::string& text) -> std::string {
            double number = 0;
            if (CLI::detail::lexical_cast(text, number) && number >= least && number <= most) {
              return "";
            }
            char refusal[80];
            std::snprintf(refusal, sizeof refusal, "Value is no number from %g to %g", least, most);
            return refusal;
          },
          "NUMBER"};
}

void AddFormats(CLI::App* command, ConvertOptions* options) {
  CLI::Option* quant =
      command->add_option("--quant", options->quant, "How weight matrices are stored")
          ->check(CLI::IsMember({"f32", "f16", "int8", "int4", "int4-channel"}))
          ->capture_default_str()
          ->type_name("FORMAT");
  CLI::Option* block_size = command
                                ->add_option("--block-size", options->block_size,
                                             "Weights that share a scale, with --quant int4")
                                ->check(CLI::IsMember({32, 64, 128, 256}))
                                ->capture_default_str()
                                ->type_name("N");
  CLI::Option* head =
      command
          ->add_option("--head", options->head,
                       "How the embedding and the head are stored, if not as the other matrices")
          ->check(CLI::IsMember({"f32", "f16", "int8", "int4", "int4-channel"}))
          ->type_name("FORMAT");
  CLI::Option* bits =
      command
          ->add_option(
              "--bits", options->bits,
              "Bits of a weight on average, scales included: each matrix gets int8 or int4 "
              "by what rounding it costs, which is measured")
          ->check(Between(4.5, 8.5))
          ->excludes(quant)
          ->excludes(block_size)
          ->type_name("B");
  CLI::Option* calibrate = AddCalibration(command, options);
  CLI::Option* like =
      command
          ->add_option("--like", options->like,
                       "Take the formats of that file, and its scales where they cost little, so "
                       "that a pack for it is small")
          ->type_name("BASE.graft")
          ->excludes(quant)
          ->excludes(block_size)
          ->excludes(head)
          ->excludes(bits)
          ->excludes(calibrate);
  command
      ->add_option("--pack-for", options->pack_for,
                   "The same, but write the pack for that file in place of a model")
      ->type_name("BASE.graft")
      ->excludes(quant)
      ->excludes(block_size)
      ->excludes(head)
      ->excludes(bits)
      ->excludes(calibrate)
      ->excludes(like);
}

}  // namespace graft::converter
