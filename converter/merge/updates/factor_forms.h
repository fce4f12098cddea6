// SPDX-License-Identifier: Apache-2.0
// The other ways adapters store two factors of an update: scaled, shared, block-diagonal, or with a
// core tensor between them.
#pragma once

#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {

/// The same factors with row k of the right one multiplied by `diagonal`[k]: B * diag(e) * A.
LowRankFactors WithDiagonal(LowRankFactors factors, StoredFactor diagonal);

/// VeRA: (lambda_b (.) B[:out_features]) * (lambda_d (.) A[:, :in_features]) with A and B shared by
/// all layers.
/// Shapes   a [rank, >= in_features], b [>= out_features, rank], lambda_b [out_features], lambda_d
///          [rank].
/// Source   Kopiczko et al. 2023, equation 2.
LowRankFactors SharedFactors(StoredFactor a, StoredFactor b, StoredFactor lambda_b,
                             StoredFactor lambda_d, int64_t in_features);

/// The transpose of a product that has `rows` rows.
LowRankFactors Transposed(LowRankFactors factors, int64_t rows);

/// BD-LoRA: a factor stored as its diagonal blocks one below another. `blocks_a` and `blocks_b` are
/// 1 for a full factor.
/// Shapes   a [rank, in_features / blocks_a], b [out_features, rank / blocks_b].
LowRankFactors BlockFactors(StoredFactor a, int64_t blocks_a, StoredFactor b, int64_t blocks_b,
                            double scale);

/// LyCORIS' Tucker form of LoRA on a convolution: the sum over i and j of up[out][i] *
/// mid[i][j][kernel] * down[j][in].
/// Shapes   mid [rank, rank, kernel...], down [rank, in], up [out, rank]; down and up may have a
///          kernel of one point.
LowRankFactors CoreFactors(StoredFactor mid, StoredFactor down, StoredFactor up, double scale);

/// Tucker form of a convolution, [out, in, kernel...]: the sum over i and j of wa[i][out] *
/// t[i][j][kernel] * wb[j][in].
/// Shapes   t [rank, rank, kernel...], wa [rank, out], wb [rank, in].
LowRankFactors TuckerFactors(StoredFactor t, StoredFactor wa, StoredFactor wb, double scale);

}  // namespace graft::converter
