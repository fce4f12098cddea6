// SPDX-License-Identifier: Apache-2.0
// The table of ops: one line declares an op's kind, which the file of its name defines, and one
// enters it.
#pragma once

#include "runtime/plan/step_kind.h"

namespace graft::runtime::ops {

extern const StepKind kEmbedding;
extern const StepKind kLinear;
extern const StepKind kRmsNorm;
extern const StepKind kLayerNorm;
extern const StepKind kRope;
extern const StepKind kAttention;
extern const StepKind kAdd;
extern const StepKind kMultiply;
extern const StepKind kActivation;
extern const StepKind kGatedActivation;
extern const StepKind kSelectRows;
extern const StepKind kScale;
extern const StepKind kPoolRows;
extern const StepKind kConstant;
extern const StepKind kConcatenateRows;
extern const StepKind kPatches;
extern const StepKind kPoolPixels;
extern const StepKind kClamp;
extern const StepKind kXielu;
extern const StepKind kSelectColumns;
extern const StepKind kWeightedSum;
extern const StepKind kGaussianTopK;
extern const StepKind kMatchRms;
extern const StepKind kRowWindows;
extern const StepKind kShortConvolution;
extern const StepKind kGatedDeltaRule;
extern const StepKind kSelectiveScan;
extern const StepKind kGatedRecurrence;
extern const StepKind kRoute;
extern const StepKind kExpertLinear;
extern const StepKind kConvolution;
extern const StepKind kTakeRows;
extern const StepKind kRotate;
extern const StepKind kResizePixels;
extern const StepKind kPlanes;
extern const StepKind kMergePatches;
extern const StepKind kPlaceImages;
extern const StepKind kGridPositions;

/// In the order of model.fbs's union OpAttributes.
inline constexpr const StepKind* kOps[] = {
    nullptr,           &kEmbedding,
    &kLinear,          &kRmsNorm,
    &kLayerNorm,       &kRope,
    &kAttention,       &kAdd,
    &kMultiply,        &kActivation,
    &kGatedActivation, &kSelectRows,
    &kScale,           &kPoolRows,
    &kConstant,        &kConcatenateRows,
    &kPatches,         &kPoolPixels,
    &kClamp,           &kXielu,
    &kSelectColumns,   &kWeightedSum,
    &kGaussianTopK,    &kMatchRms,
    &kRowWindows,      &kShortConvolution,
    &kGatedDeltaRule,  &kSelectiveScan,
    &kGatedRecurrence, &kRoute,
    &kExpertLinear,    &kConvolution,
    &kTakeRows,        &kRotate,
    &kResizePixels,    &kPlanes,
    &kMergePatches,    &kPlaceImages,
    &kGridPositions,
};

}  // namespace graft::runtime::ops
