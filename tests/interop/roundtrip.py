"""Models there and back: Foundry -> transformers and torch, and transformers and torch -> Foundry.

Run by hand; nothing in the build needs it.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors
    cargo build -p foundry
    venv/bin/python tests/interop/roundtrip.py work            # `work` is a scratch folder, made anew

Trains models of odd sizes for a few updates (all architectures, activations, tied and untied, one direction and both,
all kinds of tokenizers), exports them, and compares what Foundry says of sentences with what transformers computes from
the exported folder; then makes models with transformers and torch, and compares the other way round. What may differ:
1e-4 in a logit of GPT-2 and BERT, 1e-5 in one of an RNN, nothing in token ids, nothing in greedy continuations.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

PROGRAM = pathlib.Path("target/debug/foundry").resolve()
HARD = ["", " ", "the cats  sleep .", "Don't — “stop”!", "naïve café Ünïcode", "日本語 🙂 \U0001d518", "a\tb", "<s> </s> <pad>"]
failures = []
transformers.utils.logging.disable_progress_bar()


def check(what, ok, detail=""):
    print(f"{'ok  ' if ok else 'FAIL'} {what} {detail}", flush=True)
    if not ok:
        failures.append(what)


def foundry(*arguments, fails=False):
    run = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if (run.returncode != 0) != fails:
        raise SystemExit(f"foundry {' '.join(map(str, arguments))}: exit {run.returncode}\n{run.stderr}")
    return run.stderr if fails else run.stdout


# Models of Foundry.

TRANSFORMER = """
  architecture: {architecture}
  transformer:
    layers: 2
    embedding_size: {width}
    hidden_size: {width}
    intermediate_hidden_size: {inner}
    attention_heads: {heads}
    activation_function: {activation}
    dropout: 0.1
    attention_dropout: 0.1
    tie_weights: {tied}
"""
RNN = """
  architecture: {architecture}
  rnn: {{embedding_size: {embedding}, hidden_size: {hidden}, num_layers: {layers}, bidirectional: {both}, {more}dropout: 0.1, tie_weights: {tied}}}
"""


def transformer(architecture, activation, tied, width=36, inner=75, heads=3):
    return TRANSFORMER.format(architecture=architecture, activation=activation, tied=str(tied).lower(), width=width,
                              inner=inner, heads=heads)


def rnn(architecture, both=False, tied=False, embedding=27, hidden=19, layers=2, more=""):
    return RNN.format(architecture=architecture, both=str(both).lower(), tied=str(tied).lower(), embedding=embedding,
                      hidden=hidden, layers=layers, more=more)


def train(work, name, model, tokenizer="bpe", vocab=307, boundary="eos", masked=False, extra="", steps=20):
    folder = work / name
    text = f"""
experiment_name: {name}
random_seed: 7
device: cpu
data:
  synthetic: {{grammar: configs/grammars/english.grammar, sentences: 800, seed: 3}}
  batch_size: 4
  max_sequence_length: 128
  boundary_token: {boundary}
tokenizer: {{output_dir: {folder}/tokenizer, tokenizer_type: {tokenizer}, vocab_size: {vocab}}}
model: {model}
training:
  output_dir: {folder}
  objective: {'masked_lm' if masked else 'causal_lm'}
  learning_rate: 1e-2
  train_steps: {steps}
  {extra or 'auto_generate_checkpoints: false'}
"""
    config = work / f"{name}.yaml"
    config.write_text(text)
    foundry("train", config)
    return folder


def models():
    """Name, model, and how it is trained."""
    for activation in ("gelu", "gelu_new", "relu"):
        for tied in (True, False):
            kind = f"{activation}_{'tied' if tied else 'untied'}"
            odd = {} if tied else {"width": 35, "inner": 41, "heads": 5}
            yield f"gpt2_{kind}", transformer("gpt2", activation, tied, **odd), {}
            yield f"bert_{kind}", transformer("bert", activation, tied, **odd), {"masked": True, "tokenizer": "wordpiece"}
    for architecture in ("lstm", "gru", "rnn"):
        yield f"{architecture}", rnn(architecture), {}
        yield f"{architecture}_tied", rnn(architecture, tied=True, embedding=19, layers=1), {}
        yield f"{architecture}_both", rnn(architecture, both=True), {"masked": True}
    yield "rnn_relu", rnn("rnn", more="nonlinearity: relu, "), {}
    yield "lstm_both_tied", rnn("lstm", both=True, tied=True, embedding=38), {"masked": True}
    # Tokenizers and boundaries.
    yield "gpt2_character", transformer("gpt2", "gelu", True), {"tokenizer": "character"}
    yield "gpt2_sentencepiece", transformer("gpt2", "gelu", True), {"tokenizer": "sentencepiece", "boundary": "bos_eos"}
    yield "gpt2_wordpiece", transformer("gpt2", "silu", True), {"tokenizer": "wordpiece"}
    yield "bert_sentencepiece", transformer("bert", "tanh", True), {"tokenizer": "sentencepiece", "masked": True}
    yield "bert_character", transformer("bert", "gelu", True), {"tokenizer": "character", "masked": True}
    yield "lstm_none", rnn("lstm"), {"boundary": "none"}
    yield "gru_both_none", rnn("gru", both=True), {"boundary": "none", "masked": True}


def sentences(work):
    """Text that the models were not trained on, one sentence a line."""
    file = work / "sentences.txt"
    lines = ["the cat sleeps .", "the dogs that the girl sees run .", "no child has ever laughed .", "a", "every author smiles"]
    file.write_text("\n".join(lines) + "\n")
    return file, lines


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    masked = "MaskedLM" in config["architectures"][0]
    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    model, info = kind.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
    clean = not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval(), masked, clean, info


def surprisals(model_folder, file, *flags):
    return [json.loads(line) for line in foundry("evaluate", model_folder, "--surprisal", file, "--json", *flags).splitlines()]


def reference(model, masked, mask, scored):
    """What transformers makes of the ids that Foundry read: one log-probability for each scored id, in nats."""
    ids, first = scored["ids"], scored["first_scored"]
    n = len(scored["logprobs_nats"])
    places = range(first, first + n)
    with torch.no_grad():
        if not masked:
            logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
            return [logits[p - 1, ids[p]].item() for p in places]
        rows = torch.tensor([[mask if i == p else t for i, t in enumerate(ids)] for p in places])
        if not n:
            return []
        logits = model(input_ids=rows).logits.double().log_softmax(-1)
        return [logits[row, p, ids[p]].item() for row, p in enumerate(places)]


def compare_scores(name, folder, model, masked, mask, file, tolerance):
    flags = ["--pll", "token"] if masked else []
    lines = surprisals(folder, file, *flags)
    worst = 0.0
    for scored in lines:
        theirs = reference(model, masked, mask, scored)
        worst = max([worst, *(abs(a - b) for a, b in zip(theirs, scored["logprobs_nats"]))])
    check(f"{name}: log-probabilities", worst <= tolerance and lines, f"differ by {worst:.1e}")
    return lines


def compare_ids(name, folder, lines, masked, scored):
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    bare = [tokenizer.encode(text, add_special_tokens=False) for text in lines]
    seen = [s["ids"] for s in scored]
    usual = [tokenizer.encode(text) for text in lines]
    begin = [] if masked or tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    same = all(begin + ids == theirs for ids, theirs in zip(usual, seen))
    inside = all(str(ids)[1:-1] in str(theirs) for ids, theirs in zip(bare, seen))
    check(f"{name}: AutoTokenizer", same and inside, f"bos {tokenizer.bos_token}")
    return tokenizer


def compare_greedy(name, folder, model, tokenizer):
    same = True
    for prompt in ("the", "no dog that"):
        ours = json.loads(foundry("generate", folder, "--prompt", prompt, "--temperature", 0, "--max-tokens", 20, "--json"))
        ids = torch.tensor([ours["prompt_ids"]])
        with torch.no_grad():
            theirs = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)
        theirs = theirs[0, ids.shape[1]:].tolist()
        if theirs and theirs[-1] == model.generation_config.eos_token_id:
            theirs.pop()
        same &= ours["ids"] == theirs
    check(f"{name}: greedy continuations", same)


def padding(name, model, masked, tokenizer):
    """Rows of several lengths together and alone, padded on the right and (recurrent ones) on the left."""
    rows = [list(range(5, 5 + n)) for n in (9, 4, 1)]
    pad, worst = model.config.pad_token_id, 0.0
    sides = ["right"] + (["left"] if model.config.model_type == "foundry_rnn" else [])
    for side in sides:
        fill = [[pad] * (9 - len(r)) for r in rows]
        ids = [f + r if side == "left" else r + f for r, f in zip(rows, fill)]
        mask = [[0] * len(f) + [1] * len(r) if side == "left" else [1] * len(r) + [0] * len(f) for r, f in zip(rows, fill)]
        with torch.no_grad():
            together = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
            for i, row in enumerate(rows):
                alone = model(input_ids=torch.tensor([row])).logits[0]
                worst = max(worst, (together[i][torch.tensor(mask[i]) == 1] - alone).abs().max().item())
    check(f"{name}: padding", worst <= 1e-5, f"changes {worst:.1e}")


def there(work, file, lines):
    for name, model, how in models():
        run = train(work, name, model, **how)
        folder = work / f"{name}_hf"
        foundry("export", run, folder)
        net, masked, clean, info = load(folder)
        check(f"{name}: {type(net).__name__} loads", clean, "" if clean else str(info))
        tolerance = 1e-5 if net.config.model_type == "foundry_rnn" else 1e-4
        mask = AutoTokenizer.from_pretrained(folder, trust_remote_code=True).mask_token_id
        scored = compare_scores(name, run, net, masked, mask, file, tolerance)
        tokenizer = compare_ids(name, folder, lines, masked, scored)
        again = surprisals(folder, file, *(["--pll", "token"] if masked else []))
        same = [s["logprobs_nats"] for s in again] == [s["logprobs_nats"] for s in scored]
        check(f"{name}: Foundry reads its export", same)
        padding(name, net, masked, tokenizer)
        if not masked:
            compare_greedy(name, run, net, tokenizer)
        # A checkpoint is such a folder itself.
        newest = max(run.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        direct, *_ = load(newest)
        # An untied BERT of transformers has a second output bias, which nothing reads; checkpoints lack it.
        ours, theirs = net.state_dict(), direct.state_dict()
        equal = all(torch.equal(ours[k], theirs[k]) for k in ours if k != "cls.predictions.bias" or net.config.tie_word_embeddings)
        check(f"{name}: the checkpoint folder loads", equal)
    hard(work)


def hard(work):
    """Strings that tokenizers get wrong."""
    for name in ("gpt2_gelu_tied", "gpt2_character", "gpt2_sentencepiece", "bert_gelu_tied"):
        folder = work / f"{name}_hf"
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        file = work / "hard.jsonl"
        # Unigrams of Hugging Face have the special tokens among their pieces, and find them in any text.
        texts = [t for t in HARD if t.strip() and not (name == "gpt2_sentencepiece" and "<s>" in t)]
        file.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
        ours = surprisals(folder, file)
        begin = [] if name.startswith("bert") or tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        theirs = [begin + tokenizer.encode(t, split_special_tokens=True) for t in texts]
        wrong = [t for t, a, b in zip(texts, ours, theirs) if a["ids"] != b]
        check(f"{name}: hard strings", not wrong, str(wrong) if wrong else "")


# Models of transformers and torch.

def tokenizer_into(work, folder, kind):
    for file in (work / kind).glob("*tok*"):
        shutil.copy(file, folder)
    shutil.copy(work / kind / "special_tokens_map.json", folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


def back(work, file):
    torch.manual_seed(1)
    for activation in ("gelu", "gelu_new", "relu"):
        for tied in (True, False):
            kind = f"{activation}_{'tied' if tied else 'untied'}"
            for family in ("gpt2", "bert"):
                name = f"from_{family}_{kind}"
                folder = work / name
                folder.mkdir()
                tokenizer = tokenizer_into(work, folder, "gpt2_gelu_tied_hf" if family == "gpt2" else "bert_gelu_tied_hf")
                size = len(tokenizer) + 3
                if family == "gpt2":
                    config = transformers.GPT2Config(
                        vocab_size=size, n_positions=41, n_embd=28, n_layer=3, n_head=4, n_inner=None if tied else 51,
                        activation_function=activation, tie_word_embeddings=tied, bos_token_id=tokenizer.bos_token_id,
                        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
                    net = transformers.GPT2LMHeadModel(config)
                else:
                    config = transformers.BertConfig(
                        vocab_size=size, max_position_embeddings=37, hidden_size=30, num_hidden_layers=2,
                        num_attention_heads=5, intermediate_size=43, hidden_act=activation, tie_word_embeddings=tied,
                        pad_token_id=tokenizer.pad_token_id)
                    net = transformers.BertForMaskedLM(config)
                with torch.no_grad():
                    for parameter in net.parameters():
                        parameter.add_(0.1 * torch.randn_like(parameter))
                net.eval().save_pretrained(folder)
                compare_import(work, name, folder, net, family == "bert", tokenizer, file, 1e-4)
    for dtype in (torch.float16, torch.bfloat16):
        name = f"from_gpt2_{str(dtype)[6:]}"
        folder = work / name
        net, *_ = load(work / "from_gpt2_gelu_tied")
        net.to(dtype).save_pretrained(folder)
        tokenizer = tokenizer_into(work, folder, "gpt2_gelu_tied_hf")
        compare_import(work, name, folder, net.float(), False, tokenizer, file, 1e-4)
    for kind in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN):
        for both in (False, True):
            torch_rnn(work, kind, both, file)
    refused(work)


class TorchModel(torch.nn.Module):
    """As people write them: an embedding, a recurrent network, a linear layer."""

    def __init__(self, kind, vocab, both):
        super().__init__()
        self.encoder = torch.nn.Embedding(vocab, 13)
        self.net = kind(13, 17, num_layers=2, bidirectional=both)
        self.decoder = torch.nn.Linear(17 * (2 if both else 1), vocab)

    def forward(self, input_ids):
        y, _ = self.net(self.encoder(input_ids.T))
        return transformers.modeling_outputs.CausalLMOutput(logits=self.decoder(y).transpose(0, 1))


def torch_rnn(work, kind, both, file):
    name = f"from_torch_{kind.__name__.lower()}{'_both' if both else ''}"
    folder = work / name
    folder.mkdir()
    tokenizer = tokenizer_into(work, folder, "lstm_both_hf" if both else "lstm_hf")
    net = TorchModel(kind, len(tokenizer), both).eval()
    save_file(net.state_dict(), folder / "weights.safetensors")
    compare_import(work, name, folder, net, both, tokenizer, file, 1e-5)


def compare_import(work, name, folder, net, masked, tokenizer, file, tolerance):
    compare_scores(name, folder, net, masked, tokenizer.mask_token_id, file, tolerance)
    imported = work / f"{name}_imported"
    foundry("import", folder, imported)
    again, _, clean, info = load(imported)
    check(f"{name}: its import loads", clean, "" if clean else str(info))
    compare_scores(f"{name}, imported", imported, again, masked, tokenizer.mask_token_id, file, tolerance)
    if not masked and hasattr(net, "generate"):
        compare_greedy(name, folder, net, tokenizer)


def refused(work):
    folder = work / "pickle"
    folder.mkdir()
    tokenizer_into(work, folder, "lstm_hf")
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    for what in (folder, folder / "pytorch_model.bin"):
        check(f"pickle refused: {what.name}", "save_file" in foundry("import", what, work / "never", fails=True))


def main():
    work = pathlib.Path(sys.argv[1]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print("torch", torch.__version__, "transformers", transformers.__version__)
    torch.set_num_threads(2)
    file, lines = sentences(work)
    there(work, file, lines)
    back(work, file)
    print(f"{len(failures)} failures", *failures, sep="\n    ")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
