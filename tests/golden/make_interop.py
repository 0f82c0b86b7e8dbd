"""Makes tests/golden/interop: small models as transformers and torch write them, in forms that have gone wrong somewhere.

    python3 -m venv venv && venv/bin/pip install torch transformers safetensors
    cargo build -p foundry
    venv/bin/python tests/interop/roundtrip.py work                 # makes work/gpt2_character_hf
    venv/bin/python tests/golden/make_interop.py work/gpt2_character_hf

Each folder has what was saved and expected.json: ids, the log-probability of each of them but the first given those
before (masked models: given all others), in nats, and for causal models a greedy continuation. They share one tokenizer.
names.json has the names and shapes that transformers itself gives models of one size.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

OUT = pathlib.Path(__file__).parent / "interop"
# That of the character tokenizer; its last token stands in for a mask.
VOCAB = 44
IDS = [[1, 9, 5, 12, 7, 20, 9, 9, 4], [1, 21, 6], [1, 8]]


def shaken(net):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net.eval()


def expected(folder, net, masked, mask):
    out = []
    for ids in IDS:
        with torch.no_grad():
            if masked:
                rows = [[mask if i == p else t for i, t in enumerate(ids)] for p in range(1, len(ids))]
                logits = [net(torch.tensor([row]))[0, p] for p, row in enumerate(rows, start=1)]
            else:
                logits = net(torch.tensor([ids]))[0, :-1]
            nats = [scores.double().log_softmax(-1)[token].item() for scores, token in zip(logits, ids[1:])]
        out.append({"ids": ids, "logprobs_nats": nats})
    greedy = None
    if not masked:
        greedy = list(IDS[1])
        for _ in range(8):
            with torch.no_grad():
                greedy.append(int(net(torch.tensor([greedy]))[0, -1].argmax()))
    (folder / "expected.json").write_text(json.dumps({"texts": out, "greedy": greedy, "mask": mask}, indent=1) + "\n")


def folder_of(name):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def gpt2(name, dtype=torch.float32, old=False, **options):
    config = transformers.GPT2Config(vocab_size=VOCAB, n_positions=19, n_embd=12, n_layer=2, n_head=3, bos_token_id=1,
                                     eos_token_id=1, pad_token_id=3, **options)
    net = shaken(transformers.GPT2LMHeadModel(config)).to(dtype)
    folder = folder_of(name)
    net.save_pretrained(folder)
    if old:
        # As in 2019: no prefix, and the causal mask among the tensors.
        tensors = {k.removeprefix("transformer."): v for k, v in load_file(folder / "model.safetensors").items()}
        for i in range(2):
            tensors[f"h.{i}.attn.bias"] = torch.ones(19, 19).tril().view(1, 1, 19, 19)
            tensors[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        save_file(tensors, folder / "model.safetensors")
    net = net.float()
    expected(folder, lambda ids: net(ids).logits, False, None)


def bert(name, old=False, **options):
    config = transformers.BertConfig(vocab_size=VOCAB, max_position_embeddings=17, hidden_size=12, num_hidden_layers=2,
                                     num_attention_heads=2, intermediate_size=21, pad_token_id=3, **options)
    kind = transformers.BertForPreTraining if old else transformers.BertForMaskedLM
    net = shaken(kind(config))
    folder = folder_of(name)
    net.save_pretrained(folder)
    if old:
        rename = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        tensors = load_file(folder / "model.safetensors")
        for new, old_name in rename.items():
            tensors = {k.replace(new, old_name): v for k, v in tensors.items()}
        tensors["bert.embeddings.position_ids"] = torch.arange(17).view(1, 17)
        # The output layer a second time, though tied.
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
        save_file(tensors, folder / "model.safetensors")
    logits = (lambda ids: net(ids).prediction_logits) if old else (lambda ids: net(ids).logits)
    expected(folder, logits, True, VOCAB - 1)


class Recurrent(torch.nn.Module):
    """As in PyTorch's word_language_model, which much published work began with."""

    def __init__(self, kind, both=False, bias=True):
        super().__init__()
        self.encoder = torch.nn.Embedding(VOCAB, 6)
        self.rnn = kind(6, 7, num_layers=2, bidirectional=both)
        self.decoder = torch.nn.Linear(14 if both else 7, VOCAB, bias=bias)

    def forward(self, ids):
        return self.decoder(self.rnn(self.encoder(ids).transpose(0, 1))[0]).transpose(0, 1)


def recurrent(name, kind, **options):
    net = shaken(Recurrent(kind, **options))
    folder = folder_of(name)
    save_file(net.state_dict(), folder / "model.safetensors")
    expected(folder, net, options.get("both", False), VOCAB - 1)


def names():
    """What transformers calls the tensors of models of one size, tied and untied."""
    out = {}
    for tied in (True, False):
        kind = "tied" if tied else "untied"
        gpt2 = transformers.GPT2Config(vocab_size=17, n_positions=16, n_embd=16, n_layer=1, n_head=2, n_inner=64,
                                       tie_word_embeddings=tied)
        bert = transformers.BertConfig(vocab_size=18, max_position_embeddings=16, hidden_size=16, num_hidden_layers=1,
                                       num_attention_heads=2, intermediate_size=64, tie_word_embeddings=tied)
        for name, net in ((f"gpt2_{kind}", transformers.GPT2LMHeadModel(gpt2)),
                          (f"bert_{kind}", transformers.BertForMaskedLM(bert))):
            folder = folder_of("scratch")
            net.save_pretrained(folder)
            out[name] = {k: list(v.shape) for k, v in sorted(load_file(folder / "model.safetensors").items())}
            shutil.rmtree(folder)
    (OUT / "names.json").write_text(json.dumps(out, indent=1) + "\n")


def main():
    torch.manual_seed(5)
    tokenizer = pathlib.Path(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    gpt2("gpt2", activation_function="gelu_new")
    gpt2("gpt2_untied_relu", activation_function="relu", tie_word_embeddings=False, n_inner=25)
    gpt2("gpt2_old_f16", dtype=torch.float16, old=True, activation_function="gelu")
    bert("bert", hidden_act="gelu")
    bert("bert_untied_relu", hidden_act="relu", tie_word_embeddings=False)
    bert("bert_old", old=True)
    recurrent("torch_lstm", torch.nn.LSTM)
    recurrent("torch_lstm_no_bias", torch.nn.LSTM, bias=False)
    recurrent("torch_gru_both", torch.nn.GRU, both=True)
    recurrent("torch_rnn", torch.nn.RNN)
    names()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / file, OUT)


if __name__ == "__main__":
    main()
