// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "converter/base/hub_cache.h"
#include "converter/base/output_check.h"
#include "converter/base/parallel.h"
#include "converter/checkpoint/base_hash.h"
#include "converter/commands/adapter_options.h"
#include "converter/commands/commands.h"
#include "converter/commands/convert_report.h"
#include "converter/commands/mapped_model.h"
#include "converter/commands/progress.h"
#include "converter/commands/texts/calibration_texts.h"
#include "converter/commands/texts/probe_texts.h"
#include "converter/commands/texts/text_encoder.h"
#include "converter/describe/describe_model.h"
#include "converter/packs/write_pack.h"
#include "converter/probes/answer_probes.h"
#include "converter/write/like_base.h"
#include "converter/write/write_model.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kOwnProbeIds = 8, kGivenProbeIds = 32;  // that a probe's answer follows

/// What --like or --pack-for names.
struct LikeFile {
  std::unique_ptr<MappedModel> file;
  std::optional<LikeBase> scales;
};

Result<LikeFile> OpenLike(const ConvertOptions& options) {
  LikeFile like;
  const std::string& path = options.like.empty() ? options.pack_for : options.like;
  if (path.empty()) return like;
  GRAFT_ASSIGN_OR_RETURN(like.file, MappedModel::Open(path));
  like.scales.emplace(like.file->verified());
  return like;
}

Result<PackOutcome> PackWritten(const ConvertOptions& options, const schema::VerifiedModel& base,
                                const WrittenModel& written) {
  GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel model, schema::Verify(written.bytes));
  Progress progress("packing", "bytes", options.quiet);
  PackOptions pack;
  pack.path = options.output;
  pack.threads = options.threads > 0 ? options.threads : DefaultThreads();
  pack.progress = [&progress](int64_t done, int64_t total) { progress.Update(done, total); };
  return WritePack(base, model, pack);
}

Result<WriteOptions> ReadWriteOptions(const ConvertOptions& options, const LikeFile& like) {
  WriteOptions write;
  GRAFT_ASSIGN_OR_RETURN(write.format, ParseStoredFormat(options.quant, options.block_size));
  if (like.scales) {
    write.like = &*like.scales;
    write.format = like.scales->usual_format();
  }
  if (!options.head.empty()) {
    GRAFT_ASSIGN_OR_RETURN(write.head_format, ParseStoredFormat(options.head, options.block_size));
  }
  if (!options.calibrate.empty()) {
    write.calibration = {options.calibration_texts, options.calibration_tokens};
  }
  if (options.bits > 0) write.bits = options.bits;
  write.path = options.output;
  write.threads = options.threads > 0 ? options.threads : DefaultThreads();
  write.keep_delta = options.keep_delta;
  if (options.exact_delta) write.delta_row_stride = 1;
  return write;
}

Status PlanProbes(const ConvertOptions& options, flatbuffers::FlatBufferBuilder& header,
                  ModelDescription* description) {
  if (options.no_probe) return OkStatus();
  std::vector<std::string> lines;
  if (!options.probe.empty()) {
    GRAFT_ASSIGN_OR_RETURN(lines, ReadProbeLines(options.probe));
  }
  GRAFT_ASSIGN_OR_RETURN(description->probes, MakeProbes(lines, *description, header));
  if (!lines.empty() && description->probes.empty()) {
    return Error(StatusCode::kUnsupported,
                 "%s: the model has no tokenizer, or it makes nothing of these texts",
                 options.probe.c_str());
  }
  // What follows a short text tells as much of the weights as what follows a long one, for less.
  PlanAnswers(*flatbuffers::GetTemporaryPointer(header, description->graph),
              lines.empty() ? kOwnProbeIds : kGivenProbeIds, description);
  return OkStatus();
}

// What calibration takes from outside of the weights: texts of the user's, or the frame of those that
// the model writes.
Status PlanCalibration(const ConvertOptions& options, const flatbuffers::FlatBufferBuilder& header,
                       const ModelDescription& description, WriteOptions* write) {
  if (!write->calibration && !write->bits) return OkStatus();
  TextEncoder model;
  const bool has_tokenizer = model.Open(description, header);
  if (write->calibration && options.calibrate != "self") {
    if (!has_tokenizer) {
      return Error(StatusCode::kUnsupported,
                   "%s: the model has no tokenizer; --calibrate without a file takes ids that it "
                   "chooses itself",
                   options.calibrate.c_str());
    }
    return ReadCalibrationTexts(options.calibrate, model, &*write->calibration);
  }
  if (!has_tokenizer) return OkStatus();
  write->measuring.chat = model.Frame();
  if (write->calibration) write->calibration->chat = write->measuring.chat;
  return OkStatus();
}

/// The bars of one conversion, one after another.
class ConvertProgress {
 public:
  ConvertProgress(bool quiet, WriteOptions* write)
      : measuring_("measuring", "steps", quiet),
        calibrating_("calibrating", "steps", quiet),
        converting_("converting", "weights", quiet),
        probing_("probing", "weights", quiet) {
    write->measuring_progress = [this](int64_t done, int64_t total) {
      Show(&measuring_, done, total);
    };
    write->calibration_progress = [this](int64_t done, int64_t total) {
      Show(&calibrating_, done, total);
    };
    write->progress = [this](int64_t done, int64_t total) { Show(&converting_, done, total); };
    write->probing_progress = [this](int64_t done, int64_t total) { Show(&probing_, done, total); };
  }
  void Finish() {
    converting_.Finish();
    probing_.Finish();
  }

 private:
  static void Show(Progress* progress, int64_t done, int64_t total) {
    progress->Update(done, total);
    if (done == total) progress->Finish();
  }

  Progress measuring_, calibrating_, converting_, probing_;
};

Status Convert(const ConvertOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  GRAFT_RETURN_IF_ERROR(RefuseInputAsOutput(options.output, {options.like, options.pack_for}));
  GRAFT_RETURN_IF_ERROR(RefuseForeignOutput(options.output));
  GRAFT_ASSIGN_OR_RETURN(const LikeFile like, OpenLike(options));
  GRAFT_ASSIGN_OR_RETURN(WriteOptions write, ReadWriteOptions(options, like));

  GRAFT_ASSIGN_OR_RETURN(const auto adapters, FindAdapters(options.merge.adapters));
  GRAFT_ASSIGN_OR_RETURN(MergeRules rules, ParseMergeRules(options.merge));
  rules.threads = write.threads;
  GRAFT_ASSIGN_OR_RETURN(const auto base, ResolveHubPath(options.base, HubCacheFolder()));
  GRAFT_ASSIGN_OR_RETURN(OpenedModel model, OpenModel(base, adapters, rules));
  model.long_context = options.long_context;
  model.text_only = options.text_only;
  flatbuffers::FlatBufferBuilder header(1 << 16);
  header.ForceDefaults(true);
  BaseHash base_hash(*model.base);
  GRAFT_ASSIGN_OR_RETURN(ModelDescription description, DescribeModel(model, header));
  GRAFT_RETURN_IF_ERROR(PlanProbes(options, header, &description));
  GRAFT_RETURN_IF_ERROR(PlanCalibration(options, header, description, &write));
  write.base_hash = [&base_hash] { return base_hash.Get(); };

  ConvertProgress progress(options.quiet, &write);
  GRAFT_ASSIGN_OR_RETURN(WrittenModel written,
                         WriteUnnamedModel(description, model.source(), write, header));
  progress.Finish();
  PackOutcome pack;
  if (options.pack_for.empty()) {
    GRAFT_RETURN_IF_ERROR(written.file->Commit());
  } else {
    GRAFT_ASSIGN_OR_RETURN(pack, PackWritten(options, like.file->verified(), written));
  }

  if (!options.sign.empty()) {
    GRAFT_RETURN_IF_ERROR(SignFile({options.output, options.sign, ""}));
  }

  ConvertReport report{
      options.output,
      description,
      model.merged ? &model.merged->report() : nullptr,
      written.outcome,
      options.pack_for.empty() ? nullptr : &pack,
      write.format,
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  const std::string text =
      options.json ? ConvertReportJson(report) : ConvertReportText(report, options.report);
  if (!options.quiet || options.json) std::fputs(text.c_str(), stdout);
  for (const std::string& warning : ConvertWarnings(report)) {
    // The report for people has it.
    if (!options.quiet && !options.json) break;
    std::fprintf(stderr, "graft-convert: warning: %s\n", warning.c_str());
  }
  return OkStatus();
}

}  // namespace

int RunConvert(const ConvertOptions& options) {
  return RunWithAdapters(options.merge, [&] { return Convert(options); });
}

}  // namespace graft::converter
