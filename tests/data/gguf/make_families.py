#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""families/NAME.gguf: tiny random models of transformers', written by llama.cpp's converter without a tokenizer; families/references.safetensors: what
transformers computes of each for the last three of NAME.ids. Gemma 4's has a tokenizer; families/tokens.json: the ids that it gives to texts.

  make_families.py PACKAGE FOLDER [NAME...]

PACKAGE is the folder that llama.cpp's package conversion lies in.
"""
import copy
import json
import logging
import pathlib
import sys
import tempfile

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

from make_models import TEXT, TRIED

VOCABULARY, TOKENS = 64, 12
SIZES = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
             vocab_size=VOCABULARY, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
WINDOWS = dict(sliding_window=4, layer_types=['sliding_attention', 'full_attention'])
EXPERTS = dict(num_experts=3, num_experts_per_tok=2)
YARN = dict(rope_type='yarn', rope_theta=1e4, factor=4.0, original_max_position_embeddings=4, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
            llama_4_scaling_beta=0.3)
BERT = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=64, vocab_size=VOCABULARY, pad_token_id=0,
            bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=4, global_attn_every_n_layers=3, global_rope_theta=1e4,
            local_rope_theta=100.0)
MODELS = {
    'arcee': hf.ArceeConfig(**SIZES),
    'ministral3': hf.Ministral3Config(**SIZES, head_dim=8, rope_parameters=YARN),
    'olmo': hf.OlmoConfig(**SIZES, clip_qkv=0.5),
    'olmo3': hf.Olmo3Config(**SIZES, **WINDOWS),
    'seed_oss': hf.SeedOssConfig(**SIZES, head_dim=8, attention_bias=True, attention_out_bias=True),
    'hunyuan': hf.HunYuanDenseV1Config(**SIZES, head_dim=8, rope_parameters=dict(rope_type='default', rope_theta=1e4)),
    'ernie4_5': hf.Ernie4_5Config(**{**SIZES, 'tie_word_embeddings': True}, head_dim=8),
    'nemotron': hf.NemotronConfig(**SIZES),
    'stablelm': hf.StableLmConfig(**SIZES, use_qkv_bias=True, partial_rotary_factor=0.5),
    'starcoder2': hf.Starcoder2Config(**{**SIZES, 'tie_word_embeddings': True}, sliding_window=None),
    'phi': hf.PhiConfig(**{**SIZES, 'num_key_value_heads': 4, 'intermediate_size': 64}),
    'cohere': hf.CohereConfig(**{**SIZES, 'tie_word_embeddings': True}, use_qk_norm=True, logit_scale=0.25),
    'cohere2': hf.Cohere2Config(**{**SIZES, 'tie_word_embeddings': True, 'num_hidden_layers': 4}, sliding_window=4, logit_scale=0.25),
    'glm4': hf.Glm4Config(**SIZES, head_dim=8, attention_bias=True),
    'exaone4': hf.Exaone4Config(**SIZES, **WINDOWS),
    'glm': hf.GlmConfig(**SIZES, head_dim=4, attention_bias=True, rms_norm_eps=1e-5),   # the file has this epsilon whatever the model's is
    'gpt_bigcode': hf.GPTBigCodeConfig(n_embd=16, n_layer=2, n_head=4, n_positions=64, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2),
    'gemma3n': hf.Gemma3nTextConfig(**{**SIZES, 'tie_word_embeddings': True, 'num_hidden_layers': 4}, head_dim=8, hidden_size_per_layer_input=4, laurel_rank=4,
                                    vocab_size_per_layer_input=VOCABULARY, sliding_window=4, num_kv_shared_layers=2,
                                    layer_types=['sliding_attention', 'full_attention'] * 2, activation_sparsity_pattern=[0.95, 0.0, 0.0, 0.0]),
    'gemma4': hf.Gemma4TextConfig(**{**SIZES, 'tie_word_embeddings': True, 'num_hidden_layers': 4}, head_dim=4, global_head_dim=8, hidden_size_per_layer_input=4,
                                  sliding_window=4, num_kv_shared_layers=2, use_double_wide_mlp=True,
                                  layer_types=['sliding_attention', 'full_attention'] * 2, final_logit_softcapping=20.0,
                                  rope_parameters=dict(full_attention=dict(rope_type='proportional', partial_rotary_factor=0.5, rope_theta=1e6),
                                                       sliding_attention=dict(rope_type='default', rope_theta=1e4))),
    'granitemoe': hf.GraniteMoeConfig(**SIZES, num_local_experts=3, num_experts_per_tok=2, embedding_multiplier=3.0, residual_multiplier=0.3,
                                      attention_multiplier=0.2, logits_scaling=2.0),
    'nomic_bert': hf.NomicBertConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
                                     vocab_size=VOCABULARY, pad_token_id=0, layer_norm_eps=1e-12, rope_parameters=dict(rope_type='default', rope_theta=1000.0)),
    'modernbert': hf.ModernBertConfig(**BERT),
    'modernbert_seqcls': hf.ModernBertConfig(**BERT, architectures=['ModernBertForSequenceClassification'], classifier_pooling='mean', num_labels=3,
                                             norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True),
    'lfm2': hf.Lfm2Config(**{**SIZES, 'tie_word_embeddings': True, 'num_hidden_layers': 3}, block_auto_adjust_ff_dim=False,
                          layer_types=['conv', 'full_attention', 'conv']),
    'lfm2_moe': hf.Lfm2MoeConfig(**{**SIZES, 'tie_word_embeddings': True}, **EXPERTS, moe_intermediate_size=8, num_dense_layers=1,
                                 layer_types=['conv', 'full_attention']),
    'mixtral': hf.MixtralConfig(**SIZES, num_local_experts=3, num_experts_per_tok=2),
    'qwen2_moe': hf.Qwen2MoeConfig(**SIZES, **EXPERTS, moe_intermediate_size=8, shared_expert_intermediate_size=16),
    'qwen3_moe': hf.Qwen3MoeConfig(**SIZES, **EXPERTS, head_dim=8, moe_intermediate_size=8, norm_topk_prob=True),
    'olmoe': hf.OlmoeConfig(**SIZES, **EXPERTS),
    'qwen3_5': hf.Qwen3_5TextConfig(**{**SIZES, 'num_hidden_layers': 3}, head_dim=8, layer_types=['linear_attention', 'linear_attention', 'full_attention'],
                                    linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=4, linear_value_head_dim=4,
                                    rope_parameters=dict(rope_type='default', rope_theta=1e4, partial_rotary_factor=0.5)),
    'gpt_oss': hf.GptOssConfig(**SIZES, head_dim=8, num_local_experts=3, num_experts_per_tok=2, **WINDOWS,
                               rope_parameters=dict(rope_type='yarn', rope_theta=1e4, factor=4.0, original_max_position_embeddings=64, beta_fast=32.0, beta_slow=1.0,
                                                    truncate=False)),
    'mamba': hf.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=VOCABULARY, state_size=4, bos_token_id=1, eos_token_id=2, pad_token_id=0),
    'mamba2': hf.Mamba2Config(hidden_size=16, num_hidden_layers=2, vocab_size=VOCABULARY, state_size=4, num_heads=4, head_dim=8, n_groups=1, bos_token_id=1,
                              eos_token_id=2, pad_token_id=0),
    'falcon_h1': hf.FalconH1Config(**SIZES, head_dim=8, mamba_d_ssm=16, mamba_n_heads=4, mamba_d_head=4, mamba_n_groups=2, mamba_d_state=4, mamba_rms_norm=True,
                                   mamba_norm_before_gate=False, embedding_multiplier=4.0, lm_head_multiplier=0.5, key_multiplier=0.5, attention_in_multiplier=2.0,
                                   attention_out_multiplier=0.5, ssm_in_multiplier=2.0, ssm_out_multiplier=0.5, mlp_multipliers=[2.0, 0.5],
                                   ssm_multipliers=[0.5, 2.0, 0.25, 4.0, 0.5]),
    'granite_hybrid': hf.GraniteMoeHybridConfig(**SIZES, layer_types=['mamba', 'attention'], num_local_experts=3, num_experts_per_tok=2,
                                                shared_intermediate_size=24, mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=1, mamba_d_state=4, mamba_expand=2,
                                                embedding_multiplier=3.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=2.0),
    'granite_dense_hybrid': hf.GraniteMoeHybridConfig(**SIZES, layer_types=['mamba', 'attention'], num_local_experts=0, num_experts_per_tok=0,
                                                shared_intermediate_size=24, mamba_n_heads=4, mamba_d_head=8, mamba_n_groups=1, mamba_d_state=4, mamba_expand=2,
                                                embedding_multiplier=3.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=2.0),
    'granitemoeshared': hf.GraniteMoeSharedConfig(**SIZES, num_local_experts=3, num_experts_per_tok=2, shared_intermediate_size=24, embedding_multiplier=3.0,
                                                residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=2.0),
    'falcon': hf.FalconConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2, alibi=False),
    'falcon40': hf.FalconConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True, vocab_size=VOCABULARY,
                                bos_token_id=1, eos_token_id=2, alibi=False),
    'bloom': hf.BloomConfig(hidden_size=16, n_layer=2, n_head=4, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2),
    'mpt': hf.MptConfig(d_model=16, n_layers=2, n_heads=4, max_seq_len=64, vocab_size=VOCABULARY, no_bias=True, norm_type='low_precision_layernorm'),
}


def gemma4_tokenizer():
    spaces = normalizers.Replace(' ', '\u2581')
    trained = Tokenizer(models.BPE())
    trained.normalizer = spaces
    trained.train_from_iterator(TEXT * 3, trainers.BpeTrainer(vocab_size=70, show_progress=False))
    learned = json.loads(trained.to_str())['model']
    special = ['<pad>', '<eos>', '<bos>', '<unk>', '<|turn>', '<turn|>']
    pieces = special + [f'<0x{byte:02X}>' for byte in range(256)] + sorted(learned['vocab'], key=learned['vocab'].get)
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [tuple(merge) for merge in learned['merges']], unk_token='<unk>', fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence([decoders.Replace('\u2581', ' '), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing('<bos> $A', '<bos> $A <bos> $B', [('<bos>', 2)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token='<pad>', eos_token='<eos>', bos_token='<bos>', unk_token='<unk>')


def randomize(model):
    with torch.no_grad():
        for key, parameter in [*model.named_parameters(), *((k, b) for k, b in model.named_buffers() if k.endswith('expert_bias'))]:
            noise = torch.randn_like(parameter)
            if 'norm' in key.lower() or key.endswith('bias'):
                parameter.add_(noise * 0.1)
            elif 'embed' in key:
                parameter.copy_(noise * 0.5)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
            parameter.copy_(parameter.to(torch.bfloat16).float())


def convert(folder, file):
    import conversion.base as base
    import gguf
    from conversion import get_model_class
    settings = base.ModelBase.load_hparams(folder, False)
    settings.setdefault('rotary_pct', (settings.get('rope_parameters') or {}).get('partial_rotary_factor', 1.0))   # no longer written by transformers 5
    if settings['model_type'] == 'nomic_bert':   # the settings of its authors' code, which the converter reads
        settings.update(n_embd=16, n_inner=16, n_layer=2, n_head=4, n_positions=8192, max_trained_positions=2048, activation_function='swiglu', causal=False,
                        qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False, prenorm=False, rotary_emb_fraction=1.0, rotary_emb_interleaved=False,
                        rotary_emb_scale_base=None, rotary_emb_base=1000.0, layer_norm_epsilon=1e-12)
        (folder / 'tokenizer.json').write_text('{"model": {"type": "WordPiece"}}')
    aliases = {'MptForCausalLM': 'MPTForCausalLM'}
    settings['architectures'] = [aliases.get(name, name) for name in settings['architectures']]
    if settings['model_type'] == 'falcon' and not settings['new_decoder_architecture']:
        settings['num_kv_heads'] = 1   # as the first Falcons' configurations have it
    kind = get_model_class(base.get_model_architecture(settings, base.ModelType.TEXT))
    kind = getattr(kind, 'Ministral3Model', kind)
    if 'gemma4' in settings['model_type']:
        kind(folder, gguf.LlamaFileType.MOSTLY_BF16, file, hparams=settings).write()
        return
    if hasattr(kind, 'no_mtp'):
        kind.no_mtp = True
    without = type(kind.__name__, (kind,), {'model_arch': kind.model_arch, 'set_vocab': lambda self: self.gguf_writer.add_tokenizer_model('none')})
    if hasattr(kind, '_experts_cache'):
        kind._experts_cache = {}
    without(folder, gguf.LlamaFileType.MOSTLY_BF16, file, hparams=settings).write()


def main(package, folder, *names):
    sys.path.insert(1, package)
    logging.disable(logging.CRITICAL)
    folder = pathlib.Path(folder)
    file = folder / 'references.safetensors'
    references = load_file(file) if names and file.exists() else {}
    for name in names or MODELS:
        torch.manual_seed(7)
        tokenizer = gemma4_tokenizer() if name == 'gemma4' else None
        if tokenizer:
            MODELS[name].vocab_size = MODELS[name].vocab_size_per_layer_input = len(tokenizer)
            (folder / 'tokens.json').write_text(json.dumps({name: [[text, tokenizer.encode(text)] for text in TRIED]}, ensure_ascii=False, indent=0))
        kind = hf.AutoModel if name in ('nomic_bert', 'modernbert') else hf.AutoModelForCausalLM
        if name.endswith('_seqcls'):
            kind = hf.AutoModelForSequenceClassification
        model = kind.from_config(MODELS[name], attn_implementation='eager').float()
        randomize(model)
        with tempfile.TemporaryDirectory() as temporary:
            copy.deepcopy(model).to(torch.bfloat16).save_pretrained(temporary)
            if tokenizer:
                tokenizer.save_pretrained(temporary)
            convert(pathlib.Path(temporary), folder / f'{name}.gguf')
        ids = torch.randint(4, VOCABULARY, (1, TOKENS))
        with torch.no_grad():
            out = model.eval()(ids)
            logits = out.logits if hasattr(out, 'logits') else out.last_hidden_state
        references[f'{name}.ids'] = ids[0].to(torch.int32)
        references[f'{name}.out'] = logits[0, -3:].float().contiguous()
    save_file(references, file)


if __name__ == '__main__':
    main(*sys.argv[1:])
