// SPDX-License-Identifier: Apache-2.0
// WaveFT: a few wavelet coefficients of a weight's change were trained.
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/spectrum.h"
#include "converter/merge/kinds/drawn/wavelets.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"waveft_spectrum"};
constexpr Setting kSettings[] = {
    {"scaling", 0, SettingUse::kRead, ""},
    {"random_loc_seed", 0, SettingUse::kRead, ""},
    {"wavelet_family", 0, SettingUse::kRead, ""},
    {"use_idwt", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"n_frequency", 0, SettingUse::kIgnored, ""},  // the spectrum is as long
    {"n_frequency_pattern", 0, SettingUse::kIgnored, ""},
    {"proportional_parameters", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// The places of one dimension: padded to an even number, the weight's in the middle, the first half
// of them one band and the second half the other.
struct Band {
  Band(int64_t size, int64_t filter) {
    const int64_t padded = size + filter - 2;
    half = (padded + 1) / 2;
    offset = (2 * half - size) / 2;
  }
  int64_t half;
  int64_t offset;
};

// A coefficient by its place within its band, and whether it shapes rows and columns by the
// high-pass filter.
struct Coefficient {
  int64_t row;
  int64_t column;
  bool high_rows;
  bool high_columns;
  double value;
};

// One step of synthesis: zeros between the coefficients of each band, then the filters along both
// dimensions. What the padding adds on either side is cut away.
// Source   Bilican et al. 2025, "Exploring Sparsity for Parameter Efficient Fine Tuning Using
//          Wavelets", and PEFT's padding.
class AddWavelets final : public RowUpdate {
 public:
  AddWavelets(const Spectrum& spectrum, std::vector<double> low, double scale, bool transposed)
      : spectrum_(spectrum),
        scale_(scale),
        transposed_(transposed),
        length_(static_cast<int64_t>(low.size())),
        columns_(transposed ? spectrum.outputs : spectrum.inputs),
        half_columns_(Band(columns_, length_).half) {
    filters_[0] = std::move(low);
    for (size_t i = 0; i < filters_[0].size(); ++i) {
      const double mirrored = filters_[0][filters_[0].size() - 1 - i];
      filters_[1].push_back(i % 2 == 0 ? mirrored : -mirrored);
    }
  }

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* /*workspace*/) const override {
    std::call_once(once_, [this] { read_ = Read(); });
    GRAFT_RETURN_IF_ERROR(read_);
    const int64_t cut = length_ - 2;
    std::vector<double> bands[2];
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (std::vector<double>& band : bands) {
        band.assign(static_cast<size_t>(half_columns_), 0.0);
      }
      // Coefficient k covers rows 2 k - cut to 2 k - cut + length - 1.
      const int64_t last = (row + cut) / 2;
      const int64_t first = std::max<int64_t>(0, (row + cut - length_ + 2) / 2);
      auto at =
          std::lower_bound(coefficients_.begin(), coefficients_.end(), first,
                           [](const Coefficient& c, int64_t wanted) { return c.row < wanted; });
      for (; at != coefficients_.end() && at->row <= last; ++at) {
        const double weight =
            filters_[at->high_rows ? 1 : 0][static_cast<size_t>(row + cut - 2 * at->row)];
        bands[at->high_columns ? 1 : 0][static_cast<size_t>(at->column)] += at->value * weight;
      }
      AddRow(bands, rows.data() + static_cast<size_t>((row - row_begin) * columns_));
    }
    return OkStatus();
  }

 private:
  Status Read() const {
    std::vector<SparseNumber> numbers;
    GRAFT_RETURN_IF_ERROR(spectrum_.Read(scale_, false, &numbers));
    const Band outputs(spectrum_.outputs, length_);
    const Band inputs(spectrum_.inputs, length_);
    for (const SparseNumber& number : numbers) {
      const int64_t row = number.row + outputs.offset;
      const int64_t column = number.column + inputs.offset;
      // The band of a coefficient's column decides the filter of its rows, and the other way round.
      Coefficient c{row % outputs.half, column % inputs.half, column >= inputs.half,
                    row >= outputs.half, number.value};
      if (transposed_) {
        std::swap(c.row, c.column);
        std::swap(c.high_rows, c.high_columns);
      }
      coefficients_.push_back(c);
    }
    std::stable_sort(coefficients_.begin(), coefficients_.end(),
                     [](const Coefficient& a, const Coefficient& b) { return a.row < b.row; });
    return OkStatus();
  }

  void AddRow(const std::vector<double> (&bands)[2], double* out) const {
    const int64_t cut = length_ - 2;
    for (int64_t c = 0; c < columns_; ++c) {
      double sum = 0;
      const int64_t first = std::max<int64_t>(0, (c + cut - length_ + 2) / 2);
      const int64_t last = std::min((c + cut) / 2, half_columns_ - 1);
      for (int64_t k = first; k <= last; ++k) {
        const size_t tap = static_cast<size_t>(c + cut - 2 * k);
        sum += bands[0][static_cast<size_t>(k)] * filters_[0][tap] +
               bands[1][static_cast<size_t>(k)] * filters_[1][tap];
      }
      out[c] += sum;
    }
  }

  Spectrum spectrum_;
  double scale_;
  bool transposed_;
  int64_t length_;
  int64_t columns_;
  int64_t half_columns_;
  std::vector<double> filters_[2];
  mutable std::once_flag once_;
  mutable Status read_;
  mutable std::vector<Coefficient> coefficients_;  // by rows
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  const JsonValue root = planner->config().document->root();
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* values, planner->Need(module, "waveft_spectrum"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *values, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const Spectrum spectrum, FindSpectrum(*values, layer, planner));
  GRAFT_ASSIGN_OR_RETURN(const double scale, root.GetDouble("scaling", 25));
  GRAFT_ASSIGN_OR_RETURN(const bool synthesis, root.GetBool("use_idwt", true));
  GRAFT_ASSIGN_OR_RETURN(const std::string family, root.GetString("wavelet_family", "db1"));
  if (!synthesis) {
    const int64_t columns = layer.transposed ? layer.outputs : layer.inputs;
    const auto read = [spectrum, scale,
                       turned = layer.transposed](std::vector<SparseNumber>* numbers) {
      return spectrum.Read(scale, turned, numbers);
    };
    planner->Add(layer.weight, std::make_unique<AddSparse>(columns, read));
    return planner->NoteModule(layer.weight, "waveft", 0, scale);
  }
  std::vector<double> low = FindWavelet(family);
  if (low.empty()) {
    return root.Find("wavelet_family")
        .Fail("is \"" + family.substr(0, 60) + "\", a wavelet that PEFT has no filter of",
              StatusCode::kUnsupported);
  }
  planner->Add(layer.weight,
               std::make_unique<AddWavelets>(spectrum, std::move(low), scale, layer.transposed));
  return planner->NoteModule(layer.weight, "waveft", 0, scale);
}

}  // namespace

extern constinit const PlannedKind kWaveFtKind = {
    {AdapterType::kOther, "WAVEFT", "waveft", kRoles, kSettings}, Plan};

}  // namespace graft::converter
