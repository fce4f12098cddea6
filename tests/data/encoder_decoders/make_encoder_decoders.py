# SPDX-License-Identifier: Apache-2.0
"""Writes tiny random encoder-decoders as transformers saves them, with what they compute in float32.

    python3 make_encoder_decoders.py FOLDER [NAME...]

Each case is a folder: config.json, generation_config.json, model.safetensors (bf16), and io.safetensors with the source (input_ids or input_features),
decoder_input_ids, the logits at every position, and greedy_ids: the token to start with and the 10 that follow it greedily. Of an encoder alone there is
last_hidden_state. Settings are none of the defaults where they show. Matrices get 0.15 of noise, norms and biases 0.2.
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, T5EncoderModel

ROOT = pathlib.Path(sys.argv[1])
T5 = dict(vocab_size=48, d_model=16, d_kv=6, d_ff=20, num_layers=2, num_decoder_layers=1, num_heads=3, relative_attention_num_buckets=8,
          relative_attention_max_distance=10, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
BART = dict(vocab_size=48, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=24,
            decoder_ffn_dim=20, max_position_embeddings=40, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2)
WHISPER = dict({key: value for key, value in BART.items() if key != "max_position_embeddings"}, max_source_positions=13, max_target_positions=24,
               num_mel_bins=10, suppress_tokens=None, begin_suppress_tokens=None)

CASES = {
    "t5": ("t5", T5),
    "t5_gated": ("t5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=2, num_heads=2)),
    "t5_encoder": ("t5", dict(T5, relative_attention_num_buckets=6)),
    "mt5": ("mt5", dict(T5, feed_forward_proj="gated-silu", relative_attention_max_distance=30)),
    "umt5": ("umt5", dict(T5, num_decoder_layers=2)),
    "bart": ("bart", dict(BART, scale_embedding=True, forced_bos_token_id=0)),
    "bart_untied": ("bart", dict(BART, tie_word_embeddings=False)),
    "mbart": ("mbart", dict(BART, activation_function="relu")),
    "pegasus": ("pegasus", dict(BART, scale_embedding=True)),
    "marian": ("marian", dict(BART, activation_function="swish", decoder_vocab_size=40, share_encoder_decoder_embeddings=False, tie_word_embeddings=False,
                              scale_embedding=True)),
    "m2m_100": ("m2m_100", dict(BART)),
    "whisper": ("whisper", WHISPER),
}


def noise(model):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in list(model.named_parameters()) + [(n, b) for n, b in model.named_buffers() if n == "final_logits_bias"]:
            if "embed_positions" in name and not parameter.requires_grad and model.config.model_type != "whisper":
                continue  # sinusoids
            deviation = 0.15 if parameter.dim() > 1 and name != "final_logits_bias" else 0.2
            parameter.add_(torch.randn(parameter.shape, generator=generator) * deviation)
    return model.to(torch.bfloat16)


def greedy(model, source, start, count):
    ids = torch.tensor([[start]])
    for _ in range(count):
        logits = model(**source, decoder_input_ids=ids).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids


def make(name, family, settings):
    torch.manual_seed(3)
    config = CONFIG_MAPPING[family](**settings)
    kind = T5EncoderModel if name.endswith("_encoder") else AutoModelForSpeechSeq2Seq if family == "whisper" else AutoModelForSeq2SeqLM
    model = noise(kind._from_config(config) if hasattr(kind, "_from_config") else kind.from_config(config)).eval()
    folder = ROOT / name
    if name == "bart":
        model.generation_config.forced_bos_token_id = 0
    model.save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()   # sinusoids are computed anew
    generator = torch.Generator().manual_seed(11)
    source = {"input_ids": torch.randint(3, 48, (1, 24), generator=generator)}
    if family == "whisper":
        source = {"input_features": torch.randn(1, config.num_mel_bins, 2 * config.max_source_positions, generator=generator)}
    tensors = dict(source)
    with torch.no_grad():
        if name.endswith("_encoder"):
            tensors["last_hidden_state"] = model(**source).last_hidden_state
        else:
            tokens = torch.randint(3, 40, (1, 14), generator=generator)
            tensors["decoder_input_ids"] = tokens
            tensors["logits"] = model(**source, decoder_input_ids=tokens).logits
            tensors["greedy_ids"] = greedy(model, source, config.decoder_start_token_id, 10)
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "io.safetensors")


for case, (model_type, values) in CASES.items():
    if len(sys.argv) <= 2 or case in sys.argv[2:]:
        make(case, model_type, values)
