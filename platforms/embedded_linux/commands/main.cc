// SPDX-License-Identifier: Apache-2.0
// graft-run: runs .graft models from the command line.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <graft/graft.h>
#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"

namespace {

constexpr char kHelp[] = R"(graft-run runs .graft models.

  graft-run generate FILE (--prompt TEXT | --prompt-file F | --prompt-ids 1,2,3 | --input in.safetensors) [--max-tokens N]
            [--temperature T] [--top-k K] [--top-p P] [--min-p P] [--repeat-penalty R] [--seed S] [--stop STR]...
            [--threads N] [--context N] [--kv auto|f32|f16|int8] [--prompt-cache F] [--ignore-eos] [--json]
            [--source-language L] [--target-language L] [--image F]...
            [--json-schema F | --regex R | --choices A,B | --grammar F] [--after TEXT] [--in-order] [--presence-penalty P]
            [--frequency-penalty P] [--logit-bias ID=X]... [--logprobs N] [--n ANSWERS] [--speculate] [--draft F], or --prompts F.jsonl for the prompt
      Continues a text by at most N tokens (256). Without --temperature the likeliest token is always taken. --prompt-cache: what
      is computed is kept in F, and what F holds of the prompt's beginning is not computed again. To an encoder-decoder (T5, BART,
      Marian, M2M-100) the prompt is the source, which it answers to; --input takes that from the tensor of the model's name.
      --image shows a PNG or JPEG file to a model that sees.
      --json-schema and its like: what the text is, from TEXT on if --after is given; a grammar is GBNF. --in-order: properties
      stand in the schema's order, rather than in any. --speculate: tokens are guessed by what followed the last ones earlier in
      the text, so that fewer passes compute them; --draft: or by a smaller model with the same tokens. The answer stays the same.
  graft-run chat FILE [--system TEXT] [--set NAME=VALUE]... [--template F] [--max-tokens N] [--temperature T] [--top-k K]
            [--top-p P] [--min-p P] [--repeat-penalty R] [--seed S] [--stop STR]... [--threads N] [--context N] [--kv ...]
            [--json-schema F | --regex R | --choices A,B | --grammar F] [--after TEXT] [--in-order] [--tools F]
            [--tool-choice C] [--reply-format NAME] [--json] [--speculate] [--draft F] [--image F]...
      A talk by the model's own chat template: each line of standard input is a message, and is answered. /reset, /system TEXT
      and /exit are commands, /help lists them. Ctrl-C stops an answer. --set: what the template asks for by name, such as
      enable_thinking=false. --template: a Jinja template in place of the file's. When the context is full the oldest turns go.
      --tools: JSON of functions that the model may call; /tool TEXT is what a call gave. --tool-choice: auto, required, or the
      one to call. docs/answers.md has the rest.
  graft-run transcribe FILE SOUND.wav [--language L] [--translate] [--timestamps] [--threads N] [--json]
      What is said in a WAV file of any rate and length, shown as it comes. The language is heard if it is not given.
  graft-run forward FILE --input in.safetensors -o out.safetensors [--threads N]
      Computes the model on the tensors of the file that have its inputs' names (one called input stands for the
      first), and stores its outputs. Token ids are [tokens] or [batch, tokens]; attention_mask hides padding.
  graft-run embed FILE (--text T [--text T2 ...] | --image F [--image F2 ...]) [--threads N] [--json]
      A vector for each text or image, on a line of its own.
  graft-run classify FILE (--text T [--text T2 ...] | --text A --text-pair B | --image F [--image F2 ...]) [--threads N] [--json]
      The labels of each text, of two that belong together, or of each image, the likeliest first. Images are PNG or JPEG files.
  graft-run tokenize FILE (--text TEXT | --text-file F | --ids 1,2,3) [--no-special] [--json]
      Shows the token ids of a text, or the text of ids.
  graft-run perplexity FILE --text-file F [--context N] [--kv auto|f32|f16|int8] [--threads N] [--json]
      How well the model predicts a text: e to the mean loss over windows of N tokens (256), each from an empty context.
  graft-run compare FILE... --reference REF --text-file F [--prompts F2 [--max-tokens N] [--raw-prompts]] [--context N]
            [--windows N] [--html PAGE] [--svg PLOT] [--max-kl X] [--gate] [--kv ...] [--threads N] [--json]
      What each FILE loses against REF, such as the same model in f32: KL divergence of its predictions of the text, how often
      the likeliest token is the same, both perplexities; by the length of the context, too. --prompts: both answer each line of
      F2 greedily, by their chat templates; shown is where they part, and whether answers end, close their thinking and are JSON
      where REF's do. --max-kl, --gate: exit code 1 where a FILE loses more, or breaks what REF's answers keep.
  graft-run bench FILE [-p 128] [-n 64] [-d 0] [-t THREADS] [-r 5] [--kv auto|f32|f16|int8] [--profile]
            [--json]
      Speed with a prompt of -p tokens and -n generated ones after -d tokens of context, each measured -r times; what a
      token reads, beside what the machine can read; memory. --profile: where the time goes, by kind of step.
  graft-run info [FILE] [--json]
      What the model is, if there is one; and this machine: its cores, its features, the kernels chosen, the number of threads.
  graft-run selftest FILE [--threads N] [--json]
      Whether the model answers here as it did when it was converted: as the base, as the base with its adapters, or broken.
      Exit code 1 if it is not what the FILE says it is.
  graft-run estimate FILE [--context N] [--chunk N] [--kv auto|f32|f16|int8] [--threads N] [--json]
      What a run of this program with a full context of N tokens will take of memory. Nothing is loaded. --chunk: tokens of
      a prompt computed at a time (128).
  graft-run --help | --version

--kv: how keys and values are kept; auto is f32 for a model of f32 weights, else f16.
--threads N, --cpus LIST: how many threads compute, by default one for each big core; and the CPUs they stay on, such as 4-7 or
0,2-3, by default any (then a thread for each of them). Every command that computes takes both.
Every command that opens a FILE also takes --cache-dir DIR, --cache-limit MIB (8192) and --no-cache. Weights packed for this
CPU are kept there for the next start; by default in packed in $GRAFT_CACHE_DIR, or in ~/.cache/graft/packed.
--no-mmap: the FILE is read into memory rather than mapped, so that whoever shortens it meanwhile does no harm. A FILE that
others may write is always read.
--pack P.graftpack: what the FILE is to become, such as a base with an adapter: it then is, to the bit, the model that was
packed. Every command that opens a FILE takes it, and estimate.
--trusted-key KEY.pub: only a FILE and a pack that this key has signed are opened (FILE.sig lies beside each); may be repeated.
--prompt-file, --text-file: "-" reads standard input. Ctrl-C stops cleanly, a second one at once.
An option with a value is given once, unless the command shows it again or with ... behind it.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

Examples
  graft-run generate tales.graft --prompt "Once upon a time" --max-tokens 100 --temperature 0.8 --top-k 40
  graft-run tokenize tales.graft --text "Hello" --json
  echo "What is a fjord?" | graft-run chat smol.graft --system "Answer in one sentence." --max-tokens 60
  graft-run compare tales-int4.graft tales-int8.graft --reference tales-f32.graft --text-file held-out.txt --html report.html
  graft-run bench tales.graft -p 128 -n 64 -t 2
  graft-run generate tales.graft --pack holmes.graftpack --prompt "It was a foggy evening"
)";

struct Command {
  std::string_view name;
  int (*run)(int argc, char** argv);
};

constexpr Command kCommands[] = {
    {"generate", graft_run::RunGenerate},
    {"chat", graft_run::RunChat},
    {"forward", graft_run::RunForward},
    {"embed", graft_run::RunEmbed},
    {"classify", graft_run::RunClassify},
    {"tokenize", graft_run::RunTokenize},
    {"perplexity", graft_run::RunPerplexity},
    {"compare", graft_run::RunCompare},
    {"transcribe", graft_run::RunTranscribe},
    {"bench", graft_run::RunBench},
    {"info", graft_run::RunInfo},
    {"estimate", graft_run::RunEstimate},
    {"selftest", graft_run::RunSelfTest},
};

void PrintPart(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Of the whole help: the command's part, what all commands share, and its examples.
void PrintHelpOf(std::string_view command) {
  constexpr std::string_view kText = kHelp;
  constexpr std::string_view kEntry = "\n  graft-run ";
  const size_t shared = kText.find("\n\n--kv:"), examples = kText.find("\n\nExamples\n");
  const std::string entry = std::string(kEntry) + std::string(command) + " ";
  const size_t begin = kText.find(entry);
  if (begin > shared || command.starts_with('-')) return PrintPart(kText);
  PrintPart(kText.substr(begin + 1, std::min(kText.find(kEntry, begin + 1), shared) - begin));
  PrintPart(kText.substr(shared + 1, examples - shared));
  std::string shown;
  for (size_t at = examples + 2; at < kText.size();) {
    const size_t end = std::min(kText.find('\n', at), kText.size() - 1) + 1;
    const std::string_view line = kText.substr(at, end - at);
    if (line.find(entry.substr(3)) != std::string_view::npos) shown += line;
    at = end;
  }
  if (!shown.empty()) PrintPart("\nExamples\n" + shown);
}

int Run(int argc, char** argv) {
  if (argc < 2) return graft_run::FailUsage("no command is given");
  for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    if (std::strcmp(argv[i], "--help") == 0 || std::strcmp(argv[i], "-h") == 0) {
      PrintHelpOf(argv[1]);
      return graft_run::kExitOk;
    }
  }
  const std::string_view name = argv[1];
  if (name == "help") {
    std::fputs(kHelp, stdout);
    return graft_run::kExitOk;
  }
  if (name == "--version" || name == "version") {
    std::printf("graft-run %s\n", graft_version());
    return graft_run::kExitOk;
  }
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run(argc - 1, argv + 1);
  }
  return graft_run::FailUsage(graft_run::Format("unknown command \"%s\"", argv[1]));
}

/// Says so without allocating.
int FailOutOfMemory() {
  std::fputs("graft-run: out of memory\n", stderr);
  return graft_run::kExitFailure;
}

}  // namespace

int main(int argc, char** argv) {
  // A file limit is an error message here: the functions that write report it.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const int code = Run(argc, argv);
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
    if (code == graft_run::kExitOk) graft_run::Fail("standard output", "cannot be written");
    return code == graft_run::kExitOk ? graft_run::kExitFailure : code;
  } catch (const std::bad_alloc&) {
    return FailOutOfMemory();
  } catch (const std::length_error&) {  // more than a string or a vector can ever hold
    return FailOutOfMemory();
  }
}
