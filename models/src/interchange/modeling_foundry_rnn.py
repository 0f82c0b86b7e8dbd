"""Foundry's LSTM, GRU and vanilla RNN language models, for `transformers` 4 and 5.

    from transformers import AutoModelForCausalLM           # AutoModelForMaskedLM for bidirectional ones
    model = AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)

token ids -> embedding -> torch.nn.LSTM, GRU or RNN (batch first) -> linear layer, whose weight may be the embedding's.
Padding may stand on either side and changes nothing: the tokens of each row are pushed together before they are read.
"""

from dataclasses import dataclass
from typing import Any, Optional

import torch
import transformers
from torch import nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

# transformers 5 wants to know which weight is tied to which; 4 wants a list of those that are.
TIED = {"lm_head.weight": "embed.weight"} if int(transformers.__version__.split(".")[0]) >= 5 else ["lm_head.weight"]


class FoundryRnnConfig(PretrainedConfig):
    """The shape of the model."""

    model_type = "foundry_rnn"
    attribute_map = {"num_hidden_layers": "num_layers"}

    def __init__(self, rnn_type="lstm", vocab_size=1000, embedding_size=64, hidden_size=64, num_layers=1,
                 bidirectional=False, nonlinearity="tanh", dropout=0.0, embedding_dropout=0.0,
                 tie_word_embeddings=False, **kwargs):
        self.rnn_type = rnn_type
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.nonlinearity = nonlinearity
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
        self.tie_word_embeddings = tie_word_embeddings


@dataclass
class FoundryRnnOutput(ModelOutput):
    """What the model gives: `logits [B, T, V]`, and with `input_ids` a state to go on from: all ids that were read, and
    what torch.nn remembers of them."""

    loss: Optional[torch.FloatTensor] = None
    logits: Optional[torch.FloatTensor] = None
    hidden_states: Optional[tuple] = None
    state: Optional[Any] = None


class FoundryRnnModel(PreTrainedModel):
    """What the causal and the masked model share."""

    config_class = FoundryRnnConfig
    base_model_prefix = ""
    _tied_weights_keys = TIED
    _is_stateful = True

    def __init__(self, config):
        super().__init__(config)
        between = config.dropout if config.num_layers > 1 else 0.0
        shape = dict(input_size=config.embedding_size, hidden_size=config.hidden_size, num_layers=config.num_layers,
                     bidirectional=config.bidirectional, dropout=between, batch_first=True)
        self.embed = nn.Embedding(config.vocab_size, config.embedding_size)
        if config.rnn_type == "rnn":
            self.rnn = nn.RNN(nonlinearity=config.nonlinearity, **shape)
        else:
            self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU}[config.rnn_type](**shape)
        self.lm_head = nn.Linear((2 if config.bidirectional else 1) * config.hidden_size, config.vocab_size)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.output_dropout = nn.Dropout(config.dropout)
        self.post_init()

    def _init_weights(self, module):
        bound = self.config.hidden_size**-0.5
        for parameter in module.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    def get_input_embeddings(self):
        return self.embed

    def set_input_embeddings(self, value):
        self.embed = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def read(self, x, mask, state):
        """`[B, T, E]` to `[B, T, D]` and torch's state, as if the positions where `mask` is 0 were not there."""
        if mask is None or bool(mask.all()):
            return self.rnn(x, state)
        real = mask.to(torch.bool)
        # Real positions first, each group in its order.
        order = torch.argsort((~real).to(torch.int8), dim=1, stable=True).unsqueeze(-1)
        lengths = real.sum(dim=1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            x.gather(1, order.expand_as(x)), lengths, batch_first=True, enforce_sorted=False)
        y, state = self.rnn(packed, state)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
        return torch.zeros_like(y).scatter(1, order.expand_as(y), y), state

    def forward(self, input_ids=None, attention_mask=None, labels=None, state=None, inputs_embeds=None,
                output_hidden_states=None, return_dict=None, **kwargs):
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        seen, memory = state or (None, None)
        y, memory = self.read(self.embedding_dropout(x), attention_mask, memory)
        state = None
        if input_ids is not None:
            state = (input_ids if seen is None else torch.cat([seen, input_ids], dim=1), memory)
        logits = self.lm_head(self.output_dropout(y))
        loss = None
        if labels is not None:
            scores, targets = self.predicted(logits, labels)
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=-100)
        hidden = (x, y) if output_hidden_states else None
        output = FoundryRnnOutput(loss=loss, logits=logits, hidden_states=hidden, state=state)
        return output.to_tuple() if return_dict is False else output


class FoundryRnnForCausalLM(FoundryRnnModel, GenerationMixin):
    """Reads from left to right, and predicts the next token."""

    def predicted(self, logits, labels):
        return logits[:, :-1], labels[:, 1:]

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, state=None, **kwargs):
        # Beams change places; a state is taken up only if it is that of these very tokens.
        if state is not None and torch.equal(state[0], input_ids[:, :-1]):
            return {"input_ids": input_ids[:, -1:], "state": state}
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, *args, **kwargs):
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        model_kwargs["state"] = outputs.state
        return model_kwargs


class FoundryRnnForMaskedLM(FoundryRnnModel):
    """Reads from both ends, and fills gaps."""

    def predicted(self, logits, labels):
        return logits, labels
