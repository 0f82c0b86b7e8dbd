"""Makes tests/golden/interop/minicons.json: what minicons (Misra 2022) gives sentences, on models of tests/golden/interop.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors minicons
    cargo build -p foundry
    venv/bin/python tests/golden/make_minicons.py

A sentence's score is the sum of its tokens' log-probabilities in nats, after the token that begins texts. The weights of
torch become a folder that transformers loads by `foundry import`.
"""

import json
import pathlib
import shutil
import subprocess
import tempfile
from importlib.metadata import version

import torch
import transformers
from minicons.scorer import IncrementalLMScorer
from transformers import AutoModelForCausalLM, AutoTokenizer

INTEROP = pathlib.Path(__file__).parent / "interop"
PROGRAM = pathlib.Path("target/debug/foundry").resolve()
MODELS = ["gpt2", "gpt2_untied_relu", "torch_lstm", "torch_rnn"]
SENTENCES = ["The cat sat.", "The cats sat.", "A dog ran.", "A dogs ran.", "He", "Jim sees Pat.", "Jim see Pat.", "a  b"]


def scores(name, work):
    folder, imported = work / name, work / f"{name}_imported"
    shutil.copytree(INTEROP / name, folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(INTEROP / file, folder)
    subprocess.run([PROGRAM, "import", folder, imported], check=True, stdout=subprocess.DEVNULL)
    model = AutoModelForCausalLM.from_pretrained(imported, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(imported, trust_remote_code=True)
    scorer = IncrementalLMScorer(model, "cpu", tokenizer=tokenizer)
    return scorer.sequence_score(SENTENCES, reduction=lambda x: x.sum(0).item(), bos_token=True)


def main():
    with tempfile.TemporaryDirectory() as work:
        found = {name: scores(name, pathlib.Path(work)) for name in MODELS}
    versions = {"minicons": version("minicons"), "transformers": transformers.__version__, "torch": torch.__version__}
    golden = {"versions": versions, "sentences": SENTENCES, "scores_nats": found}
    (INTEROP / "minicons.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
