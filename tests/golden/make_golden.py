"""Makes the golden files of this folder: what torch and transformers compute on small inputs, in f64.

    pip install torch transformers safetensors
    python tests/golden/make_golden.py

The tests read these files and need no Python. Values that are given to both sides (weights, inputs, cotangents) are
random numbers that f32 holds exactly, and are stored as f32; what torch computes from them is stored as f64.
`torch` and `transformers` stand in each file's metadata with the versions that made it.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent
IGNORE = -100


def random(*shape, scale=1.0, shift=0.0):
    """Normal numbers that f32 holds exactly, as f64."""
    return (shift + scale * torch.randn(*shape)).to(torch.float32).to(torch.float64)


def given(x):
    """Stored as f32 (exactly) or as int64."""
    x = x.detach()
    return x.contiguous() if x.dtype == torch.int64 else x.to(torch.float32).contiguous()


def save(name, tensors):
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    save_file(tensors, HERE / f"{name}.safetensors", metadata=versions)
    size = (HERE / f"{name}.safetensors").stat().st_size
    print(f"{name}: {len(tensors)} tensors, {size} bytes")


def gpt2(name, activation, tied):
    """GPT2LMHeadModel on three rows of which two are padded and some labels ignored: logits, loss, every gradient."""
    config = transformers.GPT2Config(
        vocab_size=23, n_positions=8, n_embd=12, n_layer=2, n_head=3, n_inner=32,
        activation_function=activation, tie_word_embeddings=tied,
        resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0, use_cache=False,
        attn_implementation="eager", bos_token_id=0, eos_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for param_name, p in model.named_parameters():
            gain = ".ln_" in param_name and param_name.endswith("weight")
            p.copy_(random(*p.shape, scale=0.3, shift=1.0 if gain else 0.0))

    ids = torch.randint(0, 23, (3, 7))
    mask = (torch.arange(7) < torch.tensor([[7], [5], [2]])).long()
    labels = ids.masked_fill(mask == 0, IGNORE)
    labels[0, 3] = IGNORE
    labels[1, 1] = IGNORE
    logits = model(input_ids=ids, attention_mask=mask).logits
    # The model's own loss goes through f32.
    loss = F.cross_entropy(logits[:, :-1].reshape(-1, 23), labels[:, 1:].reshape(-1), ignore_index=IGNORE)
    loss.backward()

    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels, "logits": logits, "loss": loss}
    for param_name, p in model.named_parameters():
        tensors[f"w.{param_name}"] = given(p)
        tensors[f"grad.{param_name}"] = p.grad
    save(name, tensors)


def bert(name, activation, tied):
    """BertForMaskedLM on three rows of which two are padded, in two segments: logits, loss, every gradient."""
    config = transformers.BertConfig(
        vocab_size=23, max_position_embeddings=8, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=32, type_vocab_size=2, hidden_act=activation, tie_word_embeddings=tied,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager",
        pad_token_id=None,  # or torch would drop the gradient of that word
    )
    model = transformers.BertForMaskedLM(config).double().eval()
    with torch.no_grad():
        for param_name, p in model.named_parameters():
            gain = "LayerNorm" in param_name and param_name.endswith("weight")
            p.copy_(random(*p.shape, scale=0.3, shift=1.0 if gain else 0.0))

    ids = torch.randint(0, 23, (3, 7))
    mask = (torch.arange(7) < torch.tensor([[7], [5], [2]])).long()
    segments = (torch.arange(7) >= torch.tensor([[4], [2], [1]])).long()
    labels = torch.full((3, 7), IGNORE)
    for row, place, word in [(0, 0, 5), (0, 3, 22), (0, 6, 0), (1, 4, 9), (2, 1, 1)]:
        labels[row, place] = word
    logits = model(input_ids=ids, attention_mask=mask, token_type_ids=segments).logits
    # The model's own loss goes through f32.
    loss = F.cross_entropy(logits.reshape(-1, 23), labels.reshape(-1), ignore_index=IGNORE)
    loss.backward()

    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments, "labels": labels}
    tensors |= {"logits": logits, "loss": loss}
    for param_name, p in model.named_parameters():
        if p.grad is None:  # untied, a second bias that nothing reads
            continue
        tensors[f"w.{param_name}"] = given(p)
        tensors[f"grad.{param_name}"] = p.grad
    save(name, tensors)


def recurrent(name, kind, lengths=None, **options):
    """A layer of torch.nn, twice, from a given state; with lengths, on rows that are padded (and packed)."""
    rnn = kind(5, 6, num_layers=2, batch_first=True, **options).double()
    with torch.no_grad():
        for p in rnn.parameters():
            p.copy_(random(*p.shape, scale=0.5))
    states = ["h", "c"] if kind is torch.nn.LSTM else ["h"]
    layers = 4 if rnn.bidirectional else 2
    x, *first = random(3, 4, 5), *(random(layers, 3, 6) for _ in states)
    for t in (x, *first):
        t.requires_grad_()
    tensors = {"x": given(x)} | {f"{s}0": given(t) for s, t in zip(states, first)}
    rows = x
    if lengths:
        rows = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    y, last = rnn(rows, tuple(first) if len(states) > 1 else first[0])
    if lengths:
        y, _ = pad_packed_sequence(y, batch_first=True)
    dy = random(*y.shape)
    if lengths:
        mask = (torch.arange(4) < torch.tensor(lengths)[:, None]).long()
        dy *= mask[:, :, None]
        tensors |= {"mask": mask}
    y.backward(dy)
    tensors |= {"dy": given(dy), "y": y, "dx": x.grad}
    for s, t in zip(states, first):
        tensors[f"d{s}0"] = t.grad
    if not lengths:
        tensors |= {f"{s}n": t for s, t in zip(states, last if len(states) > 1 else [last])}
    for param_name, p in rnn.named_parameters():
        tensors[f"w.{param_name}"] = given(p)
        tensors[f"dw.{param_name}"] = p.grad
    save(name, tensors)


def adamw():
    """torch.optim.AdamW for twelve updates with a linear rate: warm-up 3, peak 0.03."""
    p = random(3, 4).requires_grad_()
    p0 = given(p)
    optimizer = torch.optim.AdamW([p], lr=0.03, betas=(0.85, 0.95), eps=1e-6, weight_decay=0.25)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 3, 12)
    rates, grads, params = [], [], []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        p.grad = random(3, 4)
        grads.append(given(p.grad))
        optimizer.step()
        params.append(p.detach().clone())
        schedule.step()
    rates = torch.tensor(rates, dtype=torch.float64)
    save("adamw", {"lr": rates, "p0": p0, "grads": torch.stack(grads), "params": torch.stack(params)})


def cross_entropy():
    """One loss a row, with ignored rows, without and with label smoothing."""
    targets = torch.tensor([3, IGNORE, 0, 8, 8, IGNORE, 5])
    given_logits, dy = random(7, 9, scale=2.0), random(7)
    tensors = {"logits": given(given_logits), "targets": targets, "dy": given(dy)}
    for name, smoothing in [("plain", 0.0), ("smoothed", 0.1)]:
        logits = given_logits.clone().requires_grad_()
        y = F.cross_entropy(logits, targets, ignore_index=IGNORE, label_smoothing=smoothing, reduction="none")
        y.backward(dy)
        tensors |= {f"{name}.y": y, f"{name}.dlogits": logits.grad}
    save("cross_entropy", tensors)


def attention():
    """Two heads over three rows, two of them padded; every query and the queries up to their own position."""
    given_qkv = [random(3, 5, 8) for _ in range(3)]
    mask = (torch.arange(5) < torch.tensor([[5], [3], [1]])).long()
    dy = random(3, 5, 8)
    tensors = dict(zip("qkv", map(given, given_qkv))) | {"mask": mask, "dy": given(dy)}
    for name, causal in [("full", False), ("causal", True)]:
        qkv = [x.clone().requires_grad_() for x in given_qkv]
        q, k, v = (x.reshape(3, 5, 2, 4).transpose(1, 2) for x in qkv)
        visible = mask.bool()[:, None, None, :].expand(3, 1, 5, 5)
        if causal:
            visible = visible & torch.ones(5, 5, dtype=torch.bool).tril()
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible).transpose(1, 2).reshape(3, 5, 8)
        y.backward(dy)
        tensors |= {f"{name}.y": y} | {f"{name}.d{n}": x.grad for n, x in zip("qkv", qkv)}
    save("attention", tensors)


if __name__ == "__main__":
    makers = [
        lambda: gpt2("gpt2_tied_gelu_new", "gelu_new", True),
        lambda: gpt2("gpt2_untied_gelu", "gelu", False),
        lambda: bert("bert_tied_gelu", "gelu", True),
        lambda: bert("bert_untied_relu", "relu", False),
        lambda: recurrent("lstm", torch.nn.LSTM),
        lambda: recurrent("gru", torch.nn.GRU),
        lambda: recurrent("rnn_tanh", torch.nn.RNN),
        lambda: recurrent("rnn_relu", torch.nn.RNN, nonlinearity="relu"),
        lambda: recurrent("lstm_bidirectional", torch.nn.LSTM, [4, 2, 1], bidirectional=True),
        lambda: recurrent("gru_bidirectional", torch.nn.GRU, [2, 4, 1], bidirectional=True),
        lambda: recurrent("rnn_bidirectional", torch.nn.RNN, [1, 3, 4], bidirectional=True),
        adamw, cross_entropy, attention,
    ]
    for make in makers:
        torch.manual_seed(42)
        make()
