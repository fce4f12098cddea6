# SPDX-License-Identifier: Apache-2.0
"""Writes tiny random decoders as transformers saves them, with what they compute in float32.

    python3 make_decoders.py FOLDER [NAME...]

Each case is a folder: config.json, model.safetensors (bf16), and io.safetensors with 20 input ids, the logits at every position, and the first 8 of the ids
with the 8 that follow them greedily. Settings are none of the defaults where they show. Matrices get 0.15 of noise, norms and biases 0.2.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

ROOT = pathlib.Path(sys.argv[1])
LLAMA = dict(vocab_size=48, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, head_dim=8)
FOUR = dict(LLAMA, num_attention_heads=4, num_key_value_heads=2, hidden_size=32)
WINDOWS = dict(sliding_window=5, layer_types=["full_attention", "sliding_attention"])
GPT = dict(vocab_size=48, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=2)
FALCON = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_hidden_size=24, max_position_embeddings=64, bos_token_id=1,
              eos_token_id=2)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
VISION = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=16, patch_size=8)
SHARING = dict(vocab_size=40, hidden_size=16, intermediate_size=12, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1, head_dim=4,
               max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2, vocab_size_per_layer_input=42, hidden_size_per_layer_input=2,
               sliding_window=5, layer_types=["sliding_attention", "full_attention"] * 2, num_kv_shared_layers=2)

EXPERTS = dict(LLAMA, num_local_experts=4, num_experts_per_tok=2)
QWEN_EXPERTS = dict(LLAMA, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)

CASES = {
    "arcee": ("arcee", dict(LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "ministral": ("ministral", dict(LLAMA, **WINDOWS)),
    "ministral3": ("ministral3", dict(LLAMA, sliding_window=9, rope_parameters=dict(
        YARN, original_max_position_embeddings=4, factor=16.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.3))),
    "seed_oss": ("seed_oss", dict(LLAMA, attention_out_bias=True, mlp_bias=True)),
    "ernie4_5": ("ernie4_5", dict(LLAMA, use_bias=True)),
    "hunyuan": ("hunyuan_v1_dense", dict(LLAMA, attention_bias=True,
                                         rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, alpha=1000.0, factor=1.0))),
    "helium": ("helium", dict(LLAMA, attention_bias=True, mlp_bias=True)),
    "bitnet": ("bitnet", dict(LLAMA, attention_bias=True)),
    "diffllama": ("diffllama", dict(FOUR, head_dim=4, attention_bias=True)),
    "diffllama_mqa": ("diffllama", dict(FOUR, num_key_value_heads=1)),
    "glm": ("glm", dict(LLAMA, tie_word_embeddings=True)),
    "glm4": ("glm4", dict(LLAMA, attention_bias=False)),
    "gemma": ("gemma", dict(LLAMA, attention_bias=True, hidden_act="gelu")),
    "vaultgemma": ("vaultgemma", dict(LLAMA, **WINDOWS, query_pre_attn_scalar=32, attn_logit_softcapping=2.0)),
    "olmo": ("olmo", dict(LLAMA, clip_qkv=0.5, attention_bias=True)),
    "olmo3": ("olmo3", dict(LLAMA, **WINDOWS, attention_bias=True, rope_parameters=YARN)),
    "exaone4": ("exaone4", dict(LLAMA, sliding_window=5, sliding_window_pattern=2)),
    "cohere": ("cohere", dict(LLAMA, use_qk_norm=True, logit_scale=0.5, attention_bias=True)),
    "cohere2": ("cohere2", dict(LLAMA, **WINDOWS, logit_scale=2.0, tie_word_embeddings=False)),
    "phi": ("phi", dict(LLAMA, qk_layernorm=True)),
    "persimmon": ("persimmon", dict({key: value for key, value in LLAMA.items() if key != "num_key_value_heads"})),
    "stablelm": ("stablelm", dict(LLAMA, use_qkv_bias=True, qk_layernorm=True)),
    "stablelm_parallel": ("stablelm", dict(LLAMA, use_parallel_residual=True, partial_rotary_factor=0.5)),
    "starcoder2": ("starcoder2", dict(LLAMA, sliding_window=7, tie_word_embeddings=False)),
    "nemotron": ("nemotron", dict(LLAMA, attention_bias=True, mlp_bias=True)),
    "apertus": ("apertus", dict(LLAMA, attention_bias=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "gptj": ("gptj", dict(GPT, n_inner=24, rotary_dim=4)),
    "codegen": ("codegen", dict(GPT, n_head=4, rotary_dim=2, n_inner=24)),
    "gpt_bigcode": ("gpt_bigcode", dict(GPT, n_inner=24)),
    "gpt_bigcode_heads": ("gpt_bigcode", dict(GPT, n_inner=24, multi_query=False, scale_attn_weights=False)),
    "falcon": ("falcon", dict(FALCON, bias=True)),
    "falcon_new": ("falcon", dict(FALCON, new_decoder_architecture=True, num_attention_heads=4, num_kv_heads=2, tie_word_embeddings=False)),
    "falcon_alibi": ("falcon", dict(FALCON, alibi=True, multi_query=False, parallel_attn=False, num_attention_heads=3, hidden_size=24)),
    "bloom": ("bloom", dict(vocab_size=48, hidden_size=24, n_layer=2, n_head=3, apply_residual_connection_post_layernorm=True)),
    "mpt": ("mpt", dict(vocab_size=48, d_model=24, n_layers=2, n_heads=3, max_seq_len=64, attn_config=dict(clip_qkv=0.5, softmax_scale=0.3))),
    "xglm": ("xglm", dict(vocab_size=48, d_model=16, ffn_dim=24, num_layers=2, attention_heads=2, max_position_embeddings=64, pad_token_id=7)),
    "gemma3_vl": ("gemma3", dict(text_config=dict(LLAMA, **WINDOWS, model_type="gemma3_text", query_pre_attn_scalar=8),
                                 vision_config=dict(VISION, model_type="siglip_vision_model"), mm_tokens_per_image=4, image_token_index=40)),
    "mistral3_vl": ("mistral3", dict(text_config=dict(LLAMA, model_type="mistral", tie_word_embeddings=False),
                                     vision_config=dict(VISION, model_type="pixtral", head_dim=8), image_token_index=40, tie_word_embeddings=True)),
    "smolvlm": ("smolvlm", dict(text_config=dict(LLAMA, model_type="llama"), vision_config=dict(VISION, model_type="smolvlm_vision"), scale_factor=2,
                                image_token_id=40)),
    "gemma3n": ("gemma3n_text", dict(SHARING, laurel_rank=3, activation_sparsity_pattern=[0.5, 0.0, 0.3, 0.0], intermediate_size=[12, 8, 12, 16],
                                     altup_num_inputs=3, altup_active_idx=1, attention_bias=True, final_logit_softcapping=3.0)),
    "gemma4": ("gemma4", dict(text_config=dict(SHARING, model_type="gemma4_text", global_head_dim=8, use_double_wide_mlp=True, num_hidden_layers=3,
                                               num_kv_shared_layers=1, layer_types=SHARING["layer_types"][1:]), image_token_id=39)),
    "gemma4_tied_values": ("gemma4_text", dict(
        SHARING, hidden_size_per_layer_input=0, num_hidden_layers=2, num_kv_shared_layers=0, layer_types=SHARING["layer_types"][:2], global_head_dim=8, hidden_size=32,
        attention_k_eq_v=True, num_key_value_heads=2, num_global_key_value_heads=1, final_logit_softcapping=3.0, tie_word_embeddings=False,
        rope_parameters=dict(full_attention=dict(rope_type="proportional", partial_rotary_factor=0.5, rope_theta=1e6, factor=2.0),
                             sliding_attention=dict(rope_type="default", rope_theta=100.0)))),
}

STATE = {key: value for key, value in LLAMA.items() if key != "head_dim"}
LFM2 = dict(STATE, num_hidden_layers=3, conv_bias=True, block_multiple_of=8, block_ffn_dim_multiplier=1.3)
DELTA = dict(LLAMA, num_hidden_layers=3, layer_types=["linear_attention", "full_attention", "linear_attention"], linear_num_key_heads=2,
             linear_num_value_heads=4, linear_key_head_dim=6, linear_value_head_dim=20, linear_conv_kernel_dim=3)
MAMBA = dict(vocab_size=48, hidden_size=16, num_hidden_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)
HYBRID = dict(LLAMA, mamba_n_groups=2, mamba_n_heads=4, mamba_d_head=6, mamba_d_state=5, mamba_d_conv=3, mamba_chunk_size=8)

# Decoders that keep states. Their seeds begin at 200.
STATE_CASES = {
    "lfm2": ("lfm2", dict(LFM2, layer_types=["conv", "full_attention", "conv"], conv_L_cache=4)),
    "lfm2_listed": ("lfm2", dict(LFM2, conv_bias=False, full_attn_idxs=[1], tie_word_embeddings=False, block_auto_adjust_ff_dim=False)),
    "lfm2_vl": ("lfm2_vl", dict(text_config=dict(LFM2, model_type="lfm2", layer_types=["conv", "full_attention", "conv"]), image_token_id=40, projector_hidden_size=8,
                                vision_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_patches=4, patch_size=8,
                                                   model_type="siglip2_vision_model"))),
    "qwen3_5": ("qwen3_5_text", dict(DELTA, attention_bias=True, partial_rotary_factor=0.5)),
    "qwen3_5_vl": ("qwen3_5", dict(text_config=dict(DELTA, model_type="qwen3_5_text", num_hidden_layers=4, layer_types=None),
                                   vision_config=dict(depth=1, hidden_size=8, intermediate_size=8, num_heads=1, num_position_embeddings=4, out_hidden_size=16,
                                                      patch_size=4), image_token_id=40, tie_word_embeddings=True)),
    "mamba": ("mamba", dict(MAMBA, use_bias=True, time_step_rank=3, expand=3, state_size=5, conv_kernel=3)),
    "mamba_plain": ("mamba", dict(MAMBA, use_conv_bias=False, tie_word_embeddings=False)),
    "mamba2": ("mamba2", dict(MAMBA, n_groups=2, use_bias=True, num_heads=4, head_dim=8, state_size=5, conv_kernel=3, chunk_size=8,
                              time_step_limit=(0.3, 0.9), tie_word_embeddings=True)),
    "mamba2_plain": ("mamba2", dict(MAMBA, n_groups=1, use_conv_bias=False, num_heads=2, head_dim=16, state_size=16, chunk_size=8)),
    "falcon_h1": ("falcon_h1", dict(HYBRID, attention_bias=True, mlp_bias=True, projectors_bias=True, mamba_proj_bias=True, mamba_d_ssm=24, mamba_rms_norm=True,
                                    mamba_norm_before_gate=False, embedding_multiplier=1.5, lm_head_multiplier=0.7, key_multiplier=0.8,
                                    attention_in_multiplier=1.2, attention_out_multiplier=0.9, mlp_multipliers=[1.1, 0.8], ssm_in_multiplier=1.3,
                                    ssm_out_multiplier=0.6, ssm_multipliers=[0.9, 1.1, 1.2, 0.8, 1.4])),
    "falcon_h1_plain": ("falcon_h1", dict(HYBRID, mamba_d_ssm=None, mamba_d_head="auto", mamba_rms_norm=True, attention_in_multiplier=1.2)),
    "granite_hybrid": ("granitemoehybrid", dict(HYBRID, num_hidden_layers=3, layer_types=["mamba", "attention", "mamba"], num_local_experts=0, mamba_d_head=8,
                                                shared_intermediate_size=20, position_embedding_type="rope", mamba_proj_bias=True, attention_bias=True,
                                                embedding_multiplier=1.5, logits_scaling=2.0, residual_multiplier=0.5, attention_multiplier=0.3)),
    "recurrent_gemma": ("recurrent_gemma", dict(STATE, num_hidden_layers=3, attention_window_size=5, lru_width=24, attention_bias=True,
                                                conv1d_width=3)),
}

# Mixtures of experts; "joint" keeps the experts of a layer in one tensor, as transformers computes with them.
MIXTURES = {
    "mixtral": ("mixtral", dict(EXPERTS, sliding_window=7)),
    "mixtral_joint": ("mixtral", dict(EXPERTS, hidden_act="gelu")),
    "qwen2_moe": ("qwen2_moe", dict(QWEN_EXPERTS, shared_expert_intermediate_size=12, decoder_sparse_step=2, use_sliding_window=True, sliding_window=5)),
    "qwen3_moe": ("qwen3_moe", dict(QWEN_EXPERTS, norm_topk_prob=True, mlp_only_layers=[0], attention_bias=True)),
    "olmoe": ("olmoe", dict(QWEN_EXPERTS, num_experts=5, num_experts_per_tok=3, intermediate_size=8, clip_qkv=0.4, attention_bias=True)),
    "granitemoe": ("granitemoe", dict(EXPERTS, intermediate_size=8, embedding_multiplier=3.0, attention_multiplier=0.4, residual_multiplier=0.3,
                                      logits_scaling=2.0, attention_bias=True)),
    "granitemoeshared": ("granitemoeshared", dict(EXPERTS, intermediate_size=8, residual_multiplier=0.5, shared_intermediate_size=12)),
    "gpt_oss": ("gpt_oss", dict(EXPERTS, intermediate_size=8, sliding_window=5)),
    "phimoe": ("phimoe", dict(EXPERTS, intermediate_size=8, router_jitter_noise=0.3, lm_head_bias=True, attention_bias=True, sliding_window=9)),
    "lfm2_moe": ("lfm2_moe", dict(STATE, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8, num_dense_layers=1, routed_scaling_factor=1.7,
                                  layer_types=["full_attention", "conv"])),
    "granite_hybrid_moe": ("granitemoehybrid", dict(HYBRID, num_local_experts=4, num_experts_per_tok=2, intermediate_size=8, layer_types=["mamba", "attention"],
                                                    mamba_d_head=8, shared_intermediate_size=12, residual_multiplier=0.5)),
}


def write(name, model_type, settings):
    config = CONFIG_MAPPING[model_type](**settings)
    model = (AutoModelForImageTextToText if "text_config" in settings else AutoModelForCausalLM).from_config(
        config, attn_implementation="eager" if model_type in ("vaultgemma", "gpt_oss") or "mamba" in model_type or model_type == "recurrent_gemma" else "sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.15 if parameter.dim() > 1 else 0.2))
            parameter.copy_(parameter.bfloat16().float())
        for key, buffer in model.named_buffers():
            if "expert_bias" in key:
                buffer.copy_((torch.randn_like(buffer) * 0.3).bfloat16().float())
            if "layer_scalar" in key:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
            if "act_fn" in key or "layer_scalar" in key:
                buffer.copy_(buffer.bfloat16().float())
        ids = torch.randint(3, 40, (1, 20))
        logits = model(input_ids=ids, use_cache=False).logits
        all_ids = ids[:, :8]
        for _ in range(8):
            all_ids = torch.cat([all_ids, model(input_ids=all_ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    model.to(torch.bfloat16).save_pretrained(ROOT / name, save_original_format=not name.endswith("joint"))
    (ROOT / name / "generation_config.json").unlink(missing_ok=True)
    save_file({"input_ids": ids.int(), "logits": logits[0].contiguous(), "greedy_ids": all_ids.int().contiguous()}, ROOT / name / "io.safetensors")


for first_seed, cases in ((0, CASES), (100, MIXTURES), (200, STATE_CASES)):
    for seed, (name, (model_type, settings)) in enumerate(cases.items(), first_seed):
        if len(sys.argv) == 2 or name in sys.argv[2:]:
            torch.manual_seed(seed)
            write(name, model_type, settings)
