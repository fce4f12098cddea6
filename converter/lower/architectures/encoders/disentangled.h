// SPDX-License-Identifier: Apache-2.0
// The tables of disentangled attention: what DeBERTa's layers make of their embeddings of distances.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "converter/json/json.h"
#include "converter/lower/module.h"
#include "converter/lower/shapes.h"
#include "schema/result.h"

namespace graft::converter {

struct Distances {
  bool to_positions = false;    ///< Queries look at embeddings of distances ("c2p").
  bool from_positions = false;  ///< Keys do ("p2c").
  int64_t types = 0;            ///< Entries of pos_att_type, which scores are scaled down by.
  int64_t span = 0;             ///< Half of the embeddings; 0: attention is not relative.
  int64_t buckets = 0;          ///< 0: each distance has an embedding of its own.
  int64_t farthest = 0;         ///< max_relative_positions.
};

/// relative_attention, pos_att_type and what goes with them.
/// Errors   kUnsupported: an unknown type.
Result<Distances> ReadDistances(const JsonValue& config);

/// The embedding of distance i - j, less the span.
/// Source   He et al. 2021, with f32 arithmetic as transformers has it.
int64_t DistanceBucket(const Distances& distances, int64_t distance);

/// The projections of one layer that embeddings of distances go through. Empty: none.
struct DistanceProjections {
  std::string keys, queries;  ///< Of what queries look at, and of what keys look at.
  bool key_bias = true;
};

/// Makes the tables of all layers of an encoder.
class DistanceTables {
 public:
  /// `encoder` has rel_embeddings and, if `norm`, a LayerNorm for them.
  DistanceTables(const Distances& distances, const Module& encoder, bool norm, float epsilon);

  /// Those of one layer; none if attention is not relative.
  PositionTableIds OfLayer(const Module& attention, const DistanceProjections& projections,
                           int64_t out_features);

 private:
  TensorId Project(const Module& attention, const std::string& projection, bool bias,
                   const std::string& name, int64_t out_features) const;

  Distances distances_;
  int64_t hidden_ = 0;
  int64_t columns_ = 0;
  std::shared_ptr<const std::vector<double>> embeddings_;  // [hidden, columns]
  PositionTableIds ids_;                                   // what all layers share
};

}  // namespace graft::converter
