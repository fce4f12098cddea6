// SPDX-License-Identifier: Apache-2.0
// The commands of graft-run. Each takes its own name as argv[0] and returns an exit code.
#pragma once

namespace graft_run {

int RunGenerate(int argc, char** argv);
int RunChat(int argc, char** argv);
int RunForward(int argc, char** argv);
int RunEmbed(int argc, char** argv);
int RunClassify(int argc, char** argv);
int RunTokenize(int argc, char** argv);
int RunPerplexity(int argc, char** argv);
int RunCompare(int argc, char** argv);
int RunTranscribe(int argc, char** argv);
int RunBench(int argc, char** argv);
int RunInfo(int argc, char** argv);
int RunEstimate(int argc, char** argv);
int RunSelfTest(int argc, char** argv);

}  // namespace graft_run
