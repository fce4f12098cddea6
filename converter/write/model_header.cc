// SPDX-License-Identifier: Apache-2.0
#include "converter/write/model_header.h"

#include <cinttypes>
#include <cstring>

#include "converter/base/version.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"
#include "schema/verify.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

// Several segments, so that checksums can be computed and checked side by side.
constexpr uint64_t kSegmentBytes = uint64_t{256} << 20;

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

fb::TensorFormat FormatOf(const StoredFormat& format) {
  return static_cast<fb::TensorFormat>(format.kind);
}

// Measures go into the file with the precision of binary32: their last bits may differ from one C
// library to the next.
double Recorded(double measure) { return static_cast<double>(static_cast<float>(measure)); }

// Overwrites a scalar of a finished table, which has a place of its own because defaults were
// written.
template <typename T>
void SetScalar(const void* table, flatbuffers::voffset_t field, T value) {
  auto* mutable_table =
      const_cast<flatbuffers::Table*>(static_cast<const flatbuffers::Table*>(table));
  flatbuffers::WriteScalar(mutable_table->GetAddressOf(field), value);
}

// Places relative to the start of each segment; Build makes them absolute.
Status PlaceTensors(const ModelDescription& description, std::span<const StoredFormat> formats,
                    std::vector<TensorPlace>* tensors, std::vector<SegmentPlace>* segments) {
  for (size_t i = 0; i < formats.size(); ++i) {
    const Constant& constant = description.constants[i];
    const auto sizes = schema::SizesOf(static_cast<uint8_t>(formats[i].kind), constant.shape,
                                       formats[i].block_size);
    if (!sizes.ok()) return sizes.status().WithContext("tensor '" + constant.name + "'");
    const uint64_t room =
        AlignUp(sizes->data_bytes, schema::kTensorAlignment) + sizes->scales_bytes;
    if (segments->empty() ||
        (segments->back().bytes > 0 && segments->back().bytes + room > kSegmentBytes)) {
      segments->emplace_back();
    }
    SegmentPlace& segment = segments->back();
    TensorPlace place;
    place.format = formats[i];
    place.segment = static_cast<uint32_t>(segments->size() - 1);
    place.data_offset = AlignUp(segment.bytes, schema::kTensorAlignment);
    place.data_bytes = sizes->data_bytes;
    place.scales_offset = AlignUp(place.data_offset + place.data_bytes, schema::kTensorAlignment);
    place.scales_bytes = sizes->scales_bytes;
    segment.bytes = place.scales_bytes > 0 ? place.scales_offset + place.scales_bytes
                                           : place.data_offset + place.data_bytes;
    tensors->push_back(place);
  }
  return OkStatus();
}

flatbuffers::Offset<fb::Tensor> WriteTensor(const Constant& constant, const TensorPlace& place,
                                            flatbuffers::FlatBufferBuilder& header) {
  const auto name = header.CreateString(constant.name);
  const auto shape = header.CreateVector(constant.shape_in_file());
  const fb::Span data(place.data_offset, place.data_bytes, place.segment);
  const fb::Span scales(place.scales_offset, place.scales_bytes, place.segment);
  const fb::Hash128 hash;
  return fb::CreateTensor(header, name, shape, &data, place.scales_bytes > 0 ? &scales : nullptr,
                          &hash, place.format.block_size, FormatOf(place.format));
}

flatbuffers::Offset<fb::LayerReport> WriteReport(const ModelDescription& description,
                                                 const Constant& constant,
                                                 const StoredFormat& format,
                                                 flatbuffers::FlatBufferBuilder& header) {
  const AdaptedTensor* adapted = description.AdaptedOf(constant);
  const AdaptedTensor change = adapted == nullptr ? AdaptedTensor{} : *adapted;
  const auto name = header.CreateString(constant.name);
  const auto kind = header.CreateString(change.kind);
  return fb::CreateLayerReport(header, name, kind, static_cast<uint32_t>(change.rank), change.scale,
                               0.0, FormatOf(format), 0.0, 0.0, 0.0, 0.0);
}

flatbuffers::Offset<fb::Provenance> WriteProvenance(
    const ModelDescription& description, const std::string& quantization,
    const std::vector<flatbuffers::Offset<fb::LayerReport>>& reports,
    flatbuffers::FlatBufferBuilder& header) {
  std::vector<flatbuffers::Offset<fb::AdapterProvenance>> adapters;
  for (const AdapterReport& adapter : description.adapters) {
    const auto name = header.CreateString(adapter.name);
    const auto kind = header.CreateString(adapter.kind);
    const fb::Hash128 hash(adapter.hash.high, adapter.hash.low);
    adapters.push_back(fb::CreateAdapterProvenance(
        header, name, &hash, kind, adapter.weight, static_cast<uint32_t>(adapter.modules_merged),
        static_cast<uint32_t>(adapter.modules_expected)));
  }
  const auto version = header.CreateString(std::string("graft-convert ") + ConverterVersion());
  const auto base_name = header.CreateString(description.base_name);
  const fb::Hash128 base_hash;
  const auto adapter_vector = header.CreateVector(adapters);
  const auto recipe = header.CreateString(quantization);
  const auto layers = header.CreateVector(reports);
  const auto combined_by = header.CreateString(description.combined_by);
  const auto base_rounding = header.CreateString(description.base_rounding);
  flatbuffers::Offset<flatbuffers::String> stored_as;
  if (!description.base_stored_as.empty()) {
    stored_as = header.CreateString(description.base_stored_as);
  }
  return fb::CreateProvenance(header, version, base_name, &base_hash, adapter_vector, recipe,
                              layers, combined_by, base_rounding, stored_as);
}

static_assert(static_cast<int>(Task::kTextGeneration) ==
              static_cast<int>(fb::TaskKind::TextGeneration));
static_assert(static_cast<int>(Task::kTokenClassification) ==
              static_cast<int>(fb::TaskKind::TokenClassification));
static_assert(static_cast<int>(ImagePreparation::Filter::kBicubic) ==
              static_cast<int>(fb::ImageFilter::Bicubic));

flatbuffers::Offset<fb::ImageInput> WriteImage(const ImagePreparation& image,
                                               flatbuffers::FlatBufferBuilder& header) {
  const auto u32 = [](int64_t number) { return static_cast<uint32_t>(number); };
  const auto mean = header.CreateVector(image.mean);
  const auto deviation = header.CreateVector(image.deviation);
  return fb::CreateImageInput(header, u32(image.channels), u32(image.height), u32(image.width),
                              u32(image.resize_height), u32(image.resize_width),
                              static_cast<fb::ImageFilter>(image.filter),
                              static_cast<float>(image.rescale), mean, deviation);
}

static_assert(static_cast<int>(PicturesDescription::Layout::kArea) ==
              static_cast<int>(fb::PictureLayout::Area));

flatbuffers::Offset<fb::Pictures> WritePictures(const PicturesDescription& pictures,
                                                flatbuffers::FlatBufferBuilder& header) {
  const auto u32 = [](int64_t number) { return static_cast<uint32_t>(number); };
  const auto text = [&header](const std::string& string) {
    return string.empty() ? flatbuffers::Offset<flatbuffers::String>()
                          : header.CreateString(string);
  };
  const auto image = WriteImage(pictures.image, header);
  const auto placeholder = text(pictures.placeholder);
  const auto token_text = text(pictures.token_text);
  const auto begin = text(pictures.begin);
  const auto end = text(pictures.end);
  const auto row_break = text(pictures.row_break);
  const auto tile_begin = text(pictures.tile_begin);
  const auto tile_row_end = text(pictures.tile_row_end);
  const auto whole_begin = text(pictures.whole_begin);
  const auto single_begin = text(pictures.single_begin);
  return fb::CreatePictures(
      header, u32(pictures.token), u32(pictures.patch), u32(pictures.merge), u32(pictures.side),
      static_cast<fb::PictureLayout>(pictures.layout), u32(pictures.longest_side), image,
      placeholder, token_text, begin, end, row_break, tile_begin, tile_row_end, whole_begin,
      single_begin, u32(pictures.most_patches), u32(pictures.tile_side), u32(pictures.fewest_tiles),
      u32(pictures.most_tiles), u32(pictures.fewest_rows), u32(pictures.most_rows),
      static_cast<float>(pictures.tolerance), u32(pictures.frames), u32(pictures.fewest_pixels),
      u32(pictures.most_pixels));
}

flatbuffers::Offset<fb::AudioInput> WriteSound(const SoundDescription& sound,
                                               flatbuffers::FlatBufferBuilder& header) {
  const auto u32 = [](int64_t number) { return static_cast<uint32_t>(number); };
  const auto token = [](int64_t number) { return static_cast<int32_t>(number); };
  return fb::CreateAudioInput(header, u32(sound.sample_rate), u32(sound.fft_samples),
                              u32(sound.hop_samples), u32(sound.mels), u32(sound.frames),
                              token(sound.transcribe_token), token(sound.translate_token),
                              token(sound.no_timestamps_token), token(sound.first_timestamp_token));
}

static_assert(static_cast<int>(TargetDescription::LanguagePlace::kTarget) ==
              static_cast<int>(fb::LanguagePlace::Target));

flatbuffers::Offset<fb::TargetText> WriteTarget(const TargetDescription& target,
                                                flatbuffers::FlatBufferBuilder& header) {
  std::vector<flatbuffers::Offset<fb::LanguageToken>> languages;
  for (const LanguageToken& known : target.languages) {
    languages.push_back(fb::CreateLanguageToken(header, header.CreateString(known.language),
                                                static_cast<uint32_t>(known.token)));
  }
  const auto start = header.CreateVector(target.start_tokens);
  const auto suppressed = header.CreateVector(target.suppressed_tokens);
  const auto first_suppressed = header.CreateVector(target.first_suppressed_tokens);
  const auto language_vector = header.CreateVector(languages);
  flatbuffers::Offset<flatbuffers::String> from, to;
  if (!target.source_language.empty()) from = header.CreateString(target.source_language);
  if (!target.target_language.empty()) to = header.CreateString(target.target_language);
  flatbuffers::Offset<fb::AudioInput> sound;
  if (target.sound) sound = WriteSound(*target.sound, header);
  return fb::CreateTargetText(header, start, suppressed, first_suppressed, language_vector,
                              static_cast<fb::LanguagePlace>(target.language_place), from, to,
                              sound, static_cast<int32_t>(target.forced_end_token));
}

flatbuffers::Offset<fb::Task> WriteTask(const ModelDescription& description,
                                        flatbuffers::FlatBufferBuilder& header) {
  const TaskDescription& task = description.task;
  const auto architecture = header.CreateString(task.architecture);
  const auto end_tokens = header.CreateVector(description.end_tokens);
  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>> labels;
  if (!task.labels.empty()) labels = header.CreateVectorOfStrings(task.labels);
  flatbuffers::Offset<fb::ImageInput> image;
  if (task.image) image = WriteImage(*task.image, header);
  flatbuffers::Offset<fb::TargetText> target;
  if (task.target) target = WriteTarget(*task.target, header);
  flatbuffers::Offset<fb::Pictures> pictures;
  if (task.pictures) pictures = WritePictures(*task.pictures, header);
  flatbuffers::Offset<flatbuffers::String> prompt;
  if (!task.prompt.empty()) prompt = header.CreateString(task.prompt);
  return fb::CreateTask(header, static_cast<fb::TaskKind>(task.task), architecture,
                        static_cast<uint32_t>(task.context_tokens), end_tokens, labels,
                        static_cast<fb::ScoreKind>(task.scores), image,
                        static_cast<int32_t>(task.pad_token), prompt, target, pictures);
}

// With zeros for answers, which are known once the weights are.
flatbuffers::Offset<fb::Probes> WriteProbes(const ModelDescription& description,
                                            flatbuffers::FlatBufferBuilder& header) {
  std::vector<flatbuffers::Offset<fb::Probe>> probes;
  for (const ProbeText& probe : description.probes) {
    flatbuffers::Offset<flatbuffers::String> text;
    if (!probe.text.empty()) text = header.CreateString(probe.text);
    const auto ids = header.CreateVector(probe.ids);
    const size_t count = probe.answered_ids == 0 ? 0 : description.probe_tokens;
    const auto tokens = header.CreateVector(std::vector<uint32_t>(count));
    const std::vector<float> zeros(count);
    const auto logits = header.CreateVector(zeros);
    const auto adapted = header.CreateVector(zeros);
    flatbuffers::Offset<flatbuffers::Vector<float>> base, stored_base;
    if (!description.adapters.empty()) {
      base = header.CreateVector(zeros);
      stored_base = header.CreateVector(zeros);
    }
    probes.push_back(fb::CreateProbe(header, text, probe.chat, ids, probe.answered_ids, tokens,
                                     logits, adapted, base, stored_base));
  }
  return fb::CreateProbes(header, header.CreateVector(probes), 0.0f);
}

// A vector whose room is no longer needed.
template <typename T>
void Empty(const flatbuffers::Vector<T>* vector) {
  if (vector == nullptr) return;
  auto* length = const_cast<uint8_t*>(vector->Data()) - sizeof(flatbuffers::uoffset_t);
  flatbuffers::WriteScalar(length, flatbuffers::uoffset_t{0});
}

template <typename T>
void Fill(const flatbuffers::Vector<T>* vector, const std::vector<T>& numbers) {
  if (vector == nullptr || vector->size() != numbers.size()) return;
  auto* to = const_cast<flatbuffers::Vector<T>*>(vector);
  for (uint32_t i = 0; i < vector->size(); ++i) to->Mutate(i, numbers[i]);
}

}  // namespace

Result<ModelHeader> ModelHeader::Build(const ModelDescription& description,
                                       std::span<const StoredFormat> formats,
                                       const std::string& quantization,
                                       flatbuffers::FlatBufferBuilder& header) {
  ModelHeader result(header);
  GRAFT_RETURN_IF_ERROR(PlaceTensors(description, formats, &result.tensors_, &result.segments_));

  std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
  std::vector<flatbuffers::Offset<fb::LayerReport>> reports;
  for (size_t i = 0; i < formats.size(); ++i) {
    const Constant& constant = description.constants[i];
    tensors.push_back(WriteTensor(constant, result.tensors_[i], header));
    result.report_of_tensor_.push_back(
        constant.is_weight_matrix ? static_cast<int32_t>(reports.size()) : -1);
    if (constant.is_weight_matrix) {
      reports.push_back(WriteReport(description, constant, formats[i], header));
    }
  }
  const auto tensor_vector = header.CreateVector(tensors);
  const std::vector<fb::Segment> no_places(result.segments_.size());
  const auto segment_vector = header.CreateVectorOfStructs(no_places);
  const auto task = WriteTask(description, header);
  flatbuffers::Offset<flatbuffers::String> chat_template;
  if (!description.chat_template.empty()) {
    chat_template = header.CreateString(description.chat_template);
  }
  const auto bos_token = header.CreateString(description.bos_token);
  const auto eos_token = header.CreateString(description.eos_token);
  const auto provenance = WriteProvenance(description, quantization, reports, header);
  flatbuffers::Offset<fb::Probes> probes;
  if (!description.probes.empty()) probes = WriteProbes(description, header);
  header.Finish(fb::CreateModel(header, description.graph, tensor_vector, segment_vector, task,
                                description.tokenizer, chat_template, provenance, bos_token,
                                eos_token, probes),
                fb::ModelIdentifier());
  if (header.GetSize() > schema::kMaxHeaderBytes) {
    return Error(StatusCode::kUnsupported,
                 "the header would be %u bytes; the format's limit is %" PRIu64, header.GetSize(),
                 schema::kMaxHeaderBytes);
  }

  // Only now is it known where the weights begin.
  uint64_t end = schema::kPreambleBytes + header.GetSize();
  auto* segments = const_cast<flatbuffers::Vector<const fb::Segment*>*>(
      static_cast<const fb::Model*>(result.mutable_model())->segments());
  for (uint32_t i = 0; i < segments->size(); ++i) {
    SegmentPlace& segment = result.segments_[i];
    segment.offset = AlignUp(end, schema::kSegmentAlignment);
    end = segment.offset + segment.bytes + schema::kTailBytes;
    *const_cast<fb::Segment*>(segments->Get(i)) = fb::Segment(segment.offset, segment.bytes, 0);
  }
  result.file_bytes_ = end;
  for (TensorPlace& place : result.tensors_) {
    place.data_offset += result.segments_[place.segment].offset;
    place.scales_offset += result.segments_[place.segment].offset;
  }
  return result;
}

fb::Model* ModelHeader::mutable_model() const {
  return const_cast<fb::Model*>(fb::GetModel(header_.GetBufferPointer()));
}

void ModelHeader::SetBaseHash(const schema::Hash128& hash) {
  *const_cast<fb::Hash128*>(mutable_model()->provenance()->base_hash()) =
      fb::Hash128(hash.high, hash.low);
}

void ModelHeader::SetContentHash(size_t tensor, const schema::Hash128& hash) {
  const fb::Tensor* table = mutable_model()->tensors()->Get(static_cast<uint32_t>(tensor));
  *const_cast<fb::Hash128*>(table->content_hash()) = fb::Hash128(hash.high, hash.low);
}

void ModelHeader::SetChecksum(size_t segment, uint64_t checksum) {
  const SegmentPlace& place = segments_[segment];
  *const_cast<fb::Segment*>(mutable_model()->segments()->Get(static_cast<uint32_t>(segment))) =
      fb::Segment(place.offset, place.bytes, checksum);
}

void ModelHeader::SetMeasures(size_t tensor, const LayerMeasures& measures) {
  const fb::LayerReport* report = mutable_model()->provenance()->layers()->Get(
      static_cast<uint32_t>(report_of_tensor_[tensor]));
  SetScalar(report, fb::LayerReport::VT_DELTA_RATIO, Recorded(measures.retained.DeltaRatio()));
  SetScalar(report, fb::LayerReport::VT_QUANTIZATION_SNR_DB, Recorded(measures.error.SnrDb()));
  SetScalar(report, fb::LayerReport::VT_QUANTIZATION_MAX_ERROR, Recorded(measures.error.max_error));
  SetScalar(report, fb::LayerReport::VT_DELTA_CORRELATION,
            Recorded(measures.retained.Correlation()));
  SetScalar(report, fb::LayerReport::VT_DELTA_NOISE_RATIO,
            Recorded(measures.retained.NoiseRatio()));
}

void ModelHeader::SetProbeAnswers(const ProbeAnswers& answers) {
  const fb::Probes* probes = mutable_model()->probes();
  SetScalar(probes, fb::Probes::VT_NOISE, answers.noise);
  size_t next = 0;
  for (const fb::Probe* probe : *probes->probes()) {
    if (probe->answered_ids() == 0) continue;
    if (answers.probes.empty()) {
      SetScalar(probe, fb::Probe::VT_ANSWERED_IDS, uint32_t{0});
      Empty(probe->tokens());
      for (const auto* logits : {probe->logits(), probe->adapted_logits(), probe->base_logits(),
                                 probe->stored_base_logits()}) {
        Empty(logits);
      }
      continue;
    }
    const ProbeNumbers& answer = answers.probes[next++];
    Fill(probe->tokens(), answer.tokens);
    Fill(probe->logits(), answer.logits);
    Fill(probe->adapted_logits(), answer.adapted);
    Fill(probe->base_logits(), answer.base);
    if (answer.stored_base.empty()) {
      Empty(probe->stored_base_logits());
    } else {
      Fill(probe->stored_base_logits(), answer.stored_base);
    }
  }
}

std::vector<uint8_t> ModelHeader::Bytes() const {
  const std::span<const uint8_t> header(header_.GetBufferPointer(), header_.GetSize());
  schema::Preamble preamble;
  preamble.file_bytes = file_bytes_;
  preamble.header_bytes = header.size();
  preamble.header_checksum = schema::Checksum64(header);
  const auto encoded = schema::EncodePreamble(preamble);
  std::vector<uint8_t> bytes(encoded.size() + header.size());
  std::memcpy(bytes.data(), encoded.data(), encoded.size());
  std::memcpy(bytes.data() + encoded.size(), header.data(), header.size());
  return bytes;
}

}  // namespace graft::converter
