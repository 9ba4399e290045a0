"""Writes gemma3_270m.json: what transformers answers with the default model's weights, as the artifact stores them.

Run from the project's folder, in its environment: python -m tests.golden.make_gemma3_270m
Takes about two minutes and 3 GiB; run it again when the default model, its formats or the prompts change.
"""
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from compiler.checkpoint import open_checkpoint
from compiler.checkpoint.default_model import default_model_path
from compiler.checkpoint.tokenizer import tokenizer_json_from_gguf
from compiler.progress import SilentProgress
from compiler.setup.folders import CACHE
from tests.fixtures.dequantized import dequantized_weights, put_into

TOKENS = 24
# The third is longer than the window of 512, so that its rings wrap.
LONG = " ".join(f"Day {day}: the keeper of the lighthouse wrote down the wind, the waves and the ships that passed, and went to sleep."
                for day in range(1, 20)) + " Day 20: the keeper"
PROMPTS = ["The capital of France is", "def fibonacci(n):\n    if n < 2:\n        return n\n", LONG]


def main() -> None:
    path = default_model_path(CACHE, SilentProgress())
    checkpoint = open_checkpoint(path)
    tokenizer = Tokenizer.from_str(tokenizer_json_from_gguf(checkpoint.gguf_fields, path).decode())
    model = Gemma3ForCausalLM(Gemma3TextConfig(**checkpoint.config, attn_implementation="eager")).float().eval()
    put_into(model, dequantized_weights(path, "auto"), norm_offset=1.0)
    cases = []
    for prompt in PROMPTS:
        ids = [2, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        with torch.no_grad():
            top = model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].topk(5)
            answer = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=TOKENS, eos_token_id=-1)[0, len(ids):]
        cases.append({"prompt": prompt, "ids": ids, "tokens": answer.tolist(), "text": tokenizer.decode(answer.tolist()),
                      "top5": top.indices.tolist(), "top5_logits": top.values.tolist()})
        print(f"{len(ids)} ids -> {cases[-1]['text']!r}")
    (Path(__file__).parent / "gemma3_270m.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
