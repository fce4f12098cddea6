// SPDX-License-Identifier: Apache-2.0
// A graph cut into parts that hand one value on: mostly a layer each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace graft::schema::fb {
struct Graph;
struct Op;
}  // namespace graft::schema::fb

namespace graft::converter {

/// Ops [begin, end). What they and all later ops take of earlier ones is the value `given`; what
/// later ones take of these is `left`. -1 in the first part: nothing.
struct GraphPart {
  size_t begin = 0, end = 0;
  int32_t given = -1;
  int32_t left = -1;
};

/// The parts of a graph in order, at most about `most`: where one value is all that goes on, and as
/// many matrices lie before it as a part's share. The last one leaves the graph's first output.
/// Cost     ops * values.
std::vector<GraphPart> CutGraph(const schema::fb::Graph& graph, size_t most);

/// The tensor of a matrix that an op multiplies with or looks rows up in; -1: none.
int32_t MatrixOf(const schema::fb::Op& op);

}  // namespace graft::converter
