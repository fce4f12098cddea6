// SPDX-License-Identifier: Apache-2.0
// The commands of graft-convert: options in, exit code out, words on standard output, errors in one
// line on standard error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/status.h"

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
  std::string head;  ///< Of embedding and head; empty: as `quant`.
  bool calibrate = false;
  int64_t calibration_texts = 64;
  int64_t calibration_tokens = 256;
  std::string like;      ///< A .graft file; empty: none.
  std::string pack_for;  ///< The same, and what is written is a pack for it.
  std::string output;
  int threads = 0;  ///< 0: all.
  bool keep_delta = false;
  bool long_context = false;
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
  bool json = false;
  bool bom = false;
};

struct VerifyOptions {
  std::string file;
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

struct KindsOptions {
  bool json = false;
};

int RunConvert(const ConvertOptions& options);
int RunMerge(const MergeOptions& options);
int RunInspect(const InspectOptions& options);
int RunVerify(const VerifyOptions& options);
int RunKinds(const KindsOptions& options);
int RunPack(const PackCommandOptions& options);
int RunApply(const PackCommandOptions& options);

/// Prints `status` on standard error as "graft-convert: MESSAGE" and returns the exit code that
/// goes with it.
int ReportFailure(const Status& status);

}  // namespace graft::converter
