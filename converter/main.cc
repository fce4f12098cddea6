// SPDX-License-Identifier: Apache-2.0
// graft-convert: argv to options, options to a command, and its exit code.
#include <CLI/CLI.hpp>
#include <csignal>
#include <string>

#include "converter/cancellation.h"
#include "converter/commands/commands.h"
#include "converter/version.h"

namespace {

using graft::converter::ConvertOptions;

// The first signal asks; work stops at the next block and removes what it began. A second one is
// not waited for.
void OnSignal(int signal) {
  graft::converter::g_cancelled.store(true);
  std::signal(signal, SIG_DFL);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App app("Merges adapters into models and writes files that graft runs.", "graft-convert");
  app.set_version_flag("--version",
                       std::string("graft-convert ") + graft::converter::ConverterVersion());
  app.require_subcommand(1);

  ConvertOptions convert;
  CLI::App* command = app.add_subcommand(
      "convert", "Write a model, with or without an adapter, as one .graft file");
  command->add_option("--base", convert.base)->required();
  command->add_option("--quant", convert.quant);
  command->add_option("--block-size", convert.block_size);
  command->add_option("-o,--output", convert.output)->required();
  command->add_option("--threads", convert.threads);

  CLI11_PARSE(app, argc, argv);
  return graft::converter::RunConvert(convert);
}
