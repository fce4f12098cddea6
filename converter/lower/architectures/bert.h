// SPDX-License-Identifier: Apache-2.0
// The BERT family: encoders of texts with learned positions and norms after each residual.
#pragma once

#include "converter/lower/lowering.h"

namespace graft::converter {

/// BERT and MiniLM.
/// Source   Devlin et al. 2018; Wang et al. 2020.
Status LowerBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// RoBERTa, XLM-RoBERTa and CamemBERT: positions count from behind the padding token's id.
/// Source   Liu et al. 2019.
Status LowerRoberta(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// ELECTRA's discriminator: embeddings may be narrower than the layers.
/// Source   Clark et al. 2020.
Status LowerElectra(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

/// BERT with half the layers, no token types and names of its own.
/// Source   Sanh et al. 2019.
Status LowerDistilBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task);

}  // namespace graft::converter
