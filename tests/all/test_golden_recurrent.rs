//! Numbers of torch.nn.LSTM, GRU and RNN, in one direction and both, in the small files of `tests/golden` (made by the
//! script there) and in the larger ones of the data kept beside the project; and a GRU that was really trained.

use foundry_engine::gradcheck::tensor_error;
use foundry_engine::{Ctx, DType, Device, Init, Tensor, for_each_param, for_each_param_mut};
use foundry_models::arch::{GruCell, LstmCell, RnnCell};
use foundry_models::config::RnnConfig;
use foundry_models::config::choices::Nonlinearity;
use foundry_models::nn::{Cell, Recurrent};
use foundry_tests::{Golden, data, golden, tiny};

fn config(inputs: usize, hidden: usize, layers: usize) -> RnnConfig {
    RnnConfig { embedding_size: inputs, hidden_size: hidden, num_layers: layers, ..tiny::rnn(0.0) }
}

fn check_small<C: Cell>(file: &str, config: &RnnConfig) {
    let golden = golden(file);
    check::<C>(&golden, config, DType::F64, 1e-10);
    check::<C>(&golden, config, DType::F32, 1e-5);
}

fn check_large<C: Cell>(file: &str) {
    let Some(path) = data(file) else { return };
    let golden = Golden::read(&path);
    check::<C>(&golden, &config(24, 20, 2), DType::F64, 1e-10);
    check::<C>(&golden, &config(24, 20, 2), DType::F32, 1e-5);
}

/// Outputs, last states and every gradient, from given states.
fn check<C: Cell>(golden: &Golden, config: &RnnConfig, dtype: DType, tolerance: f64) {
    let cpu = Device::cpu();
    let tensor =
        |name: &str| Tensor::from_f64(&cpu, golden.shape(name), golden.get(name)).to_dtype(dtype);
    // h0 is [layers x directions, B, H]: one direction's [B, H].
    let state_of = |name: &str, k: usize| {
        let &[_, b, h] = golden.shape(name) else { panic!("{name} has three axes") };
        let layer = &golden.get(name)[k * b * h..(k + 1) * b * h];
        Tensor::from_f64(&cpu, [b, h], layer).to_dtype(dtype)
    };
    let mut rnn = Recurrent::<C>::new(&Init::new(&cpu, dtype, 0), config);
    let mut known = 0;
    for_each_param_mut(&mut rnn, |name, p| {
        p.set(&tensor(&format!("w.{name}")));
        known += 1;
    });
    let there = golden.names().filter(|name| name.starts_with("w.")).count();
    assert_eq!(known, there, "the file has no other weights");
    let padded = golden.names().any(|name| name == "mask");
    let mask = padded.then(|| {
        let ones = golden.get("mask").iter().map(|x| u32::from(*x != 0.0)).collect::<Vec<_>>();
        Tensor::from_u32(&cpu, golden.shape("mask"), &ones)
    });

    let cx = Ctx::grad();
    let tape = cx.tape().unwrap();
    let x = tape.leaf(&tensor("x"));
    let state: Vec<Vec<Tensor>> = (0..config.num_layers * config.directions())
        .map(|k| C::STATE.iter().map(|s| tape.leaf(&state_of(&format!("{s}0"), k))).collect())
        .collect();
    let (y, last) = rnn.forward(&cx, &x, mask.as_ref(), Some(&state));
    let grads = tape.backward(&[(&y, tensor("dy"))]);

    let floor = 1e-3 * golden.largest_norm("dw.");
    let check = |what: &str, got: &[f64], expected: &[f64], floor: f64| {
        let error = tensor_error(got, expected, floor);
        assert!(error <= tolerance, "{what}: {error:e}");
    };
    let at_tokens = |x: &[f64]| {
        let real = |i: usize| !padded || golden.get("mask")[i] != 0.0;
        let width = config.directions() * config.hidden_size;
        let steps = x.chunks(width).enumerate().filter(|(i, _)| real(*i));
        steps.flat_map(|(_, h)| h.to_vec()).collect::<Vec<f64>>()
    };
    check("y", &at_tokens(&y.to_vec_f64()), &at_tokens(golden.get("y")), 1e-3);
    check("dx", &grads.of(&x).unwrap().to_vec_f64(), golden.get("dx"), floor);
    for (k, (first, last)) in state.iter().zip(&last).enumerate() {
        for (s, (first, last)) in C::STATE.iter().zip(first.iter().zip(last)) {
            let part = |name: String| state_of(&name, k).to_vec_f64();
            let gradient = grads.of(first).unwrap().to_vec_f64();
            check(&format!("d{s}0 of {k}"), &gradient, &part(format!("d{s}0")), floor);
            // torch's last state of a padded row is that of its last token.
            if !padded {
                check(&format!("{s}n of {k}"), &last.to_vec_f64(), &part(format!("{s}n")), 1e-3);
            }
        }
    }
    for_each_param(&rnn, |name, p| {
        let gradient = grads.param(p).unwrap().to_vec_f64();
        check(name, &gradient, golden.get(&format!("dw.{name}")), floor);
    });
}

#[test]
fn test_golden__lstm() {
    check_small::<LstmCell>("lstm.safetensors", &config(5, 6, 2));
    check_large::<LstmCell>("golden/lstm_f64.safetensors");
}

#[test]
fn test_golden__gru() {
    check_small::<GruCell>("gru.safetensors", &config(5, 6, 2));
    check_large::<GruCell>("golden/gru_f64.safetensors");
}

#[test]
fn test_golden__rnn() {
    check_small::<RnnCell>("rnn_tanh.safetensors", &config(5, 6, 2));
    let relu = RnnConfig { nonlinearity: Nonlinearity::Relu, ..config(5, 6, 2) };
    check_small::<RnnCell>("rnn_relu.safetensors", &relu);
    check_large::<RnnCell>("golden/rnn_f64.safetensors");
}

/// Padded rows: torch is given packed sequences.
#[test]
fn test_golden__bidirectional() {
    let both = RnnConfig { bidirectional: true, ..config(5, 6, 2) };
    check_small::<LstmCell>("lstm_bidirectional.safetensors", &both);
    check_small::<GruCell>("gru_bidirectional.safetensors", &both);
    check_small::<RnnCell>("rnn_bidirectional.safetensors", &both);
}

/// A GRU encoder and decoder that turn the letters of a word into its sounds.
#[test]
fn test_golden__a_trained_gru() {
    let Some(folder) = data("trained-gru-g2p") else { return };
    let weights = Golden::read(&folder.join("model.safetensors"));
    let expected = Golden::read(&folder.join("expected_f32.safetensors"));
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let words = json["words"].as_object().unwrap();
    assert!(words.len() >= 16);
    let (begin, end) = (2_u32, 3_u32);

    let cpu = Device::cpu();
    let f32s = |name: &str| {
        Tensor::from_f64(&cpu, weights.shape(name), weights.get(name)).to_dtype(DType::F32)
    };
    let gru = |part: &str| {
        let mut gru =
            Recurrent::<GruCell>::new(&Init::new(&cpu, DType::F32, 0), &config(256, 256, 1));
        for_each_param_mut(&mut gru, |name, p| {
            let short = name.replace("weight", "w").replace("bias", "b").replace("_l0", "");
            p.set(&f32s(&format!("{part}_{short}")));
        });
        gru
    };
    let run = |part: &str, ids: &[u32], state: Option<&Vec<Vec<Tensor>>>| {
        let ids = Tensor::from_u32(&cpu, [1, ids.len()], ids);
        let x = f32s(&format!("{part}_emb")).embedding(&ids);
        gru(part).forward(&Ctx::eval(), &x, None, state)
    };
    for (word, of) in words {
        let ids = |name: &str| -> Vec<u32> {
            let ids = of[name].as_array().unwrap().iter();
            ids.map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
        };
        let (_, state) = run("enc", &ids("graphemes"), None);
        let sounds = ids("ids");
        let (y, _) = run("dec", &[&[begin], &sounds[..]].concat(), Some(&state));
        let layout = foundry_engine::ops::linear::WeightLayout::OutIn;
        let logits = y.linear(&f32s("fc_w"), Some(&f32s("fc_b")), layout).to_vec_f64();

        let state = state[0][0].to_vec_f64();
        let error = tensor_error(&state, expected.get(&format!("{word}.enc_h")), 1e-3);
        assert!(error <= 1e-5, "{word}: state: {error:e}");
        let error = tensor_error(&logits, expected.get(&format!("{word}.logits")), 1e-3);
        assert!(error <= 1e-5, "{word}: logits: {error:e}");
        let best = |row: &[f64]| (0..row.len()).max_by(|&i, &j| row[i].total_cmp(&row[j])).unwrap();
        let chosen: Vec<usize> = logits.chunks(74).map(best).collect();
        let right: Vec<usize> = sounds.iter().chain([&end]).map(|id| *id as usize).collect();
        assert_eq!(chosen, right, "{word}");
    }
}
