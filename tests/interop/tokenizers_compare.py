"""Foundry's tokenizers against Google's and Hugging Face's: quality, speed, and the same ids from the same files.

Run by hand; nothing in the build needs it. Any English text will do; the figures of docs/tokenizers.md are for
`../shared/data` (see `corpus`). Each 20th line is held out. Ids are compared on 5 MB: those texts and made sentences.

    python3 -m venv venv && venv/bin/pip install sentencepiece tokenizers transformers
    cargo build --release -p foundry && cargo build --release -p foundry-models --example tokenizer
    venv/bin/python tests/interop/tokenizers_compare.py ../shared/data work     # `work` is a scratch folder

    --golden DATA FILE    only trains Google's unigram on tinyshakespeare (2000 pieces) and writes its scores to FILE
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import sentencepiece
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers

PROGRAM = "target/release/examples/tokenizer"
FOUNDRY = pathlib.Path("target/release/foundry").resolve()
VOCAB = 8000
SENTENCES = """
experiment_name: sentences
random_seed: 1
data: {synthetic: {grammar: english, sentences: 34000, seed: 1}, batch_size: 1, max_sequence_length: 32}
tokenizer: {output_dir: tokenizer, tokenizer_type: character, vocab_size: 100}
model: {architecture: lstm, rnn: {embedding_size: 8, hidden_size: 8, num_layers: 1, dropout: 0}}
training: {output_dir: run, learning_rate: 1e-3, train_steps: 1}
"""


def corpus(data, work):
    """Training and held-out lines of the English texts; WikiText's <unk> is left out."""
    names = ["babylm-like/*.t*", "wikitext2/valid.txt", "cs336/tests/fixtures/corpus.en", "tinyshakespeare/input.txt"]
    lines = []
    for path in (path for name in names for path in sorted(data.glob(name))):
        text = path.read_bytes().decode("utf-8", errors="replace").replace("<unk>", "")
        text = text.replace("\r", "")  # Python would read such a line back as another one
        lines += [line for line in text.split("\n") if line.strip()]
    train = [line for i, line in enumerate(lines) if i % 20]
    held = [line for i, line in enumerate(lines) if not i % 20]
    (work / "train.txt").write_text("\n".join(train), encoding="utf-8", newline="")
    (work / "held.txt").write_text("\n".join(held), encoding="utf-8", newline="")
    print(f"{len(train)} lines to train on, {len(held)} held out")
    return train, held


def synthetic(work):
    """34,000 sentences of the grammar that Foundry carries, seed 1: 1.3 MB."""
    (work / "sentences.yaml").write_text(SENTENCES)
    subprocess.run([FOUNDRY, "preprocess", "sentences.yaml"], cwd=work, check=True, stdout=subprocess.DEVNULL)
    (made,) = (work / ".foundry/cache").glob("synthetic-*/corpus.txt")
    return made.rename(work / "synthetic.txt")


def google(files, prefix, size, **options):
    begin = time.time()
    sentencepiece.SentencePieceTrainer.train(
        input=[str(file) for file in files], model_prefix=str(prefix), vocab_size=size, character_coverage=1.0,
        num_threads=1, pad_id=3, minloglevel=2, max_sentence_length=1_000_000, **options)
    return time.time() - begin


def foundry(*arguments, threads=None):
    env = dict(os.environ, **({"RAYON_NUM_THREADS": str(threads)} if threads else {}))
    run = subprocess.run([PROGRAM, *map(str, arguments)], env=env, check=True, stdout=subprocess.PIPE)
    return run.stdout.decode()


def lists(text):
    return [json.loads(line) for line in text.splitlines()]


def words(tokens):
    out = []
    for token in tokens:
        if token.startswith("▁") or not out:
            out.append([])
        out[-1].append(token)
    return out


def agreement(name, one, two):
    """How many words (and lines) are cut alike, and the difference in tokens per line."""
    alike = total = lines = 0
    for a, b in zip(one, two):
        wa, wb = words(a), words(b)
        total += len(wa)
        alike += sum(x == y for x, y in zip(wa, wb)) if len(wa) == len(wb) else 0
        lines += a == b
    gap = (sum(map(len, two)) - sum(map(len, one))) / len(one)
    print(f"{name}: words alike {100 * alike / total:.2f} %, lines alike {100 * lines / len(one):.1f} %, "
          f"tokens {sum(map(len, one))} and {sum(map(len, two))}, gap {gap:+.3f} a line")


def normal(line):
    return " ".join(normalizers.NFKC().normalize_str(line).split())


def compare_unigram(work, held):
    file, fallback = work / "train.txt", {"byte_fallback": True}
    seconds = google([file], work / "google", VOCAB, model_type="unigram", **fallback)
    print(f"Google's trainer, 1 thread: {seconds:.2f} s")
    for threads in (1, 2):
        print(f"Foundry's, {threads} threads:", foundry("train", "sentencepiece", VOCAB, work / "unigram", file,
                                                        threads=threads).strip())
        print("    sha256", hashlib.sha256((work / "unigram/tokenizer.json").read_bytes()).hexdigest()[:16])
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(work / "google.model"))
    theirs = [theirs.encode(line, out_type=str) for line in held]
    ours = lists(foundry("tokens", work / "unigram", work / "held.txt"))
    agreement("Google and Foundry", theirs, ours)
    hf = tokenizers.Tokenizer(models.Unigram())
    hf.normalizer, hf.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    begin = time.time()
    # As many pieces as the others have beside their bytes.
    hf.train([str(file)], trainers.UnigramTrainer(
        vocab_size=VOCAB - 256, special_tokens=["<unk>", "<s>", "</s>", "<pad>"], unk_token="<unk>",
        show_progress=False))
    print(f"Hugging Face's trainer: {time.time() - begin:.2f} s")
    agreement("Google and Hugging Face", theirs, [hf.encode(normal(line)).tokens for line in held])


def compare_wordpiece(work, held):
    file = work / "train.txt"
    for threads in (1, 2):
        print(f"Foundry's WordPiece, {threads} threads:",
              foundry("train", "wordpiece", VOCAB, work / "wordpiece", file, threads=threads).strip())
    hf = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    hf.normalizer = normalizers.BertNormalizer(strip_accents=True)
    hf.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    begin = time.time()
    hf.train([str(file)], trainers.WordPieceTrainer(
        vocab_size=VOCAB, min_frequency=2, special_tokens=["[UNK]", "[PAD]", "[MASK]", "[CLS]", "[SEP]"],
        show_progress=False))
    print(f"Hugging Face's: {time.time() - begin:.2f} s")
    theirs = sum(len(hf.encode(line).ids) for line in held)
    ours = sum(map(len, lists(foundry("encode", work / "wordpiece", work / "held.txt"))))
    print(f"tokens of the held-out lines: Hugging Face {theirs}, Foundry {ours}, {100 * (ours / theirs - 1):+.2f} %")


def same_ids(name, work, file, python):
    lines = file.read_text(encoding="utf-8").split("\n")
    ours = lists(foundry("encode", work, file))
    different = [i for i, (line, ids) in enumerate(zip(lines, ours)) if python(line) != ids]
    print(f"{name}: {len(lines)} lines, {len(different)} with other ids",
          [lines[i][:60] for i in different[:5]] if different else "")


def compare_files(data, work):
    """The same files, read by Python and by Foundry."""
    strings = json.loads((data / "tokenizers/golden/test_strings.json").read_text(encoding="utf-8"))
    hard = work / "hard.txt"
    # One string a line; the program splits at line feeds only.
    hard.write_text("\n".join(s for s in strings if "\n" not in s), encoding="utf-8", newline="")
    files = (work / "train.txt", work / "held.txt", synthetic(work), hard)
    print(f"ids are compared on {sum(file.stat().st_size for file in files):,} bytes:", *(file.name for file in files))
    for kind in ("sentencepiece", "sentencepiece-bpe", "wordpiece", "bpe", "character"):
        folder = work / f"auto-{kind}"
        foundry("train", kind, VOCAB, folder, work / "train.txt")
        auto = transformers.AutoTokenizer.from_pretrained(folder)
        print(f"{kind}: AutoTokenizer gives a {type(auto).__name__}; specials {auto.all_special_tokens}")
        for file in files[1:]:
            same_ids(f"    AutoTokenizer, {file.name}", folder, file,
                     lambda line: auto.encode(line, add_special_tokens=False, split_special_tokens=True))
        if kind.startswith("sentencepiece"):
            model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
            print("    roles in Google's library: unk, bos, eos, pad =",
                  model.unk_id(), model.bos_id(), model.eos_id(), model.pad_id())
            for file in files[1:]:
                same_ids(f"    Google's library, our tokenizer.model, {file.name}", folder, file, model.encode)
    for kind in ("unigram", "bpe"):
        for options in ({}, {"byte_fallback": True}, {"normalization_rule_name": "identity"},
                        {"add_dummy_prefix": False, "remove_extra_whitespaces": False}):
            google([work / "train.txt"], work / "imported", VOCAB, model_type=kind, **options)
            model = sentencepiece.SentencePieceProcessor(model_file=str(work / "imported.model"))
            for file in files:
                same_ids(f"Google's {kind} {options}, {file.name}", work / "imported.model", file, model.encode)


def main():
    if sys.argv[1:2] == ["--golden"]:
        data, out = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
        google([data / "tinyshakespeare/input.txt"], out.with_suffix(""), 2000, model_type="unigram")
        lines = out.with_suffix(".vocab").read_text(encoding="utf-8").splitlines()[4:]
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")
        out.with_suffix(".vocab").unlink(), out.with_suffix(".model").unlink()
        return
    data, work = map(pathlib.Path, sys.argv[1:3])
    work.mkdir(parents=True, exist_ok=True)
    print("sentencepiece", sentencepiece.__version__, "tokenizers", tokenizers.__version__,
          "transformers", transformers.__version__)
    _, held = corpus(data, work)
    compare_unigram(work, held)
    compare_wordpiece(work, held)
    compare_files(data, work)


if __name__ == "__main__":
    main()
