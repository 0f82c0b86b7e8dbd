"""Foundry's scores of minimal pairs against those of minicons (Misra 2022), on the same models.

Run by hand; nothing in the build needs it.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors minicons
    cargo build -p foundry
    venv/bin/python tests/interop/roundtrip.py work                             # trains and exports the models
    venv/bin/python tests/interop/minicons_compare.py work ../shared/data/blimp-sample100

Takes 200 pairs of BLiMP (a folder of its .jsonl files), scores their sentences with both, and compares: each sentence within
1e-3 nats, and the number of pairs that each gets right.
"""

import csv
import json
import pathlib
import subprocess
import sys

import minicons
import transformers
from minicons.scorer import IncrementalLMScorer, MaskedLMScorer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

PROGRAM = pathlib.Path("target/debug/foundry").resolve()


def pairs(folder):
    """Every so manieth pair, of all paradigms."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return lines[:: max(len(lines) // 200, 1)][:200]


def minicons_scores(folder, masked, metric, sentences):
    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    model = kind.from_pretrained(folder, trust_remote_code=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    add = lambda x: x.sum(0).item()
    if masked:
        scorer = MaskedLMScorer(model, "cpu", tokenizer=tokenizer)
        score = lambda batch: scorer.sequence_score(batch, reduction=add, PLL_metric=metric)
    else:
        scorer = IncrementalLMScorer(model, "cpu", tokenizer=tokenizer)
        score = lambda batch: scorer.sequence_score(batch, reduction=add, bos_token=True)
    out = []
    for i in range(0, len(sentences), 20):
        out += score(sentences[i : i + 20])
    return out


def main():
    work, blimp = map(pathlib.Path, sys.argv[1:3])
    names = sys.argv[3:] or ["gpt2_gelu_tied", "lstm", "gru", "rnn"]
    print("minicons", getattr(minicons, "__version__", ""), "transformers", transformers.__version__)
    lines = pairs(blimp)
    file = work / "blimp200.jsonl"
    file.write_text("\n".join(lines) + "\n")
    wrong = 0
    for name in names:
        masked = name.startswith("bert") or "_both" in name
        for metric, flag in (("original", "token"), ("within_word_l2r", "within-word")) if masked else ((None, None),):
            folder, tables = work / f"{name}_hf", work / f"{name}_tables"
            command = [PROGRAM, "evaluate", folder, "--minimal-pairs", file, "--tables", tables]
            subprocess.run(command + (["--pll", flag] if flag else []), check=True, stdout=subprocess.DEVNULL)
            rows = list(csv.DictReader((tables / "pairs.csv").open()))
            ours = {r["paradigm"] + r["item"]: (float(r["logprob_good_nats"]), float(r["logprob_bad_nats"])) for r in rows}
            both = [json.loads(line) for line in lines]
            good = minicons_scores(folder, masked, metric, [p["sentence_good"] for p in both])
            bad = minicons_scores(folder, masked, metric, [p["sentence_bad"] for p in both])
            worst = right = theirs_right = 0
            apart = []
            for pair, g, b in zip(both, good, bad):
                og, ob = ours[pair["UID"] + pair["pairID"]]
                worst = max(worst, abs(og - g), abs(ob - b))
                right, theirs_right = right + (og > ob), theirs_right + (g > b)
                if (og > ob) != (g > b):
                    apart.append(abs(og - ob))
            # A pair may only be judged otherwise if its sentences are as close as the rounding of f32.
            ok = worst <= 1e-3 and all(margin <= 2 * worst for margin in apart) and len(both) == 200
            wrong += not ok
            print(f"{'ok  ' if ok else 'FAIL'} {name} {metric or ''}: sentences differ by {worst:.1e} nats; right {right} and "
                  f"{theirs_right} of {len(both)}" + "".join(f"; a pair {m:.1e} nats apart is a tie to one" for m in apart), flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
