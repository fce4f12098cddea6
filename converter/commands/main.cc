// SPDX-License-Identifier: Apache-2.0
// graft-convert: argv to options, options to a command, and its exit code.
#include <cxxabi.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <typeinfo>

#include <CLI/CLI.hpp>

#include "converter/base/cancellation.h"
#include "converter/base/leftovers.h"
#include "converter/base/version.h"
#include "converter/commands/commands.h"

namespace graft::converter {
namespace {

constexpr int64_t kMaxThreads = 1024;

// What work gets to stop by itself and remove what it began. Most of it looks at the flag many times
// a second; what does not is ended.
constexpr timespec kGrace = {2, 0};

// A thread waits for signals, so that it may do whatever ending takes. After the first one work
// stops at the next block. A second one ends the program at once.
void EndOnSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const auto wait = [signals] {
    int signal = 0;
    while (sigwait(&signals, &signal) != 0) {
    }
    g_cancelled.store(true);
    while (sigtimedwait(&signals, nullptr, &kGrace) < 0 && errno == EINTR) {
    }
    RemoveTemporaries();
    _exit(kExitInterrupted);
  };
  try {
    std::thread(wait).detach();
  } catch (const std::system_error&) {  // no more threads: a signal ends the program
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  }
}

void AddThreads(CLI::App* command, int* threads) {
  command->add_option("--threads", *threads, "Threads; all cores if not given")
      ->check(CLI::Range(int64_t{1}, kMaxThreads))
      ->type_name("N");
}

void AddAdapters(CLI::App* command, AdapterOptions* options, bool required) {
  CLI::Option* adapter =
      command
          ->add_option("--adapter", options->adapters,
                       "An adapter to merge into it; again for another one, each with a weight if "
                       "not 1")
          ->allow_extra_args(false)
          ->type_name("PATH[:WEIGHT]");
  if (required) adapter->required();
  command
      ->add_option("--combine", options->combine,
                   "What becomes of several adapters' changes: their weighted sum; of each only "
                   "the largest numbers; or TIES")
      ->check(CLI::IsMember({"sum", "magnitude_prune", "ties"}))
      ->capture_default_str()
      ->type_name("RULE");
  command
      ->add_option("--density", options->density,
                   "The part of each change that magnitude_prune and ties keep")
      ->check(Between(1e-6, 1.0))
      ->type_name("PART");
  command->add_flag("--nf4-base", options->nf4_base,
                    "Round the base to NF4 first, as QLoRA's training saw it");
  command->add_flag("--nf4-double-quant", options->nf4_double_quantization,
                    "With --nf4-base: the training used bnb_4bit_use_double_quant");
}

void AddTrust(CLI::App* command, ConvertOptions* options) {
  CLI::Option* no_probe = command->add_flag("--no-probe", options->no_probe,
                                            "Leave out the questions that a self-test asks");
  command
      ->add_option("--probe", options->probe,
                   "Ask these in place of those that are built in: a text file, one on a line")
      ->excludes(no_probe)
      ->type_name("FILE");
  command->add_option("--sign", options->sign, "Sign what is written with this private key")
      ->type_name("KEY");
}

CLI::App* AddConvert(CLI::App& app, ConvertOptions* options) {
  CLI::App* command = app.add_subcommand(
      "convert", "Write a model, with an adapter merged in or without, as one .graft file");
  command
      ->add_option("--base", options->base,
                   "The model: a folder with config.json and safetensors, or a stack of layers "
                   "with graft.json")
      ->required()
      ->type_name("DIR");
  AddAdapters(command, &options->merge, false);
  AddFormats(command, options);
  command->add_option("-o,--output", options->output, "The file to write")
      ->required()
      ->type_name("FILE.graft");
  AddTrust(command, options);
  AddThreads(command, &options->threads);
  command->add_flag("--report", options->report,
                    "Add a table of all matrices: what rounding cost, what the adapter did");
  command->add_flag("--long-context", options->long_context,
                    "take longrope's long factors, for texts beyond its original context");
  command->add_flag("--text-only", options->text_only,
                    "Leave out the part of a model that sees pictures");
  command
      ->add_flag("--keep-delta", options->keep_delta,
                 "With int4: store a matrix in int8 where int4 would drown the adapter in rounding "
                 "noise; with --calibrate, in what it puts out")
      ->excludes("--bits");
  command->add_flag("--exact-delta", options->exact_delta,
                    "Measure what is left of the adapter on every row, not on every 16th; takes "
                    "about twice the time");
  command->add_flag("--json", options->json, "Print the whole report as JSON");
  command->add_flag("-q,--quiet", options->quiet, "No progress bar, no report");
  command->footer(
      std::string("Examples:\n"
                  "  graft-convert convert --base SmolLM2-135M --quant int4 -o smol.graft\n"
                  "  graft-convert convert --base SmolLM2-135M --adapter my-lora --quant int8 -o "
                  "mine.graft --report\n"
                  "  graft-convert convert --base SmolLM2-135M --adapter style:0.7 --adapter "
                  "facts:0.5 --combine ties --density 0.3 -o both.graft\n"
                  "  graft-convert convert --base SmolLM2-135M --adapter my-lora --bits 5.0 "
                  "--calibrate chats.jsonl -o mine.graft\n"
                  "  graft-convert convert --base SmolLM2-135M --adapter my-lora --pack-for "
                  "smol.graft -o mine.graftpack\n") +
      kExitCodes);
  return command;
}

CLI::App* AddMerge(CLI::App& app, MergeOptions* options) {
  CLI::App* command = app.add_subcommand(
      "merge", "Write the model with the adapter merged in, as a checkpoint like the base");
  command
      ->add_option("--base", options->base, "The model: a folder, or a .safetensors or .bin file")
      ->required()
      ->type_name("DIR");
  AddAdapters(command, &options->merge, true);
  command->add_option("--dtype", options->dtype, "Element type of floating-point tensors")
      ->check(CLI::IsMember({"keep", "f32", "f16", "bf16"}))
      ->capture_default_str()
      ->type_name("TYPE");
  command
      ->add_option("-o,--output", options->output,
                   "The folder to write; it must not exist, or be empty")
      ->required()
      ->type_name("DIR");
  AddThreads(command, &options->threads);
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->add_flag("-q,--quiet", options->quiet, "No progress bar, no report");
  command->footer(
      std::string(
          "Example:\n"
          "  graft-convert merge --base SmolLM2-135M --adapter my-lora --dtype bf16 -o merged\n") +
      kExitCodes);
  return command;
}

CLI::App* AddInspect(CLI::App& app, InspectOptions* options) {
  CLI::App* command = app.add_subcommand("inspect", "Say what a .graft file holds");
  command->add_option("file", options->file, "The file")->required()->type_name("FILE.graft");
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--digests", options->digests,
                    "Also print the SHA-256 of every part, and the root that signatures are of");
  CLI::Option* json = command->add_flag("--json", options->json, "Print everything as JSON");
  command
      ->add_flag("--bom", options->bom,
                 "Print a CycloneDX bill of materials: the file's SHA-256, its base, its adapters")
      ->excludes(json);
  command->footer(std::string("Examples:\n"
                              "  graft-convert inspect mine.graft --tensors\n"
                              "  graft-convert inspect mine.graft --json | jq .provenance\n") +
                  kExitCodes);
  return command;
}

void AddPackOptions(CLI::App* command, const char* input, const char* input_text,
                    const char* output, PackCommandOptions* options) {
  command->add_option("base", options->base, "The file that the pack fits")
      ->required()
      ->type_name("BASE.graft");
  command->add_option(input, options->input, input_text)->required()->type_name("FILE");
  command->add_option("-o,--output", options->output, "The file to write")
      ->required()
      ->type_name(output);
  AddThreads(command, &options->threads);
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->add_flag("-q,--quiet", options->quiet, "No progress bar, no report");
}

CLI::App* AddPack(CLI::App& app, PackCommandOptions* options) {
  CLI::App* command = app.add_subcommand(
      "pack", "Write what turns one .graft file into another: an adapter for a base in place");
  AddPackOptions(command, "adapted", "The file that base and pack will make", "FILE.graftpack",
                 options);
  command->footer(
      std::string("Examples:\n"
                  "  graft-convert convert --base SmolLM2-135M -o base.graft\n"
                  "  graft-convert convert --base SmolLM2-135M --adapter my-lora --like base.graft "
                  "-o mine.graft\n"
                  "  graft-convert pack base.graft mine.graft -o mine.graftpack\n") +
      kExitCodes);
  return command;
}

CLI::App* AddApply(CLI::App& app, PackCommandOptions* options) {
  CLI::App* command = app.add_subcommand(
      "apply", "Write the file that a pack makes of its base, byte for byte as it was packed");
  AddPackOptions(command, "pack", "What `pack` wrote", "FILE.graft", options);
  command->footer(
      std::string("Example:\n  graft-convert apply base.graft mine.graftpack -o mine.graft\n") +
      kExitCodes);
  return command;
}

CLI::App* AddKinds(CLI::App& app, KindsOptions* options) {
  CLI::App* command = app.add_subcommand(
      "kinds", "List the kinds of adapter that are merged, and those that are not and why");
  command->add_flag("--json", options->json, "Print the list as JSON");
  command->footer(std::string("Example:\n  graft-convert kinds --json | jq .refused\n") +
                  kExitCodes);
  return command;
}

int Run(int argc, char** argv) {
  CLI::App app("Merges adapters into models and writes the files that graft runs.",
               "graft-convert");
  app.set_version_flag("--version", std::string("graft-convert ") + ConverterVersion());
  app.require_subcommand(1);
  app.footer(kExitCodes);
  ConvertOptions convert;
  MergeOptions merge;
  InspectOptions inspect;
  VerifyOptions verify;
  const CLI::App* convert_command = AddConvert(app, &convert);
  const CLI::App* merge_command = AddMerge(app, &merge);
  const CLI::App* inspect_command = AddInspect(app, &inspect);
  PackCommandOptions pack;
  PackCommandOptions apply;
  const CLI::App* verify_command = AddVerify(app, &verify);
  const CLI::App* pack_command = AddPack(app, &pack);
  AddApply(app, &apply);
  KindsOptions kinds;
  const CLI::App* kinds_command = AddKinds(app, &kinds);
  KeygenOptions keygen;
  SignOptions sign;
  const CLI::App* keygen_command = AddKeygen(app, &keygen);
  const CLI::App* sign_command = AddSign(app, &sign);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version arrive here too, as successes.
    if (error.get_exit_code() == 0) return app.exit(error);
    std::string message = error.what();
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty())
      message = "there is no command '" + std::string(argv[1]) + "'";
    if (const auto extras = app.remaining(/*recurse=*/true);
        error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) &&
        extras.size() > 1) {
      message = "there are arguments that it does not take:";  // CLI11 turns their order around
      for (const std::string& extra : extras) message += " " + extra;
    }
    for (char& c : message) c = c == '\n' ? ' ' : c;
    std::fprintf(stderr, "graft-convert: %s (see graft-convert --help)\n", message.c_str());
    return kExitUsage;
  }
  if (convert_command->parsed()) return RunConvert(convert);
  if (merge_command->parsed()) return RunMerge(merge);
  if (inspect_command->parsed()) return RunInspect(inspect);
  if (verify_command->parsed()) return RunVerify(verify);
  if (kinds_command->parsed()) return RunKinds(kinds);
  if (pack_command->parsed()) return RunPack(pack);
  if (keygen_command->parsed()) return RunKeygen(keygen);
  if (sign_command->parsed()) return RunSign(sign);
  return RunApply(apply);
}

/// Says so without allocating. What was begun is gone by now.
int FailOutOfMemory() {
  std::fputs("graft-convert: out of memory\n", stderr);
  return kExitFailure;
}

// Some objects of CLI11's allocate before main, where nothing can catch what they throw; and
// nlohmann's JSON allocates as it is destroyed, from where nothing may be thrown. What was begun may
// then be left over, for the next run to sweep.
[[gnu::constructor(101)]] void FailOutOfMemoryWhereNothingCatches() {
  std::set_terminate([] {
    const std::type_info* thrown = abi::__cxa_current_exception_type();
    if (thrown != nullptr && *thrown == typeid(std::bad_alloc)) _exit(FailOutOfMemory());
    std::abort();
  });
}

int RunProtected(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // writing beyond a limit is an error
  try {
    EndOnSignals();
    const int code = Run(argc, argv);
    std::cout.flush();
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return code;
    std::fputs("graft-convert: standard output: cannot be written\n", stderr);
    return code == kExitOk ? kExitFailure : code;
  } catch (const std::bad_alloc&) {
    return FailOutOfMemory();
  } catch (const std::length_error&) {  // more than a string or a vector can ever hold
    return FailOutOfMemory();
  } catch (const std::exception& error) {  // no thread for signals, for one
    std::fprintf(stderr, "graft-convert: %s\n", error.what());
    return kExitFailure;
  }
}

}  // namespace
}  // namespace graft::converter

int main(int argc, char** argv) { return graft::converter::RunProtected(argc, argv); }
