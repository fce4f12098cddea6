// SPDX-License-Identifier: Apache-2.0
// FourierFT: a few numbers of the spectrum of a weight's change were trained.
#include <algorithm>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/merge/kinds/adapter_kinds.h"
#include "converter/merge/kinds/drawn/fourier.h"
#include "converter/merge/kinds/drawn/spectrum.h"

namespace graft::converter {
namespace {

constexpr std::string_view kRoles[] = {"fourierft_spectrum"};
constexpr Setting kSettings[] = {
    {"scaling", 0, SettingUse::kRead, ""},
    {"random_loc_seed", 0, SettingUse::kRead, ""},
    {"bias", 0, SettingUse::kRead, ""},
    {"n_frequency", 0, SettingUse::kIgnored, ""},  // the spectrum is as long
    {"n_frequency_pattern", 0, SettingUse::kIgnored, ""},
    {"init_weights", 0, SettingUse::kIgnored, ""},
};

// W[a][c] += scale * the real part of the mean, over all frequencies (r, s), of
// spectrum[r][s] * e^(2 pi i (r a / rows + s c / columns)).
// Source   Gao et al. 2024, "Parameter-Efficient Fine-Tuning with Discrete Fourier Transform".
class AddWaves final : public RowUpdate {
 public:
  // `rows` and `columns` are those of the weight as it is stored.
  AddWaves(const Spectrum& spectrum, double scale, bool transposed)
      : spectrum_(spectrum),
        transposed_(transposed),
        rows_(transposed ? spectrum.inputs : spectrum.outputs),
        columns_(transposed ? spectrum.outputs : spectrum.inputs),
        scale_(scale),
        row_turns_(static_cast<size_t>(rows_)),
        transform_(static_cast<size_t>(columns_)) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    std::call_once(once_, [this] { read_ = spectrum_.Read(scale_, transposed_, &numbers_); });
    GRAFT_RETURN_IF_ERROR(read_);
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> turns, row_turns_.Get(workspace));
    GRAFT_ASSIGN_OR_RETURN(const std::span<const double> column_turns,
                           transform_.turns().Get(workspace));
    const size_t columns = static_cast<size_t>(columns_);
    std::vector<Complex> sums(columns), waves(columns);
    const double count = static_cast<double>(rows_) * static_cast<double>(columns_);
    for (int64_t row = row_begin; row < row_end; ++row) {
      std::fill(sums.begin(), sums.end(), Complex{});
      for (const SparseNumber& number : numbers_) {
        const size_t turn = static_cast<size_t>(number.row * row % rows_);
        Complex& sum = sums[static_cast<size_t>(number.column)];
        sum.real += number.value * turns[2 * turn];
        sum.imaginary += number.value * turns[2 * turn + 1];
      }
      transform_.Inverse(column_turns, sums, waves);
      double* out = rows.data() + static_cast<size_t>(row - row_begin) * columns;
      for (size_t c = 0; c < columns; ++c) out[c] += waves[c].real / count;
    }
    return OkStatus();
  }

 private:
  Spectrum spectrum_;
  bool transposed_;
  int64_t rows_;
  int64_t columns_;
  double scale_;
  Turns row_turns_;
  FourierTransform transform_;
  mutable std::once_flag once_;
  mutable Status read_;
  mutable std::vector<SparseNumber> numbers_;
};

Status Plan(const AdapterModule& module, AdapterPlanner* planner) {
  GRAFT_ASSIGN_OR_RETURN(const AdapterTensor* values, planner->Need(module, "fourierft_spectrum"));
  GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                         FindLinear(module, *values, TransposedLayers::kTaken, planner));
  GRAFT_ASSIGN_OR_RETURN(const Spectrum spectrum, FindSpectrum(*values, layer, planner));
  GRAFT_ASSIGN_OR_RETURN(const double scale,
                         planner->config().document->root().GetDouble("scaling", 150));
  planner->Add(layer.weight, std::make_unique<AddWaves>(spectrum, scale, layer.transposed));
  return planner->NoteModule(layer.weight, "fourierft", 0, scale);
}

}  // namespace

extern constinit const PlannedKind kFourierFtKind = {
    {AdapterType::kOther, "FOURIERFT", "fourierft", kRoles, kSettings}, Plan};

}  // namespace graft::converter
