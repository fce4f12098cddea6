// SPDX-License-Identifier: Apache-2.0
// The commands of graft-convert: options in, exit code out, words on standard output, errors in one
// line on standard error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/status.h"

namespace CLI {
class Validator;
class App;
}  // namespace CLI

namespace graft::converter {

// Exit codes.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;  ///< 128 + SIGINT, as shells count.

/// What merges into the base, and how, as `convert` and `merge` share it.
struct AdapterOptions {
  std::vector<std::string> adapters;  ///< DIR or DIR:WEIGHT each.
  std::string combine = "sum";
  double density = 0.0;  ///< 0: not given.
  bool nf4_base = false;
  bool nf4_double_quantization = false;
};

struct ConvertOptions {
  std::string base;
  AdapterOptions merge;
  std::string quant = "int4";
  int64_t block_size = 32;
  std::string head;       ///< Of embedding and head; empty: as `quant`.
  double bits = 0.0;      ///< 0: not given.
  std::string calibrate;  ///< "self" or a file of texts; empty: no calibration.
  int64_t calibration_texts = 64;
  int64_t calibration_tokens = 256;
  std::string like;      ///< A .graft file; empty: none.
  std::string pack_for;  ///< The same, and what is written is a pack for it.
  bool no_probe = false;
  std::string sign;   ///< A private key; empty: what is written is not signed.
  std::string probe;  ///< A file of questions; empty: those that are built in.
  std::string output;
  int threads = 0;  ///< 0: all.
  bool keep_delta = false;
  bool long_context = false;
  bool text_only = false;
  bool exact_delta = false;
  bool report = false;
  bool json = false;
  bool quiet = false;
};

struct MergeOptions {
  std::string base;
  AdapterOptions merge;
  std::string dtype = "keep";
  std::string output;
  int threads = 0;
  bool json = false;
  bool quiet = false;
};

struct InspectOptions {
  std::string file;
  bool tensors = false;
  bool digests = false;
  bool json = false;
  bool bom = false;
};

/// How helps end.
inline constexpr char kExitCodes[] =
    "Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage, 130 "
    "interrupted.";

struct VerifyOptions {
  std::string file;
  std::string key;        ///< A public key; empty: signatures are not looked at.
  std::string signature;  ///< Empty: the file's name, with what signatures of the key end with.
  bool json = false;
};

/// Of `pack` and of `apply`.
struct PackCommandOptions {
  std::string base;
  std::string input;  ///< The adapted file, or the pack.
  std::string output;
  int threads = 0;
  bool json = false;
  bool quiet = false;
};

struct KeygenOptions {
  std::string output;
  std::string type = "ed25519";
};

struct SignOptions {
  std::string file;
  std::string key;
  std::string output;  ///< Empty: as VerifyOptions::signature.
};

struct KindsOptions {
  bool json = false;
};

int RunConvert(const ConvertOptions& options);
int RunMerge(const MergeOptions& options);
int RunInspect(const InspectOptions& options);
int RunVerify(const VerifyOptions& options);
/// Those of how weights are stored.
void AddFormats(CLI::App* command, ConvertOptions* options);
/// A number from `least` to `most`, and none that is no number, which CLI::Range takes.
CLI::Validator Between(double least, double most);
CLI::App* AddVerify(CLI::App& app, VerifyOptions* options);
CLI::App* AddKeygen(CLI::App& app, KeygenOptions* options);
CLI::App* AddSign(CLI::App& app, SignOptions* options);
int RunKeygen(const KeygenOptions& options);
int RunSign(const SignOptions& options);
int RunKinds(const KindsOptions& options);
int RunPack(const PackCommandOptions& options);
int RunApply(const PackCommandOptions& options);

/// Signs `file` with the key in a file, into `output` or beside it.
Status SignFile(const SignOptions& options);
/// Whether `file` is signed by the key of `options`.
Status CheckSigned(const VerifyOptions& options);

/// Prints `status` on standard error as "graft-convert: MESSAGE" and returns the exit code that
/// goes with it.
int ReportFailure(const Status& status);

}  // namespace graft::converter
