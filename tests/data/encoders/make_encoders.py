# SPDX-License-Identifier: Apache-2.0
"""Writes tiny random encoders of texts as transformers saves them, with what they compute in float32.

    python3 make_encoders.py FOLDER

Each case is a folder: config.json, model.safetensors (bf16), and io.safetensors with three texts of different lengths, padded, and the outputs for them. Weights
have a variance of about 1 / in_features (embeddings 1/4), norms and biases 0.2 of noise, so that every setting shows.
"""

import pathlib
import sys

import torch
import transformers as t
from safetensors.torch import save_file

ROOT = pathlib.Path(sys.argv[1])
SIZES = dict(vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=40, pad_token_id=0)
LENGTHS = (9, 24, 3)


def sizes(**more):
    return {**SIZES, **more}


def randomize(model):
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape)
        is_table = "embed" in name and "proj" not in name and "mapping" not in name
        if parameter.dim() < 2:
            values = values * 0.2 + (1.0 if name.endswith("weight") else 0.0)
        else:
            values = values * (0.5 if is_table or "relative_attention_bias" in name else 1.3 * parameter[0].numel() ** -0.5)
        parameter.data = values.to(torch.bfloat16).float()


def write(name, kind, config, seed, types=False, lengths=LENGTHS):
    torch.manual_seed(seed)
    model = kind(config).eval()
    randomize(model)
    folder = ROOT / name
    model.to(torch.bfloat16).save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(3, config.vocab_size, (len(lengths), max(lengths)))
    mask = torch.tensor([[int(i < length) for i in range(max(lengths))] for length in lengths])
    inputs = {"input_ids": ids.where(mask == 1, config.pad_token_id), "attention_mask": mask}
    if types:
        inputs["token_type_ids"] = ((torch.arange(max(lengths)) >= 2) * mask).contiguous()
    with torch.no_grad():
        outputs = model(**inputs)
    made = {key: outputs[key].contiguous() for key in ("logits", "last_hidden_state", "pooler_output") if outputs.get(key) is not None}
    for key, value in made.items():
        if value.dim() == 3:
            made[key] = value * mask[:, :, None]
    save_file({**inputs, **made}, folder / "io.safetensors")


MARKS = dict(bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
DEBERTA = sizes(relative_attention=True, pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0)
V3 = dict(DEBERTA, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True)
WINDOWS = {"full_attention": {"rope_type": "default", "rope_theta": 900.0}, "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 70.0}}

write("albert", t.AlbertForSequenceClassification, t.AlbertConfig(**sizes(embedding_size=12, num_hidden_layers=3, num_hidden_groups=2, inner_group_num=2, num_labels=3)), 1, types=True)
write("albert_vectors", t.AlbertModel, t.AlbertConfig(**sizes(embedding_size=16, num_hidden_layers=3, hidden_act="relu")), 2)
write("camembert", t.CamembertModel, t.CamembertConfig(**sizes(pad_token_id=1)), 3)
write("mpnet", t.MPNetModel, t.MPNetConfig(**sizes(pad_token_id=1)), 4)
write("mpnet_scores", t.MPNetForSequenceClassification, t.MPNetConfig(**sizes(pad_token_id=1, hidden_act="gelu_new", num_labels=5)), 5)
write("nomic", t.NomicBertModel, t.NomicBertConfig(**sizes(head_dim=12, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 500.0})), 6, types=True)
write("nomic_scores", t.NomicBertForSequenceClassification, t.NomicBertConfig(**sizes(hidden_act="gelu")), 7)
write("roformer", t.RoFormerModel, t.RoFormerConfig(**sizes(embedding_size=12, rotary_value=True)), 8, types=True)
write("roformer_scores", t.RoFormerForSequenceClassification, t.RoFormerConfig(**sizes(hidden_act="relu")), 9)
write("modernbert", t.ModernBertForSequenceClassification, t.ModernBertConfig(**sizes(**MARKS, num_hidden_layers=4, local_attention=7, classifier_pooling="mean", classifier_bias=True,
    classifier_activation="relu", attention_bias=True, mlp_bias=True, norm_bias=True)), 10)
write("modernbert_tokens", t.ModernBertForTokenClassification, t.ModernBertConfig(**sizes(**MARKS, local_attention=4, hidden_activation="silu",
    layer_types=["sliding_attention", "full_attention"], rope_parameters=WINDOWS, num_labels=3)), 11)
write("deberta_v3", t.DebertaV2ForSequenceClassification, t.DebertaV2Config(**V3, num_labels=3), 12, lengths=(9, 39, 3))
write("deberta_v3_conv", t.DebertaV2Model, t.DebertaV2Config(**V3, conv_kernel_size=3, conv_act="gelu", conv_groups=2, embedding_size=12), 13)
write("deberta_v2", t.DebertaV2ForTokenClassification, t.DebertaV2Config(**{**DEBERTA, "pos_att_type": ["c2p"], "position_biased_input": True, "type_vocab_size": 2,
    "max_relative_positions": 6}), 14, types=True)
write("deberta_v2_scores", t.DebertaV2ForSequenceClassification, t.DebertaV2Config(**{**DEBERTA, "pos_att_type": "p2c"}, pooler_hidden_act="tanh"), 15)
write("deberta", t.DebertaModel, t.DebertaConfig(**DEBERTA, max_relative_positions=12), 16)
write("xlm_roberta_xl", t.XLMRobertaXLModel, t.XLMRobertaXLConfig(**sizes(pad_token_id=1)), 17)
write("roberta_prelayernorm", t.RobertaPreLayerNormForTokenClassification, t.RobertaPreLayerNormConfig(**sizes(pad_token_id=1, hidden_act="relu"), num_labels=3), 18)
write("megatron_bert", t.MegatronBertForSequenceClassification, t.MegatronBertConfig(**sizes()), 19, types=True)
