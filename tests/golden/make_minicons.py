"""Makes tests/golden/interop/minicons.json: what minicons (Misra 2022) gives sentences, on models of tests/golden/interop.

    cargo build -p foundry
    python3 -m venv venv && venv/bin/pip install torch transformers safetensors minicons
    venv/bin/python tests/golden/make_minicons.py causal
    python3 -m venv venv4 && venv4/bin/pip install torch 'transformers==4.57.*' safetensors minicons
    venv4/bin/python tests/golden/make_minicons.py masked       # minicons' masked scorer fails under transformers 5

A sentence's score is the sum of its tokens' log-probabilities in nats: after the token that begins texts, or, of a masked
model, its pseudo-log-likelihood (Salazar et al. 2020; within words from left to right: Kauf and Ivanova 2023). The weights
of torch become a folder that transformers loads by `foundry import`. `masked` makes tests/golden/interop/bert_wordpiece,
a small BERT that Foundry trained and exported, its weights shaken so that no two tokens are alike.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version

import torch
from minicons.scorer import IncrementalLMScorer, MaskedLMScorer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

INTEROP = pathlib.Path(__file__).parent / "interop"
PROGRAM = pathlib.Path("target/debug/foundry").resolve()
CAUSAL = ["gpt2", "gpt2_untied_relu", "torch_lstm", "torch_rnn"]
MASKED = "bert_wordpiece"
SENTENCES = ["The cat sat.", "The cats sat.", "A dog ran.", "A dogs ran.", "He", "Jim sees Pat.", "Jim see Pat.", "a  b"]

BERT = """
experiment_name: bert
random_seed: 7
data:
  synthetic: {{grammar: english, sentences: 800, seed: 3}}
  batch_size: 4
  max_sequence_length: 32
tokenizer: {{output_dir: {work}/tokenizer, tokenizer_type: wordpiece, vocab_size: 150}}
model:
  architecture: bert
  transformer: {{layers: 2, embedding_size: 12, hidden_size: 12, intermediate_hidden_size: 21, attention_heads: 2,
    activation_function: gelu, dropout: 0.1, attention_dropout: 0.1}}
training:
  output_dir: {work}/run
  objective: masked_lm
  learning_rate: 1e-2
  train_steps: 20
"""


def foundry(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def total(scores):
    return scores.sum(0).item()


def causal(name, work):
    folder, imported = work / name, work / f"{name}_imported"
    shutil.copytree(INTEROP / name, folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(INTEROP / file, folder)
    foundry("import", folder, imported)
    model = AutoModelForCausalLM.from_pretrained(imported, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(imported, trust_remote_code=True)
    scorer = IncrementalLMScorer(model, "cpu", tokenizer=tokenizer)
    return scorer.sequence_score(SENTENCES, reduction=total, bos_token=True)


def make_bert(work):
    (work / "bert.yaml").write_text(BERT.format(work=work))
    foundry("train", work / "bert.yaml")
    foundry("export", work / "run", work / "exported")
    model = AutoModelForMaskedLM.from_pretrained(work / "exported")
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    folder = INTEROP / MASKED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(work / "exported" / file, folder)


def masked(metric):
    model = AutoModelForMaskedLM.from_pretrained(INTEROP / MASKED).eval()
    tokenizer = AutoTokenizer.from_pretrained(INTEROP / MASKED)
    scorer = MaskedLMScorer(model, "cpu", tokenizer=tokenizer)
    return scorer.sequence_score(SENTENCES, reduction=total, PLL_metric=metric)


def main():
    part = sys.argv[1]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        if part == "causal":
            scores = {name: causal(name, work) for name in CAUSAL}
        else:
            make_bert(work)
            scores = {metric: masked(metric) for metric in ("original", "within_word_l2r")}
    file = INTEROP / "minicons.json"
    golden = json.loads(file.read_text())
    versions = {name: version(name) for name in ("minicons", "transformers", "torch")}
    golden[part] = {"versions": versions, "scores_nats": scores}
    file.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
