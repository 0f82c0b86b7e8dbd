//! A recurrent model of torch from its weights alone.
//!
//! `torch.nn.LSTM`, `GRU` and `RNN` name their tensors `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` ... whatever the
//! model around them is called. Their shapes say the rest:
//!
//! ```text
//! weight_ih_l{k}  [G H, in]      G = 4 LSTM, 3 GRU, 1 RNN; in = E for k = 0, and what layer k - 1 gives for k > 0
//! weight_hh_l{k}  [G H, H]
//! ..._reverse     the second direction
//! ```
//!
//! Around them stand an embedding `[V, E]` and a linear layer `[V, D]` with or without a bias; one matrix alone is both.

use super::InterchangeError;
use super::description::Description;
use super::weights::Renamed;
use crate::arch::Size;
use crate::config::choices::Nonlinearity;
use crate::config::{ModelConfig, RnnConfig};
use crate::tensors::TensorFile;

const FIRST: &str = "weight_ih_l0";

/// The model of a file without a `config.json`, where its tensors are, and what is to be told.
pub(super) fn describe(
    file: &TensorFile,
    name: &str,
) -> Result<(Description, Renamed, Vec<String>), InterchangeError> {
    let wrong = |problem: String| InterchangeError::File { file: name.to_owned(), problem };
    let names: Vec<&str> = file.tensors().map(|(name, ..)| name).collect();
    let prefixes: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(FIRST)).collect();
    let [prefix] = prefixes[..] else {
        let found = match prefixes.len() {
            0 => "there is none".to_owned(),
            n => format!("there are {n}: {}", prefixes.join(", ")),
        };
        return Err(wrong(format!(
            "there is no config.json, and a torch model without one needs one recurrent network, whose tensors end in \
             {FIRST} and so on; {found}"
        )));
    };
    let matrix = |tensor: &str| match file.shape(tensor) {
        Some([rows, columns]) if *rows > 0 && *columns > 0 => Ok((*rows, *columns)),
        Some(shape) => Err(InterchangeError::Tensor {
            file: name.to_owned(),
            name: tensor.to_owned(),
            problem: format!("has shape {shape:?}; expected a matrix"),
        }),
        None => Err(wrong(format!("it has no tensor '{tensor}'"))),
    };
    let (rows, embedding_size) = matrix(&format!("{prefix}{FIRST}"))?;
    let recurrent = format!("{prefix}weight_hh_l0");
    let (_, hidden_size) = matrix(&recurrent)?;
    if let Some(projected) = names.iter().find(|n| n.contains("weight_hr_l")) {
        return Err(InterchangeError::Tensor {
            file: name.to_owned(),
            name: (*projected).to_owned(),
            problem: "belongs to an LSTM with proj_size, which Foundry does not have".into(),
        });
    }
    let bidirectional = names.contains(&&*format!("{prefix}{FIRST}_reverse"));
    let num_layers =
        (0..).take_while(|k| names.contains(&&*format!("{prefix}weight_ih_l{k}"))).count();
    let width = hidden_size * (1 + usize::from(bidirectional));

    let outside: Vec<&str> = names.iter().copied().filter(|n| !is_recurrent(n, prefix)).collect();
    let (embedding, head, bias) = around(file, &outside, embedding_size).map_err(wrong)?;
    let (vocab, _) = matrix(embedding)?;
    let tie_weights = head.is_none();
    if tie_weights && embedding_size != width {
        return Err(wrong(format!(
            "'{embedding}' would be embedding and output layer in one, which needs {width} columns; it has \
             {embedding_size}"
        )));
    }

    let mut notes = Vec::new();
    let shape = RnnConfig {
        embedding_size,
        hidden_size,
        num_layers,
        bidirectional,
        dropout: 0.0,
        embedding_dropout: 0.0,
        nonlinearity: Nonlinearity::Tanh,
        tie_weights,
        stateful: false,
        forget_bias: 0.0,
        init_uniform: None,
    };
    let model = match rows.checked_div(hidden_size).filter(|g| g * hidden_size == rows) {
        Some(4) => ModelConfig::Lstm(shape),
        Some(3) => ModelConfig::Gru(shape),
        Some(1) => {
            notes.push(format!("{name}: taken as an RNN with tanh; for relu write a config.json"));
            ModelConfig::Rnn(shape)
        }
        _ => {
            return Err(InterchangeError::Tensor {
                file: name.to_owned(),
                name: recurrent,
                problem: format!(
                    "has {hidden_size} columns, '{prefix}{FIRST}' {rows} rows; expected 4 (LSTM), 3 (GRU) or 1 (RNN) \
                     times as many"
                ),
            });
        }
    };
    let mut renamed = Renamed::from([("embed.weight".to_owned(), Some(embedding.to_owned()))]);
    if let Some(head) = head {
        renamed.insert("lm_head.weight".into(), Some(head.to_owned()));
    }
    if bias.is_none() {
        notes.push(format!("{name}: the output layer has no bias; it is 0"));
    }
    renamed.insert("lm_head.bias".into(), bias.map(str::to_owned));
    for tensor in names.iter().filter(|n| is_recurrent(n, prefix)) {
        let own = &tensor[prefix.len()..];
        renamed.insert(format!("rnn.{own}"), Some((*tensor).to_owned()));
    }
    let description =
        Description { model, size: Size { vocab, positions: 0 }, bos: None, eos: None, pad: None };
    Ok((description, renamed, notes))
}

/// The names of the embedding, of the output layer unless it is the embedding, and of its bias if it has one.
type Around<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Which of the tensors `outside` of the recurrent network is which.
fn around<'a>(
    file: &TensorFile,
    outside: &[&'a str],
    embedding_size: usize,
) -> Result<Around<'a>, String> {
    let of_rank = |rank: usize| -> Vec<&'a str> {
        outside.iter().copied().filter(|n| file.shape(n).is_some_and(|s| s.len() == rank)).collect()
    };
    let matrices = of_rank(2);
    let (embedding, head) = match matrices[..] {
        [one] => (one, None),
        [a, b] => match (is_embedding(a), is_embedding(b)) {
            (true, false) => (a, Some(b)),
            (false, true) => (b, Some(a)),
            _ => {
                let fits = |n: &str| file.shape(n).is_some_and(|s| s[1] == embedding_size);
                match (fits(a), fits(b)) {
                    (true, false) => (a, Some(b)),
                    (false, true) => (b, Some(a)),
                    _ => {
                        return Err(format!(
                            "'{a}' and '{b}' could both be the embedding; name it 'embed.weight' and the output layer \
                             'lm_head.weight'"
                        ));
                    }
                }
            }
        },
        _ => {
            return Err(format!(
                "expected an embedding and an output layer (or one matrix that is both) beside the recurrent tensors; \
                 found {}",
                if outside.is_empty() { "nothing".to_owned() } else { outside.join(", ") }
            ));
        }
    };
    Ok((embedding, head, of_rank(1).first().copied()))
}

fn is_recurrent(name: &str, prefix: &str) -> bool {
    let kinds = ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"];
    name.strip_prefix(prefix).is_some_and(|own| kinds.iter().any(|kind| own.starts_with(kind)))
}

fn is_embedding(name: &str) -> bool {
    ["emb", "encoder", "wte", "lookup"].iter().any(|part| name.to_lowercase().contains(part))
}
