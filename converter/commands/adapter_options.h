// SPDX-License-Identifier: Apache-2.0
// From the words of the command line to adapters, weights and rules.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "converter/commands/commands.h"
#include "converter/merge/merged_source.h"

namespace graft::converter {

/// "DIR" or "DIR:WEIGHT". What follows the last colon is a weight if it is a number and nothing of
/// the whole name exists; otherwise it belongs to the name.
/// Errors   kInvalidArgument: a weight that is not finite.
Result<AdapterSpec> ParseAdapter(const std::string& word);

Result<std::vector<AdapterSpec>> ParseAdapters(const std::vector<std::string>& words);

/// The adapters that `words` mean, found in the hub's cache where they are names on the hub.
/// Errors   those of ParseAdapter and ResolveHubPath.
Result<std::vector<AdapterSpec>> FindAdapters(const std::vector<std::string>& words);

/// Errors   kInvalidArgument: options that contradict one another, or mean nothing without another.
Result<MergeRules> ParseMergeRules(const AdapterOptions& options);

/// Runs a command that merges adapters, and reports its failure. Options that contradict one another
/// are wrong usage, which is told before anything is read. Returns the exit code.
int RunWithAdapters(const AdapterOptions& options, const std::function<Status()>& command);

}  // namespace graft::converter
