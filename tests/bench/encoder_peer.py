#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs graft and onnxruntime in turn on one encoder: 6 layers of 384 (MiniLM's shape), random weights.

    encoder_peer.py GRAFT_CONVERT ENCODER_BENCH FOLDER [--tokens 128] [--threads 2] [--rounds 5]

Needs torch, transformers, onnx and onnxruntime. The model and its ONNX forms are made in FOLDER once.
Each round times graft and onnxruntime one after the other, 20 computations each; printed are the medians
over rounds of the rounds' medians, the ratios and the load of the machine.
"""
import argparse
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import time

# tokenizers.py beside this file would hide the package of that name.
sys.path = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
RUNS = 20


def quantize_products(exact, quantized):
    """What onnxruntime's quantize_dynamic makes of products by constants: int8 weights with one scale,
    uint8 rows quantized as they come. Its own tool cannot run where onnx and onnxruntime come from one
    build of Debian's: the two cannot be loaded together."""
    import numpy
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(exact)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes, codes_of = [], {}
    for node in graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None:
            nodes.append(node)
            continue
        numbers = numpy_helper.to_array(weight)
        scale = float(numpy.abs(numbers).max()) / 127
        name, source = weight.name, node.input[0]
        codes = numpy.clip(numpy.rint(numbers / scale), -127, 127).astype(numpy.int8)
        graph.initializer.extend([
            numpy_helper.from_array(codes, name + ".codes"),
            numpy_helper.from_array(numpy.array(scale, numpy.float32), name + ".scale"),
            numpy_helper.from_array(numpy.array(0, numpy.int8), name + ".zero")])
        graph.initializer.remove(weight)
        if source not in codes_of:
            codes_of[source] = [f"{source}.{part}" for part in ("codes", "scale", "zero")]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [source], codes_of[source]))
        rows, row_scale, row_zero = codes_of[source]
        out = node.output[0]
        nodes += [
            helper.make_node("MatMulInteger", [rows, name + ".codes", row_zero, name + ".zero"],
                             [out + ".sums"]),
            helper.make_node("Cast", [out + ".sums"], [out + ".cast"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [row_scale, name + ".scale"], [out + ".scale"]),
            helper.make_node("Mul", [out + ".cast", out + ".scale"], [out])]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, quantized)


def make(folder, convert):
    import torch
    from transformers import BertConfig, BertModel

    base = folder / "minilm"
    if not (base / "model.safetensors").exists():
        torch.manual_seed(0)
        config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                            intermediate_size=1536, max_position_embeddings=512,
                            attn_implementation="eager")
        BertModel(config).save_pretrained(base)
    exact, quantized = folder / "minilm.onnx", folder / "minilm-int8.onnx"
    if not quantized.exists():
        model = BertModel.from_pretrained(base, attn_implementation="eager").eval()

        class Encoder(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask):
                return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

        ids = torch.randint(1000, 20000, (1, 128))
        axes = {0: "batch", 1: "tokens"}
        names = ["input_ids", "attention_mask"]
        torch.onnx.export(Encoder(), (ids, torch.ones_like(ids)), str(exact), input_names=names,
                          output_names=["last_hidden_state"], dynamo=False, opset_version=17,
                          dynamic_axes={name: axes for name in names + ["last_hidden_state"]})
        quantize_products(str(exact), str(quantized))
    for quant in ("f32", "int8"):
        subprocess.run([convert, "convert", "--base", base, "--quant", quant, "-o",
                        folder / f"minilm-{quant}.graft"], check=True, stdout=subprocess.DEVNULL)


def peer_session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def peer_ms(session, feeds):
    times = []
    for run in range(RUNS + 3):
        start = time.perf_counter()
        session.run(None, feeds)
        if run >= 3:
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def graft_ms(bench, model, tokens, threads):
    out = subprocess.run([bench, model, str(tokens), str(threads), str(RUNS)], check=True,
                         capture_output=True, text=True).stdout
    return statistics.median(float(line) for line in out.split())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("convert")
    parser.add_argument("bench")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    making = multiprocessing.get_context("spawn").Process(target=make,
                                                          args=(given.folder, given.convert))
    making.start()
    making.join()
    if making.exitcode != 0:
        sys.exit("encoder_peer: cannot make the models")
    models = {"f32": given.folder / "minilm.onnx", "int8": given.folder / "minilm-int8.onnx"}

    import numpy
    import onnxruntime

    ids = (1000 + numpy.arange(given.tokens, dtype=numpy.int64) * 37 % 20000)[None]
    feeds = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
    print(f"onnxruntime {onnxruntime.__version__}, {given.tokens} tokens, {given.threads} threads, "
          f"load {os.getloadavg()[0]:.1f}")
    for quant, path in models.items():
        session = peer_session(path, given.threads)
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(graft_ms(given.bench, given.folder / f"minilm-{quant}.graft", given.tokens,
                                 given.threads))
            theirs.append(peer_ms(session, feeds))
        graft, peer = statistics.median(ours), statistics.median(theirs)
        print(f"{quant}: graft {graft:.2f} ms, onnxruntime {peer:.2f} ms, {peer / graft:.2f} times as fast")


if __name__ == "__main__":
    main()
