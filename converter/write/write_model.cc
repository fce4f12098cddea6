// SPDX-License-Identifier: Apache-2.0
#include "converter/write/write_model.h"

#include <algorithm>
#include <memory>

#include "converter/base/output_file.h"
#include "converter/base/parallel.h"
#include "converter/probes/probe_divergence.h"
#include "converter/write/choose_formats.h"
#include "converter/write/like_base.h"
#include "converter/write/write_weights.h"
#include "schema/verify.h"

namespace graft::converter {
namespace {

WriteOutcome Summarize(const ModelDescription& description, const ModelHeader& header,
                       const std::vector<LayerMeasures>& measures, const WriteOptions& options) {
  WriteOutcome outcome;
  outcome.file_bytes = header.file_bytes();
  for (size_t i = 0; i < description.constants.size(); ++i) {
    const Constant& constant = description.constants[i];
    const TensorPlace& place = header.tensors()[i];
    outcome.scales_offered += measures[i].scales_offered;
    outcome.scales_kept += measures[i].scales_kept;
    auto total =
        std::find_if(outcome.formats.begin(), outcome.formats.end(),
                     [&](const FormatTotal& known) { return known.format == place.format; });
    if (total == outcome.formats.end()) {
      total = outcome.formats.insert(total, FormatTotal{place.format, 0, 0});
    }
    total->tensors += 1;
    total->bytes += place.data_bytes + place.scales_bytes;
    if (!constant.is_weight_matrix) continue;
    const StoredFormat wanted =
        constant.is_vocabulary && options.head_format ? *options.head_format : options.format;
    LayerOutcome layer;
    layer.name = constant.name;
    layer.shape = constant.shape;
    layer.format = place.format;
    layer.fell_back = !(FormatFor(wanted, constant.shape.back()) == wanted);
    layer.kept_delta = !options.bits && !(place.format == FormatFor(wanted, constant.shape.back()));
    layer.bytes = place.data_bytes + place.scales_bytes;
    if (const AdaptedTensor* change = description.AdaptedOf(constant); change != nullptr) {
      layer.adapted = true;
      layer.change = *change;
    }
    layer.measures = measures[i];
    outcome.layers.push_back(std::move(layer));
  }
  return outcome;
}

/// Computes what the file's probes have to give, from the weights in `bytes` and before.
Status AnswerOwnProbes(const ModelDescription& description, const TensorSource& source,
                       std::span<const uint8_t> bytes, const WriteOptions& options,
                       ModelHeader* header, std::optional<double>* divergence) {
  if (description.probes.empty()) return OkStatus();
  std::vector<WrittenTensor> stored;
  for (size_t i = 0; i < header->tensors().size(); ++i) {
    const TensorPlace& place = header->tensors()[i];
    schema::TensorBytes base;
    if (options.like != nullptr) base = options.like->All(description.constants[i], place.format);
    stored.push_back({place.format, bytes.subspan(place.data_offset, place.data_bytes),
                      bytes.subspan(place.scales_offset, place.scales_bytes), base.data,
                      base.scales});
  }
  GRAFT_ASSIGN_OR_RETURN(
      const ProbeAnswers answers,
      AnswerProbes(description, header->model(), stored, source, !options.calibration.has_value(),
                   options.threads, options.probing_progress));
  header->SetProbeAnswers(answers);
  *divergence = ProbeDivergence(answers);
  return OkStatus();
}

// For people.
std::string QuantizationOf(const WriteOptions& options, const std::optional<MixedFormats>& mixed) {
  std::string text = mixed ? DescribeMixed(*mixed) : options.format.Name();
  if (options.head_format) text += ", embedding and head " + options.head_format->Name();
  if (options.calibration) {
    text += ", calibrated on " + std::to_string(options.calibration->texts) + " texts of " +
            std::to_string(options.calibration->tokens_each) + " tokens " +
            (options.calibration->source.empty() ? "that the model wrote"
                                                 : "of " + options.calibration->source);
  }
  return text;
}

// The same checks a device makes, and the checksums it leaves out.
Status VerifyOwnFile(std::span<const uint8_t> bytes, int threads) {
  GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel model, schema::Verify(bytes));
  return VerifyContents(model, threads);
}

/// What was found out before weights were written.
void AddMeasured(const ModelDescription& description, const std::optional<MixedFormats>& mixed,
                 const CalibratedWeights& calibrated, WriteOutcome* outcome) {
  outcome->mixed = mixed;
  outcome->calibrated_matrices = calibrated.matrices();
  size_t layer = 0;
  for (size_t i = 0; i < description.constants.size(); ++i) {
    if (!description.constants[i].is_weight_matrix) continue;
    LayerOutcome& its = outcome->layers[layer++];
    if (mixed) its.int4_divergence = mixed->sensitivities[i];
    if (calibrated.Has(i)) its.output_noise = calibrated.noise(i);
  }
}

/// A header that is thrown away: for what runs the graph before formats are known.
class DraftHeader {
 public:
  Status Build(const ModelDescription& description, std::span<const StoredFormat> formats,
               const flatbuffers::FlatBufferBuilder& header) {
    // Offsets count from a buffer's end, so that they hold in a copy, too.
    builder_.ForceDefaults(true);
    builder_.PushFlatBuffer(header.GetCurrentBufferPointer(), header.GetSize());
    GRAFT_ASSIGN_OR_RETURN(ModelHeader built,
                           ModelHeader::Build(description, formats, "", builder_));
    header_ = std::make_unique<ModelHeader>(std::move(built));
    return OkStatus();
  }
  const schema::fb::Model& model() const { return header_->model(); }

 private:
  flatbuffers::FlatBufferBuilder builder_;
  std::unique_ptr<ModelHeader> header_;
};

/// Puts formats by what rounding costs in place of `formats`.
Result<std::optional<MixedFormats>> MixFormats(const ModelDescription& description,
                                               const TensorSource& source,
                                               const flatbuffers::FlatBufferBuilder& builder,
                                               const WriteOptions& options,
                                               std::vector<StoredFormat>* formats) {
  if (!options.bits) return std::optional<MixedFormats>();
  DraftHeader draft;
  GRAFT_RETURN_IF_ERROR(draft.Build(description, *formats, builder));
  const MixedOptions mixed{*options.bits, options.calibration.has_value(),
                           options.path.parent_path(), options.threads, options.measuring_progress};
  const bool has_texts = options.calibration && !options.calibration->ids.empty();
  const CalibrationOptions& texts = has_texts ? *options.calibration : options.measuring;
  GRAFT_ASSIGN_OR_RETURN(MixedFormats chosen, ChooseMixedFormats(description, draft.model(),
                                                                 *formats, source, texts, mixed));
  *formats = chosen.formats;
  return std::optional(std::move(chosen));
}

Result<CalibratedWeights> CalibrateWeights(const ModelDescription& description,
                                           const TensorSource& source,
                                           const flatbuffers::FlatBufferBuilder& builder,
                                           const WriteOptions& options,
                                           std::vector<StoredFormat>* formats) {
  if (!options.calibration) return CalibratedWeights(0);
  DraftHeader draft;
  GRAFT_RETURN_IF_ERROR(draft.Build(description, *formats, builder));
  CalibrationOptions calibration = *options.calibration;
  calibration.keep_delta = options.keep_delta;
  calibration.delta_row_stride = options.delta_row_stride;
  return Calibrate(description, draft.model(), formats, source, calibration,
                   options.path.parent_path(), options.threads, options.calibration_progress);
}

}  // namespace

Status VerifyContents(const schema::VerifiedModel& model, int threads) {
  return ParallelFor(threads, schema::CountContents(model),
                     [&](int64_t i) { return schema::VerifyContent(model, i); });
}

Result<WriteOutcome> WriteModel(const ModelDescription& description, const TensorSource& source,
                                const WriteOptions& options,
                                flatbuffers::FlatBufferBuilder& builder) {
  GRAFT_ASSIGN_OR_RETURN(WrittenModel written,
                         WriteUnnamedModel(description, source, options, builder));
  GRAFT_RETURN_IF_ERROR(written.file->Commit());
  return std::move(written.outcome);
}

Result<WrittenModel> WriteUnnamedModel(const ModelDescription& description,
                                       const TensorSource& source, const WriteOptions& options,
                                       flatbuffers::FlatBufferBuilder& builder) {
  // What is calibrated is judged by outputs, once it is.
  FormatWish wish{options.format, options.keep_delta && !options.calibration};
  wish.like = options.like;
  wish.head_format = options.head_format;
  if (options.delta_row_stride > 0) wish.sampled_row_stride = options.delta_row_stride;
  GRAFT_ASSIGN_OR_RETURN(std::vector<StoredFormat> formats,
                         ChooseFormats(description, source, wish, options.threads));
  GRAFT_ASSIGN_OR_RETURN(const std::optional<MixedFormats> mixed,
                         MixFormats(description, source, builder, options, &formats));
  GRAFT_ASSIGN_OR_RETURN(const CalibratedWeights calibrated,
                         CalibrateWeights(description, source, builder, options, &formats));
  GRAFT_ASSIGN_OR_RETURN(
      ModelHeader header,
      ModelHeader::Build(description, formats, QuantizationOf(options, mixed), builder));
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> file,
                         OutputFile::Create(options.path, header.file_bytes()));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerMeasures> measures,
                         WriteWeights(description, header, source, options, calibrated, *file));
  GRAFT_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file->Map());
  GRAFT_RETURN_IF_ERROR(HashWeights(bytes, options.threads, &header));
  std::optional<double> divergence;
  GRAFT_RETURN_IF_ERROR(AnswerOwnProbes(description, source, bytes, options, &header, &divergence));
  for (size_t i = 0; i < description.constants.size(); ++i) {
    if (description.constants[i].is_weight_matrix) header.SetMeasures(i, measures[i]);
  }
  schema::Hash128 base_hash;
  if (options.base_hash) {
    GRAFT_ASSIGN_OR_RETURN(base_hash, options.base_hash());
    header.SetBaseHash(base_hash);
  }
  const std::vector<uint8_t> head = header.Bytes();
  GRAFT_RETURN_IF_ERROR(file->WriteAt(0, head));
  if (Status status = VerifyOwnFile(bytes, options.threads); !status.ok()) {
    return Error(status.code(), "%s: does not pass its own check: %.*s", options.path.c_str(),
                 static_cast<int>(status.message().size()), status.message().data());
  }
  WrittenModel written{std::move(file), bytes, Summarize(description, header, measures, options)};
  AddMeasured(description, mixed, calibrated, &written.outcome);
  written.outcome.probe_divergence = divergence;
  written.outcome.header_bytes = head.size();
  written.outcome.base_hash = base_hash;
  return written;
}

}  // namespace graft::converter
