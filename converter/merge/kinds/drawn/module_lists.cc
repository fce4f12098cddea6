// SPDX-License-Identifier: Apache-2.0
// One line a list.
#include "converter/merge/kinds/drawn/module_lists.h"

#include "converter/merge/kinds/drawn/module_order.h"

namespace graft::converter {
namespace {

constexpr std::string_view kLists = R"(model lm_head
embed_tokens layers norm
self_attn mlp input_layernorm post_attention_layernorm
q_proj k_proj v_proj o_proj
gate_proj up_proj down_proj
model score
q_proj k_proj v_proj o_proj q_norm k_norm
embed_tokens layers
self_attn mlp
self_attn mlp post_attention_layernorm post_feedforward_layernorm
o_proj qkv_proj
gate_up_proj down_proj
embed_tokens layers final_layernorm
self_attn mlp input_layernorm
q_proj k_proj v_proj dense
fc1 fc2
self_attn mlp input_layernorm post_attention_layernorm pre_feedforward_layernorm post_feedforward_layernorm
transformer lm_head
wte wpe h ln_f
ln_1 attn ln_2 mlp
c_attn c_proj
c_fc c_proj
transformer score
gpt_neox lm_head
embed_in layers final_layer_norm
input_layernorm post_attention_layernorm attention mlp
query_key_value dense
dense_h_to_4h dense_4h_to_h
gpt_neox score
embed_tokens embed_positions final_layer_norm layers
self_attn self_attn_layer_norm fc1 fc2 final_layer_norm
k_proj v_proj q_proj out_proj
embed_tokens layers embedding_norm
self_attn feed_forward operator_norm ffn_norm
q_proj k_proj v_proj out_proj q_layernorm k_layernorm
w1 w3 w2
bert cls
embeddings encoder
word_embeddings position_embeddings token_type_embeddings LayerNorm
attention intermediate output
self output
query key value
dense LayerNorm
transform decoder
bert classifier
embeddings encoder pooler
roberta lm_head
word_embeddings token_type_embeddings LayerNorm position_embeddings
dense layer_norm decoder
roberta classifier
dense out_proj
distilbert pre_classifier classifier
embeddings transformer
word_embeddings position_embeddings LayerNorm
attention sa_layer_norm ffn output_layer_norm
q_lin k_lin v_lin out_lin
lin1 lin2
distilbert vocab_transform vocab_layer_norm vocab_projector
electra generator_predictions generator_lm_head
embeddings embeddings_project encoder
LayerNorm dense
electra classifier
embeddings layers layernorm pooler
attention layernorm_before layernorm_after mlp
text_model vision_model visual_projection text_projection
embeddings encoder final_layer_norm
token_embedding position_embedding
self_attn layer_norm1 mlp layer_norm2
embeddings pre_layrnorm encoder post_layernorm
patch_embedding position_embedding
text_model vision_model
embeddings encoder final_layer_norm head
layer_norm1 self_attn layer_norm2 mlp
embeddings encoder post_layernorm head
attention layernorm mlp
transformer classification_head
shared encoder decoder
embed_tokens block final_layer_norm
SelfAttention layer_norm
q k v o relative_attention_bias
DenseReluDense layer_norm
wi wo
q k v o
EncDecAttention layer_norm
embed_tokens embed_positions layers layernorm_embedding
self_attn self_attn_layer_norm encoder_attn encoder_attn_layer_norm fc1 fc2 final_layer_norm
model classification_head
model proj_out
embed_tokens embed_positions layers layer_norm
encoder decoder
conv1 conv2 embed_positions layers layer_norm
word_embeddings h ln_f
self_attention mlp input_layernorm
word_embeddings word_embeddings_layernorm h ln_f
input_layernorm self_attention post_attention_layernorm mlp
wte blocks norm_f
norm_1 attn norm_2 ffn
Wqkv out_proj
up_proj down_proj
gate experts shared_expert shared_expert_gate
experts gate
gate experts
router experts
self_attn mlp input_layernorm post_attention_layernorm post_self_attn_layernorm post_mlp_layernorm
wte h ln_f
ln_1 attn mlp
fc_in fc_out
lm_head roberta
classifier roberta
deberta pooler classifier
query_proj key_proj value_proj
deberta cls
albert classifier
embedding_hidden_mapping_in albert_layer_groups
full_layer_layer_norm attention ffn ffn_output
query key value dense LayerNorm
albert predictions
LayerNorm dense decoder
model head classifier
embeddings layers final_norm
tok_embeddings norm
attn mlp_norm mlp
Wqkv Wo
Wi Wo
attn_norm attn mlp_norm mlp
dense norm
model head decoder
mpnet classifier
layer relative_attention_bias
attn LayerNorm
mpnet lm_head
vision_model connector text_model
embeddings encoder post_layernorm
visual language_model
patch_embed blocks merger
norm1 norm2 attn mlp
qkv proj
ln_q mlp
backbone lm_head
embeddings layers norm_f
norm mixer
conv1d in_proj x_proj dt_proj out_proj
conv1d in_proj norm out_proj
self_attn input_layernorm post_attention_layernorm mlp
norm qkv_proj out_proj output_gate
query_key_value dense q_layernorm k_layernorm
out_proj qkv_proj
embed_tokens layers layer_norm
biogpt output_projection
biogpt score
rwkv head
embeddings blocks ln_out
pre_ln ln1 ln2 attention feed_forward
key value receptance output
key receptance value
ln1 ln2 attention feed_forward
mamba feed_forward input_layernorm pre_ff_layernorm
conv1d in_proj x_proj dt_proj out_proj dt_layernorm b_layernorm c_layernorm
self_attn input_layernorm post_attention_layernorm block_sparse_moe
q_proj k_proj v_proj o_proj attn_sub_norm
gate_proj up_proj down_proj ffn_sub_norm
self_attn mlp attention_layernorm feedforward_layernorm
up_proj down_proj act_fn
self_attn input_layernorm post_attention_layernorm pre_mlp_layernorm post_mlp_layernorm mlp
q_proj k_proj v_proj o_proj q_norm k_norm gate_proj
router shared_experts experts
router experts shared_experts
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj
experts gate shared_experts post_mlp_layernorm
q_a_proj q_a_layernorm q_gate_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj indexer
wq_b wk k_norm weights_proj
norm mlp
experts gate shared_experts
q_proj k_proj v_proj conv1d forget_gate b_proj o_norm o_proj g_proj
q_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj g_proj
feed_forward input_layernorm pre_ff_layernorm mamba
bert lm_head
local_encoder global_transformer local_decoder encoder_hash_tok_embedding patcher
layers patch_embedding_projection embed_tokens cross_attn_layers
layers patch_embedding_projection norm cross_attn_layers
layers embed_tokens norm lm_head
cpmant lm_head
encoder segment_embedding input_embedding position_bias
layers output_layernorm
self_att ffn
layernorm_before_attention self_attention
project_q project_k project_v attention_out
layernorm_before_ffn ffn
w_in w_out
w_0 w_1
w h layernorm
multi_head_attention ffn layernorm1 layernorm2
Wq Wk Wv dense
transformer classifier
data2vec_text lm_head
data2vec_text classifier
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj indexer
embed_tokens layers norm hc_head
self_attn mlp input_layernorm post_attention_layernorm attn_hc ffn_hc
q_a_proj q_a_norm q_b_proj kv_proj kv_norm o_a_proj o_b_proj compressor
kv_proj gate_proj kv_norm
gate experts shared_experts
kv_proj gate_proj kv_norm indexer
kv_proj gate_proj kv_norm q_b_proj scorer
input_layernorm self_attn post_attention_layernorm mlp
q_proj k_proj v_proj dt_proj o_proj q_norm k_norm
q_proj k_proj v_proj o_proj gate_proj
language_model vision_tower audio_tower
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj k_rope_only_layernorm g_proj indexer
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj k_rope_only_layernorm g_proj
patch_embed blocks merger norm
proj norm
norm1 attn norm2 mlp
qkv proj q_norm k_norm
conv_stem layers layer_norm adapter
convs conv_out
self_attn input_layernorm mlp post_attention_layernorm
norm fc1 fc2
ernie cls
ernie classifier
feed_forward mamba self_attn input_layernorm pre_ff_layernorm
conv1d in_proj out_proj
experts gate shared_expert
language_model vision_embed_tokens
vision_tower multi_modal_projector language_model
embed_tokens layers norm embed_tokens_per_layer per_layer_model_projection per_layer_projection_norm
self_attn mlp input_layernorm post_attention_layernorm pre_feedforward_layernorm post_feedforward_layernorm per_layer_input_gate per_layer_projection post_per_layer_input_norm
q_proj q_norm k_norm k_proj v_proj o_proj
model lm_head pre_projection post_projection
q_proj q_norm o_proj
git output
embeddings image_encoder encoder visual_projection
patch_embed layers neck
layer_norm1 attn layer_norm2 mlp
conv1 layer_norm1 conv2 layer_norm2
conv_upsampler1 conv_upsampler2 multimodal_projector
gpt_neox_japanese embed_out
input_layernorm post_attention_layernorm block_sparse_moe shared_mlp mamba
input_linear output_linear
embed_tokens L_module H_module
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj indexer gate_proj
q_a_proj q_a_layernorm q_b_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj gate_proj
self_attn mlp input_layernorm post_attention_layernorm post_norm1 post_norm2
embed_tokens layers norm final_input message_input
mlp_input self_attn mlp input_layernorm post_attention_layernorm post_attention_convolution post_mlp_convolution
q_proj k_proj v_proj o_proj sink_proj relative_position_bias
linear norm
linear sconv
gate_proj linear
attention_input mlp_input self_attn mlp input_layernorm post_attention_layernorm post_attention_convolution post_mlp_convolution
attention_input mlp_input self_attn mlp q_input_layernorm k_input_layernorm v_input_layernorm post_attention_layernorm post_attention_convolution post_mlp_convolution
embed_tokens layers norm final_input
self_attn mlp input_layernorm post_attention_layernorm attn_sconv mlp_sconv
q_proj k_proj v_proj r_proj o_proj k_sconv v_sconv q_norm k_norm rel_logits_proj
mlp input_layernorm post_attention_layernorm self_attention
input_linear output_linear router
experts kv_proj
q_proj k_proj v_proj conv1d forget_gate b_proj g_a_proj g_b_proj o_norm o_proj
f_a_proj f_b_proj
q_proj k_proj v_proj o_proj q_norm k_norm g_proj
linear_attn mlp input_layernorm post_attention_layernorm
conv1d norm out_proj in_proj_qkv in_proj_z in_proj_b in_proj_a
conv feed_forward operator_norm ffn_norm post_operator_norm post_ffn_norm
conv in_proj out_proj
self_attn feed_forward operator_norm ffn_norm post_operator_norm post_ffn_norm
vision_model multi_modal_projector language_model
patch_embedding layernorm_pre layernorm_post model vision_adapter
self_attn feed_forward input_layernorm post_attention_layernorm
experts router shared_expert
mlp self_attn mlps input_layernorm post_attention_layernorm
experts router
embed_tokens embed_positions layers
embed_tokens embed_positions layers layernorm_embedding layer_norm
word_embeddings position_embeddings token_type_embeddings
layer ln
attention ln intermediate output
ln self output
cross_attn input_layernorm mlp post_attention_layernorm
vision_model language_model multi_modal_projector
patch_embedding gated_positional_embedding pre_tile_positional_embedding post_tile_positional_embedding layernorm_pre layernorm_post transformer global_transformer
model lm_head decoder
q_proj k_proj v_proj Wo
audio_tower language_model multi_modal_projector
linear_1 linear_2 norm
mlp input_layernorm post_attention_layernorm linear_attn
q_proj k_proj v_proj a_proj b_proj g_proj o_proj conv1d o_norm
tokens_embed positions_embed h
attn ln_1 mlp ln_2
embed_tokens layers norm embed_tokens_extend
image_embed audio_embed
img_processor img_projection_up img_projection_down
encoder up_proj_for_speech down_proj_for_speech up_proj_for_vision_speech down_proj_for_vision_speech
embed relative_attention_bias_layer encoders
conv out
feed_forward_in self_attn conv feed_forward_out layer_norm_att layer_norm
layer_norm gate_up_proj down_proj
layer_norm glu dw_sep_conv_1d ext_pw_conv_1d
dw_conv pw_conv
prophetnet lm_head
word_embeddings decoder
word_embeddings position_embeddings ngram_embeddings layers embeddings_layer_norm
self_attn self_attn_layer_norm cross_attn cross_attn_layer_norm feed_forward feed_forward_layer_norm
key_proj value_proj query_proj out_proj relative_pos_embeddings
key_proj value_proj query_proj out_proj
intermediate output
word_embeddings encoder decoder
word_embeddings position_embeddings embeddings_layer_norm layers
self_attn self_attn_layer_norm feed_forward feed_forward_layer_norm
patch_embed pos_embed blocks merger
linear_fc1 linear_fc2
norm linear_fc1 linear_fc2
conv1d in_proj_qkvz in_proj_ba norm out_proj
embed_tokens layers final_norm
temporal_pre_norm temporal_block channel_pre_norm mlp_block
linear_y linear_x linear_out conv_1d rg_lru
reformer classifier
word_embeddings position_embeddings
layers layer_norm
attention feed_forward
layer_norm self_attention output
layer_norm dense output
query_key value
reformer lm_head
rembert cls
embedding_hidden_mapping_in layer
dense decoder LayerNorm
rembert classifier
roberta_prelayernorm lm_head
embeddings encoder LayerNorm
self output LayerNorm
roberta_prelayernorm classifier
embeddings encoder LayerNorm pooler
roc_bert cls
word_embeddings pronunciation_embed shape_embed position_embeddings token_type_embeddings map_inputs_layer LayerNorm
roc_bert classifier
roformer cls
word_embeddings token_type_embeddings LayerNorm
embed_positions layer
roformer classifier
q_proj kv_a_proj_with_mqa kv_a_layernorm kv_b_proj o_proj
model output_projection
embed_tokens embed_positions layernorm_embedding layers
self_attn mlp input_layernorm pre_feedforward_layernorm
transformer pred_layer
position_embeddings embeddings layer_norm_emb attentions layer_norm1 ffns layer_norm2
transformer sequence_summary
word_embeddings token_type_embeddings position_embeddings
layer LayerNorm
attention intermediate output LayerNorm
self output self_attn_layer_norm
transformer lm_loss
word_embedding layer
rel_attn ff
layer_norm layer_1 layer_2
transformer sequence_summary logits_proj
embeddings blocks out_norm
norm_mlstm mlstm_layer norm_ffn ffn
q k v ogate_preact igate_preact fgate_preact multihead_norm out_proj
proj_up_gate proj_up proj_down
dense LayerNorm adapter_modules
dense1 dense2
mamba input_layernorm
self_attn mlp input_layernorm post_attention_layernorm post_attention_residual_scale post_mlp_residual_scale
o_proj qkv_proj qk_norm
q_proj k_proj v_proj_current v_proj_delayed conv_qk_depthwise conv_qk_grouped
down_proj router_mlp
norm fc1 fc2 out_proj
attention intermediate output layernorm_before layernorm_after
attention output
vit classifier
deit classifier
embeddings encoder layernorm pooler
model qa_outputs
bert qa_outputs
roberta qa_outputs)";

}  // namespace

std::span<const ModuleList> ModuleLists() {
  static const std::vector<ModuleList> lists = [] {
    std::vector<ModuleList> all;
    for (const std::string_view line : SplitWords(kLists, '\n')) {
      all.push_back(SplitWords(line, ' '));
    }
    return all;
  }();
  return lists;
}

}  // namespace graft::converter
