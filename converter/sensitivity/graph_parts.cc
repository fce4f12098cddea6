// SPDX-License-Identifier: Apache-2.0
#include "converter/sensitivity/graph_parts.h"

#include <algorithm>
#include <set>

#include "schema/generated/model_generated.h"

namespace graft::converter {

namespace fb = schema::fb;

int32_t MatrixOf(const fb::Op& op) {
  if (const fb::Linear* linear = op.attributes_as_Linear()) return linear->weight();
  if (const fb::Embedding* embedding = op.attributes_as_Embedding()) return embedding->table();
  if (const fb::ExpertLinear* experts = op.attributes_as_ExpertLinear()) return experts->weight();
  return -1;
}

std::vector<GraphPart> CutGraph(const fb::Graph& graph, size_t most) {
  const auto& ops = *graph.ops();
  std::vector<size_t> last_reader(graph.values()->size(), 0);
  size_t matrices = 0;
  for (unsigned i = 0; i < ops.size(); ++i) {
    for (const int32_t input : *ops.Get(i)->inputs()) last_reader[static_cast<size_t>(input)] = i;
    if (MatrixOf(*ops.Get(i)) >= 0) ++matrices;
  }
  const size_t share = (matrices + most - 1) / std::max<size_t>(most, 1);
  std::vector<GraphPart> parts;
  GraphPart part;
  std::set<int32_t> waiting;  // values computed so far that later ops read
  size_t found = 0;
  for (unsigned i = 0; i < ops.size(); ++i) {
    if (MatrixOf(*ops.Get(i)) >= 0) ++found;
    for (const int32_t output : *ops.Get(i)->outputs()) waiting.insert(output);
    std::erase_if(waiting,
                  [&](int32_t value) { return last_reader[static_cast<size_t>(value)] <= i; });
    if (waiting.size() != 1 || found < share) continue;
    part.end = i + 1;
    part.left = *waiting.begin();
    parts.push_back(part);
    part = GraphPart{i + 1, 0, part.left, -1};
    found = 0;
  }
  part.end = ops.size();
  part.left = graph.outputs()->Get(0);
  if (part.begin < part.end) parts.push_back(part);
  return parts;
}

}  // namespace graft::converter
