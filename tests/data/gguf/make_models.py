#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NAME.gguf: tiny random models of transformers', written by llama.cpp's converter; references.safetensors: what transformers computes of each for the
last three of NAME.ids; tokens.json: the ids that tokenizers or sentencepiece give to texts.

  make_models.py CONVERTER FOLDER     CONVERTER: llama.cpp's convert_hf_to_gguf.py
"""
import copy
import json
import pathlib
import runpy
import sys
import tempfile

import sentencepiece
import torch
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = ['the cat sat on the mat and the hat', 'a dog ran and ran, then it sat', "it's 12 or 345 men, I don't see", 'Who has the red hat? THE CAT\n\nhas it.',
        'one  two   three\tfour', 'a naïve café über straße']
TRIED = TEXT + ['', ' ', '  the', 'the ', "DON'T it's", '1234567', 'cat<|im_end|>dog', 'x<think> hat', 'ça va', 'a.b,c!d', 'hat\n', '🐈 cat', 'ＴＨＥ cat…']
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']


def byte_pairs(pre, begins=False):
    split = lambda r: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r), 'isolated'), pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == 'llama-bpe'))
    if pre in ('qwen2', 'olmo'):
        tokenizer.normalizer = normalizers.NFC()
    if pre in ('gpt-2', 'olmo'):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    elif pre == 'refact':
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
    else:
        tokenizer.pre_tokenizer = split(LLAMA3.replace('{1,3}', '') if pre == 'qwen2' else LLAMA3)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT * 3, trainers.BpeTrainer(vocab_size=90, special_tokens=SPECIAL, show_progress=False))
    tokenizer.add_tokens(['<think>'])
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing('<|endoftext|> $A', '<|endoftext|> $A <|endoftext|> $B', [('<|endoftext|>', 0)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='<|endoftext|>', eos_token='<|im_end|>', pad_token='<|endoftext|>')


def roberta():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXT * 3, trainers.BpeTrainer(vocab_size=90, special_tokens=['<s>', '<pad>', '</s>', '<unk>', '<mask>'], show_progress=False))
    tokenizer.post_processor = processors.RobertaProcessing(('</s>', 2), ('<s>', 0), add_prefix_space=False)
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='<s>', eos_token='</s>', cls_token='<s>', sep_token='</s>', pad_token='<pad>',
                                      unk_token='<unk>', mask_token='<mask>')


def word_pieces(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]'))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    tokenizer.train_from_iterator(TEXT * 3, trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing('[CLS] $A [SEP]', '[CLS] $A [SEP] $B:1 [SEP]:1', [('[CLS]', 2), ('[SEP]', 3)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token='[CLS]', sep_token='[SEP]', pad_token='[PAD]', unk_token='[UNK]', mask_token='[MASK]')


def unigram(folder):
    rules = pathlib.Path(folder, 'rules.tsv')   # a small one: wide letters, an ellipsis, tabs
    rules.write_text(''.join(f'{0xFF21 + i:X}\t{0x41 + i:X}\n' for i in range(26)) + '2026\t2E 2E 2E\n9\t20\nA\t20\n')
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT * 3), model_prefix=f'{folder}/u', model_type='unigram', vocab_size=60,
                                             hard_vocab_limit=False, minloglevel=2, normalization_rule_tsv=str(rules))
    import sentencepiece.sentencepiece_model_pb2 as pb
    model = pb.ModelProto.FromString(pathlib.Path(f'{folder}/u.model').read_bytes())
    pieces = [('<s>', 0.0), ('<pad>', 0.0), ('</s>', 0.0), ('<unk>', 0.0)] + [(p.piece, p.score) for p in model.pieces[3:]] + [('<mask>', 0.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(['<s>', '<pad>', '</s>', '<unk>', '<mask>'])
    tokenizer.post_processor = processors.TemplateProcessing('<s> $A </s>', '<s> $A </s> </s> $B </s>', [('<s>', 0), ('</s>', 2)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token='<s>', eos_token='</s>', cls_token='<s>', sep_token='</s>', pad_token='<pad>',
                                      unk_token='<unk>', mask_token='<mask>', add_prefix_space=True, clean_up_tokenization_spaces=True)


class Pieces:
    """A tokenizer.model with Llama's or Gemma's settings."""

    def __init__(self, gemma):
        self.gemma = gemma

    def save_pretrained(self, folder):
        special = dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3) if self.gemma else {}
        symbols = ['<start_of_turn>', '<end_of_turn>', '\n\n', '▁▁', '▁▁▁'] if self.gemma else []
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT * 3), model_prefix=f'{folder}/tokenizer', model_type='bpe', vocab_size=360,
                                                 hard_vocab_limit=False, byte_fallback=True, add_dummy_prefix=not self.gemma, minloglevel=2,
                                                 normalization_rule_name='identity', remove_extra_whitespaces=False, user_defined_symbols=symbols, **special)
        self.model = sentencepiece.SentencePieceProcessor(model_file=f'{folder}/tokenizer.model')
        added = {self.model.piece_to_id(s): {'content': s, 'special': s.startswith('<')} for s in symbols}
        pathlib.Path(folder, 'tokenizer_config.json').write_text(json.dumps({'tokenizer_class': 'GemmaTokenizer' if self.gemma else 'LlamaTokenizer',
                                                                             'added_tokens_decoder': added}))

    def __len__(self):
        return self.model.vocab_size()

    def encode(self, text):
        return [self.model.bos_id()] + self.model.encode(text)


SIZES = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256)
GPT2 = dict(n_embd=16, n_layer=2, n_head=4, n_positions=64, n_ctx=64)
BERT = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40)
LLAMA3_ROPE = dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64, rope_theta=500.0)
MODELS = {  # name: (configuration's class and settings, tokenizer, "tokenizer.ggml.pre")
    'llama': (hf.LlamaConfig, dict(**SIZES, tie_word_embeddings=False), lambda _: Pieces(False), None),
    'llama3': (hf.LlamaConfig, dict(**SIZES, head_dim=16, tie_word_embeddings=True, rope_parameters=LLAMA3_ROPE, attention_bias=True), lambda _: byte_pairs('llama-bpe', True), 'llama-bpe'),
    'qwen2': (hf.Qwen2Config, dict(**SIZES, tie_word_embeddings=True, rope_parameters=dict(rope_type='yarn', factor=4.0, original_max_position_embeddings=64, rope_theta=1e4)),
              lambda _: byte_pairs('qwen2'), 'qwen2'),
    'qwen3': (hf.Qwen3Config, dict(**SIZES, head_dim=8, tie_word_embeddings=True), lambda _: byte_pairs('qwen2'), 'qwen2'),
    'smollm3': (hf.SmolLM3Config, dict(**{**SIZES, 'num_hidden_layers': 4}), lambda _: byte_pairs('smaug-bpe'), 'smaug-bpe'),
    'granite': (hf.GraniteConfig, dict(**SIZES, embedding_multiplier=3.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=2.0), lambda _: byte_pairs('refact'),
                'refact'),
    'phi3': (hf.Phi3Config, dict(**SIZES, original_max_position_embeddings=256, sliding_window=32, pad_token_id=None), lambda _: Pieces(False), None),
    'olmo2': (hf.Olmo2Config, dict(**SIZES), lambda _: byte_pairs('dbrx'), 'dbrx'),
    'gemma2': (hf.Gemma2Config, dict(**SIZES, head_dim=8, sliding_window=8, query_pre_attn_scalar=8), lambda _: Pieces(True), None),
    'gemma3': (hf.Gemma3TextConfig, dict(**{**SIZES, 'num_hidden_layers': 6, 'num_key_value_heads': 1}, head_dim=8, sliding_window=8, query_pre_attn_scalar=8),
               lambda _: Pieces(True), None),
    'gpt2': (hf.GPT2Config, dict(**GPT2), lambda _: byte_pairs('gpt-2'), 'gpt-2'),
    'gptneox': (hf.GPTNeoXConfig, dict(**BERT, rotary_pct=0.5), lambda _: byte_pairs('olmo'), 'olmo'),
    'bert': (hf.BertConfig, dict(**BERT), lambda _: word_pieces(True), 'bert-bge'),
    'distilbert': (hf.DistilBertConfig, dict(dim=16, hidden_dim=32, n_layers=2, n_heads=4, max_position_embeddings=40), lambda _: word_pieces(False), 'bert-bge'),
    'roberta': (hf.RobertaConfig, dict(**BERT, pad_token_id=1), lambda _: roberta(), 'roberta-bpe'),
    'xlmroberta': (hf.XLMRobertaConfig, dict(**BERT, pad_token_id=1, layer_norm_eps=1e-5), unigram, None),
}
CLASSES = {'bert': hf.BertModel, 'distilbert': hf.DistilBertModel, 'roberta': hf.RobertaModel, 'xlmroberta': hf.XLMRobertaModel}


def convert(converter, model, pre, file):
    sys.argv = ['convert', str(model), '--outfile', str(file), '--outtype', 'bf16']
    sys.path.insert(0, str(pathlib.Path(converter).parent))
    import conversion.base
    base = conversion.base
    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    load = base.ModelBase.load_hparams
    # What it looks for is no longer written since transformers 5.
    base.ModelBase.load_hparams = staticmethod(lambda *given, **named: {'rotary_pct': 0.5, **load(*given, **named)})
    runpy.run_path(converter, run_name='__main__')
    base.ModelBase.load_hparams = load


def main(converter, folder):
    sys.path.insert(1, '/usr/share/llama.cpp/llama.cpp-tools')
    references, tokens = {}, {}
    for name, (kind, settings, make, pre) in MODELS.items():
        torch.manual_seed(7)
        with tempfile.TemporaryDirectory() as temporary:
            tokenizer = make(temporary)
            tokenizer.save_pretrained(temporary)
            size = len(tokenizer)
            ids = {} if 'roberta' in name else {'pad_token_id': 0} if kind is not hf.Phi3Config else {}
            config = kind(**{**settings, 'vocab_size': size, **ids})
            model = CLASSES[name](config, add_pooling_layer=False) if name in ('bert', 'roberta', 'xlmroberta') else CLASSES[name](config) if name in CLASSES \
                else hf.AutoModelForCausalLM.from_config(config, attn_implementation='eager')
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    noise = torch.randn_like(parameter)
                    if 'norm' in key.lower() or 'ln_' in key or key.endswith('bias'):
                        parameter.add_(noise * 0.1)
                    elif 'embed' in key or 'wte' in key:
                        parameter.copy_(noise * 0.5)
                    else:
                        parameter.copy_(noise / parameter.shape[-1] ** 0.5)
                    parameter.copy_(parameter.to(torch.bfloat16).float())
            copy.deepcopy(model).to(torch.bfloat16).save_pretrained(temporary)
            model.eval()
            given = torch.randint(4, size, (1, 12))
            with torch.no_grad():
                out = model(given)
            references[name + '.ids'] = given[0].to(torch.int32)
            references[name + '.out'] = (out.logits if hasattr(out, 'logits') else out.last_hidden_state)[0, -3:].float().contiguous()
            convert(converter, temporary, pre, pathlib.Path(folder, name + '.gguf'))
            tokens[name] = [[text, tokenizer.encode(text)] for text in TRIED]
    save_file(references, str(pathlib.Path(folder, 'references.safetensors')))
    pathlib.Path(folder, 'tokens.json').write_text(json.dumps(tokens, ensure_ascii=False, indent=0))


if __name__ == '__main__':
    main(*sys.argv[1:])
