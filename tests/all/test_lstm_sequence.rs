//! `lstm_sequence` against values made with torch.nn.LSTM (two layers, f64).

use foundry_engine::gradcheck::tensor_error;
use foundry_engine::ops::lstm::{LstmWeights, lstm_sequence};
use foundry_engine::{DType, Tape, Tensor};
use foundry_tests::{golden, slice};
use std::collections::BTreeMap;

/// Runs both layers in the given precision; every output and gradient, beside the name of its golden value.
fn run(values: &BTreeMap<String, Tensor>, dtype: DType) -> Vec<(String, Vec<f64>, Vec<f64>)> {
    let tape = Tape::new();
    let leaf = |x: &Tensor| tape.leaf(&x.to_dtype(dtype));
    let x = leaf(&values["x"]);
    let mut compare = vec![];
    let mut y = x.clone();
    let mut leaves = vec![("dx".to_owned(), values["dx"].clone(), x)];
    for layer in 0..2 {
        let named = |part: &str| format!("{part}_l{layer}");
        let parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(named);
        let w = parts.each_ref().map(|part| leaf(&values[&format!("w.{part}")]));
        let [h0, c0] = ["h0", "c0"].map(|name| leaf(&slice(&values[name], layer)));
        let weights = LstmWeights { w_ih: &w[0], w_hh: &w[1], b_ih: &w[2], b_hh: &w[3] };
        let out = lstm_sequence(&y, &weights, &h0, &c0);
        y = out.y;
        for (name, found) in [("hn", &out.h_n), ("cn", &out.c_n)] {
            let expected = slice(&values[name], layer).to_vec_f64();
            compare.push((format!("{name} of layer {layer}"), found.to_vec_f64(), expected));
        }
        for (part, w) in parts.iter().zip(w) {
            leaves.push((format!("dw.{part}"), values[&format!("dw.{part}")].clone(), w));
        }
        for (name, state) in [("dh0", h0), ("dc0", c0)] {
            leaves.push((format!("{name} {layer}"), slice(&values[name], layer), state));
        }
    }
    compare.push(("y".to_owned(), y.to_vec_f64(), values["y"].to_vec_f64()));
    let grads = tape.backward(&[(&y, values["dy"].to_dtype(dtype))]);
    for (name, expected, leaf) in leaves {
        let found = grads.of(&leaf).map(Tensor::to_vec_f64).unwrap_or_default();
        compare.push((name, found, expected.to_vec_f64()));
    }
    compare
}

#[test]
fn test_lstm_sequence__torch_golden_values() {
    let Some(values) = golden("golden/lstm_f64.safetensors") else { return };
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
        let compared = run(&values, dtype);
        assert_eq!(compared.len(), 18);
        for (name, found, expected) in compared {
            let error = tensor_error(&found, &expected, 1e-3);
            assert!(error <= tolerance, "{name} in {dtype}: {error:e}");
        }
    }
}
