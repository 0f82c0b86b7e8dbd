//! The CUDA backend on the stand-in (`tests/cuda-standin`): libcuda over the emulator.
//!
//! In this process the stand-in watches everything: races, and reads of what nobody wrote. Programs that are started watch
//! addresses only, for speed.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]
#![allow(non_snake_case, reason = "tests are named test_feature__scenario")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod test_cublas;

use foundry_engine::case::TENSOR_CORES;
use foundry_engine::{
    DType, Device, DeviceError, Precision, Spec, Tensor, for_each_param, for_each_param_mut, ops,
    parity,
};
use foundry_kernels::cuda::driver::{VARIABLE, use_library};
use foundry_models::arch::tiny;
use foundry_models::config::Config;
use foundry_models::parity as training;
use foundry_models::pipeline::{Notice, Pipeline, TrainOptions, TrainOutcome, train};
use foundry_models::train::run::Event;
use foundry_models::train::run_folder::Wish;
use foundry_models::train::signals::{StopFlag, StopReason};
use foundry_models::train::trainer::{StepError, Trainer};
use foundry_tests::binary::{PATIENCE, Ran, Workplace, standin, watch};
use std::sync::OnceLock;

/// The stand-in's device, in this process.
fn device() -> Device {
    static LOADED: OnceLock<()> = OnceLock::new();
    LOADED.get_or_init(|| use_library(&standin()).unwrap_or_else(|e| panic!("{e}")));
    let device = Device::cuda(0).unwrap_or_else(|e| panic!("{e}"));
    assert!(device.describe().contains("stand-in"), "{}", device.describe());
    device
}

/// Calls the command with the stand-in for libcuda.
fn foundry(place: &Workplace, call: &str, more: &[(&str, &str)]) -> Ran {
    let mut command = place.command();
    command.args(call.split_whitespace());
    command.env(VARIABLE, standin()).env("FOUNDRY_STANDIN_WATCH", "addresses");
    // An emulator is slow where others want the processor too.
    command.timeout(4 * PATIENCE);
    watch(call, command.envs(more.iter().copied()))
}

/// The bits of every parameter.
fn bits(trainer: &Trainer) -> Vec<u32> {
    let mut all = vec![];
    for_each_param(&*trainer.model, |_, p| {
        all.extend(p.value().to_vec::<f32>().iter().map(|x| x.to_bits()));
    });
    all
}

#[test]
fn test_cuda__every_op_and_its_gradient_are_the_cpus() {
    let device = device();
    for op in ops::ALL {
        let findings = parity::check_op(op, &device, 1);
        device.check().unwrap_or_else(|e| panic!("{}: {e}", op.name));
        assert!(!findings.is_empty(), "{} has cases", op.name);
        for finding in findings {
            assert!(finding.error <= parity::TOLERANCE, "{finding:?}");
        }
    }
}

#[test]
fn test_cuda__what_goes_up_comes_down() {
    let device = device();
    let x = Tensor::from_f32(&device, [2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(x.to_vec::<f32>(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(x.to_device(&Device::cpu()).to_vec::<f32>(), x.to_vec::<f32>());
    let full = |dtype, value| Tensor::full(&device, Spec::new([3], dtype), value).to_vec_f64();
    assert_eq!(full(DType::F32, 0.5), [0.5; 3]);
    assert_eq!(full(DType::F64, 0.1), [0.1; 3]);
    assert_eq!(full(DType::U32, 7.0), [7.0; 3]);
    assert_eq!(full(DType::F32, 0.0), [0.0; 3]);
    assert!(Tensor::from_f32(&device, [0], &[]).to_vec::<f32>().is_empty());
}

/// On a device of its own, so that its error is nobody else's.
#[test]
fn test_cuda__f64_is_refused_by_name_and_nothing_happens_afterwards() {
    device();
    let device = Device::cuda_unshared(0).unwrap_or_else(|e| panic!("{e}"));
    let x = Tensor::from_f64(&device, [2], &[1.0, 2.0]);
    assert_eq!(device.check(), Ok(()));

    let y = x.relu();
    let error = device.check().unwrap_err();

    assert!(matches!(error, DeviceError::Unsupported { op: "relu", .. }), "{error}");
    assert!(error.to_string().contains("relu is not available on CUDA for f64"), "{error}");
    assert!(y.to_vec_f64().iter().all(|y| y.is_nan()), "what did not happen is no number");
    let _ = Tensor::from_f32(&device, [1], &[1.0]).tanh();
    assert_eq!(device.check(), Err(error), "the first error stays");
}

/// Five architectures, twenty steps, twice.
#[test]
fn test_cuda__training_is_the_cpus_in_every_architecture() {
    let ran = foundry(&Workplace::new(), "gpu-selftest --steps 20 --json", &[]).ok();
    let report = ran.json();
    assert_eq!(report["same_bits_twice"], true, "{report:#}");
    let models = report["training"].as_array().unwrap();
    assert_eq!(models.len(), 5);
    for model in models {
        let worst = model["worst_relative_difference"].as_f64().unwrap();
        assert!(worst <= 1e-4, "{model:#}");
        assert_ne!(model["loss_cpu"], serde_json::Value::Null);
    }
    let mixed = report["mixed_precision"].as_array().unwrap();
    assert_eq!(mixed.len(), 2, "bf16 and fp16");
    for precision in mixed {
        assert_eq!(precision["same_bits_twice"], true, "{precision:#}");
        let models = precision["training"].as_array().unwrap();
        assert_eq!(models.len(), 5);
        for model in models {
            let worst = model["worst_relative_difference"].as_f64().unwrap();
            assert!(worst <= 5e-3, "{model:#}");
            assert!(worst > 0.0, "rounding shows: {model:#}");
        }
    }
    assert_eq!(report["ops"].as_array().unwrap().len(), ops::ALL.len());
    assert_eq!(report["ok"], true);
}

/// The host looks twice a step, when the whole step is queued: at what was decided, and at the loss.
#[test]
fn test_cuda__a_step_is_not_waited_for_until_it_ends() {
    let place = Workplace::new();
    let logged = |steps: usize| {
        let (log, call) = (format!("{steps}.log"), format!("gpu-selftest --steps {steps}"));
        let path = place.path(&log);
        let _ = foundry(&place, &call, &[("FOUNDRY_STANDIN_LOG", path.to_str().unwrap())]).ok();
        String::from_utf8(place.read(&log)).unwrap()
    };
    let waits = |log: &str| log.lines().filter(|line| line.ends_with("Synchronize")).count();
    let (architectures, trainings, more) = (5, 2, 2);
    let precisions = 3;
    let (one, three) = (logged(1), logged(3));
    assert_eq!(waits(&three) - waits(&one), 2 * precisions * architectures * trainings * more);
    // In mixed precision what runs is what the tensor cores have kernels for.
    for name in ["bf16", "f16"] {
        for kernel in [
            "gemm_N_nn",
            "gemm_N_nt",
            "gemm_N_tn",
            "attention_N_forward_32",
            "attention_N_q_32",
            "attention_N_kv_32",
        ] {
            let kernel = kernel.replace('N', name);
            assert!(one.lines().any(|line| line == kernel), "{kernel} was not launched");
        }
    }
}

/// Each op, its gradients too, in 16 bits: what is rounded is wrong by that, and nothing else is.
#[test]
fn test_cuda__mixed_precision_rounds_factors_and_nothing_else() {
    for (precision, tolerance) in [(Precision::Bf16, 2e-2), (Precision::Fp16, 3e-3)] {
        let device = device().with_precision(precision).unwrap();
        for op in ops::ALL {
            for case in (op.cases)() {
                let findings = parity::check_case(op.name, &case, &device, 1);
                device.check().unwrap_or_else(|e| panic!("{}: {e}", op.name));
                let worst = findings.iter().map(|f| f.error).fold(0.0, f64::max);
                if case.name == TENSOR_CORES {
                    assert!(worst <= tolerance, "{precision}: {findings:?}");
                    assert!(worst > parity::TOLERANCE, "{precision}: not rounded: {findings:?}");
                } else {
                    assert!(worst <= parity::TOLERANCE, "{precision}: {findings:?}");
                }
            }
        }
    }
}

/// A gradient leaves f16: the step is passed over, the scale falls, and training goes on.
#[test]
fn test_cuda__an_overflow_in_fp16_halves_the_loss_scale() {
    let device = device().with_precision(Precision::Fp16).unwrap();
    let config = &tiny::mixed()[0];
    let mut trainer = training::trainer(config, &device);
    let huge = serde_json::json!({"scale": 16_777_216.0, "good_steps": 7});
    trainer.optimizer.loss_scale = Some(serde_json::from_value(huge).unwrap());
    let before = bits(&trainer);

    let first = trainer.step(1, &[training::mixed_batch(config, 1)]).unwrap();

    assert!(first.overflowed && first.loss.is_finite(), "{first:?}");
    assert_eq!(first.loss_scale, Some(16_777_216.0));
    assert_eq!((trainer.optimizer.updates(), bits(&trainer)), (0, before));
    let mut later = (2..30)
        .map(|update| trainer.step(update, &[training::mixed_batch(config, update)]).unwrap());
    let taken = later.find(|report| !report.overflowed).unwrap();
    let scale = taken.loss_scale.unwrap();
    assert!((65_536.0..16_777_216.0).contains(&scale), "{taken:?}");
    assert!(taken.grad_norm.is_finite() && !taken.overflowed);
    assert_eq!(trainer.optimizer.updates(), 1);
    let state = serde_json::to_value(trainer.optimizer.loss_scale).unwrap();
    assert_eq!(state, serde_json::json!({"scale": scale, "good_steps": 1}));
}

/// Stopped and resumed, a run has the bits of one that was not: the loss scale is part of its state.
#[test]
fn test_cuda__mixed_precision_resumes_bit_by_bit() {
    device();
    let place = Workplace::new();
    for precision in ["bf16", "fp16"] {
        let set: &Set = &[
            ("precision", precision),
            ("model.transformer.embedding_size", "32"),
            ("model.transformer.hidden_size", "32"),
            ("model.transformer.attention_heads", "1"),
        ];
        let (whole, cut) = (format!("{precision}-whole"), format!("{precision}-cut"));
        trained(&place, (&whole, set), "cuda", Wish::Start, None);
        trained(&place, (&cut, set), "cuda", Wish::Start, Some(2));
        trained(&place, (&cut, set), "cuda", Wish::Resume, None);

        let file = |folder: &str, name: &str| place.read(&format!("{folder}/checkpoint-4/{name}"));
        for name in ["model.safetensors", "optimizer.safetensors"] {
            assert_eq!(file(&whole, name), file(&cut, name), "{precision} {name}");
        }
        let state = |folder: &str| -> serde_json::Value {
            serde_json::from_slice(&file(folder, "state.json")).unwrap()
        };
        assert_eq!(state(&whole)["extra"], state(&cut)["extra"]);
        assert_eq!(losses(&place, &whole), losses(&place, &cut));
        let scale = match precision {
            "fp16" => serde_json::json!({"scale": 65_536.0, "good_steps": 4}),
            _ => serde_json::Value::Null,
        };
        assert_eq!(state(&cut)["extra"]["loss_scale"], scale);
        let log = String::from_utf8(place.read(&format!("{cut}/metrics.jsonl"))).unwrap();
        assert_eq!(log.contains("\"loss_scale\":65536.0"), precision == "fp16", "{log}");
    }
}

#[test]
fn test_cuda__mixed_precision_is_refused_where_it_cannot_be() {
    let place = Workplace::new();
    let _ = foundry(&place, "train tiny.yaml --set precision=bf16 --device cpu", &[])
        .ended(2)
        .says(&["precision: bf16 needs CUDA", "mend: precision: fp32"]);
    let old = [("FOUNDRY_STANDIN_CAPABILITY", "7.5")];
    for device in ["cuda", "auto"] {
        let call = format!("train tiny.yaml --set precision=fp16 --device {device}");
        let _ = foundry(&place, &call, &old)
            .ended(4)
            .says(&["precision: fp16 needs compute capability 8.0", "has 7.5"]);
    }
    assert!(!place.path("runs").exists(), "nothing was made");
}

/// Fields of a configuration, and what they are set to.
type Set = [(&'static str, &'static str)];

/// Trains the tiny model of a workplace in this process, and stops after a step if asked to.
fn trained(
    place: &Workplace,
    (folder, more): (&str, &Set),
    device: &str,
    wish: Wish,
    stop_after: Option<u64>,
) {
    let at = |name: &str| place.path(name).display().to_string();
    let text = String::from_utf8(place.read("tiny.yaml")).unwrap();
    let set = [
        ("data.training_corpus", at("corpus.txt")),
        ("training.output_dir", at(folder)),
        ("tokenizer.output_dir", at(&format!("{folder}-tokenizer"))),
        ("device", device.to_owned()),
        ("threads", "1".to_owned()),
        ("logging.dir", at("logs")),
        ("logging.log_metrics_every_n_steps", "1".to_owned()),
    ];
    let more = more.iter().map(|(field, value)| (*field, (*value).to_owned()));
    let set = set.into_iter().chain(more).map(|(field, value)| (field.to_owned(), value));
    let set: Vec<_> = set.collect();
    let config = Config::parse(&text, "tiny.yaml", &set).unwrap_or_else(|e| panic!("{e}"));
    let stop = StopFlag::new();
    let options = TrainOptions::new(wish, "foundry");
    let pipeline = Pipeline { config, cache: place.path("cache") };
    let outcome = train(&pipeline, &options, &stop, &mut |notice| {
        if let Notice::Training(Event::Step { step, .. }) = notice
            && Some(step) == stop_after
        {
            stop.request(StopReason::Terminate);
        }
    });
    let outcome = outcome.unwrap_or_else(|e| panic!("{folder}: {e}"));
    let stopped = matches!(outcome, TrainOutcome::Stopped { .. });
    assert_eq!(stopped, stop_after.is_some(), "{folder}");
}

/// The losses of a run, from its log.
fn losses(place: &Workplace, folder: &str) -> Vec<f64> {
    let log = String::from_utf8(place.read(&format!("{folder}/metrics.jsonl"))).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["loss_nats"].as_f64()).collect()
}

#[test]
fn test_cuda__runs_go_from_device_to_device() {
    device();
    let place = Workplace::new();
    trained(&place, ("cpu", &[]), "cpu", Wish::Start, None);
    let expected = losses(&place, "cpu");
    assert_eq!(expected.len(), 4);
    for (folder, first, then) in
        [("there", "cpu", "cuda"), ("back", "cuda", "cpu"), ("stays", "cuda", "cuda")]
    {
        trained(&place, (folder, &[]), first, Wish::Start, Some(2));
        trained(&place, (folder, &[]), then, Wish::Resume, None);
        near(folder, &losses(&place, folder), &expected);
    }
    trained(&place, ("uninterrupted", &[]), "cuda", Wish::Start, None);
    assert_eq!(losses(&place, "stays"), losses(&place, "uninterrupted"), "the same bits");
}

fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in expected.iter().zip(found) {
        assert!(((a - b) / a).abs() <= 1e-4, "{what}: {found:?}, not {expected:?}");
    }
}

/// What training can do besides: each on both devices, with the same losses.
#[test]
fn test_cuda__every_kind_of_training_is_the_cpus() {
    const KINDS: [(&str, &Set); 3] = [
        (
            "averaged",
            &[
                ("training.ema_decay", "0.9"),
                ("training.gradient_accumulation_steps", "2"),
                ("training.use_gradient_checkpointing", "true"),
            ],
        ),
        ("sgd", &[("training.optimizer", "sgd"), ("training.momentum", "0.9")]),
        (
            "stateful",
            &[
                (
                    "model",
                    "{architecture: lstm, rnn: {embedding_size: 8, hidden_size: 8, num_layers: 1, stateful: true}}",
                ),
                ("training.max_grad_norm", "0.1"),
            ],
        ),
    ];
    device();
    let place = Workplace::new();
    for (kind, set) in KINDS {
        let [cpu, cuda] = ["cpu", "cuda"].map(|device| {
            let folder = format!("{kind}-{device}");
            trained(&place, (&folder, set), device, Wish::Start, None);
            losses(&place, &folder)
        });
        assert_eq!(cpu.len(), 4, "{kind}");
        near(kind, &cuda, &cpu);
    }
}

/// The optimiser passes over the step on the device, before the host knows.
#[test]
fn test_cuda__numbers_that_are_not_finite_change_nothing() {
    let (device, config) = (device(), &tiny::configs()[0]);
    let mut trainer = training::trainer(config, &device);
    let mut poisoned = None;
    for_each_param_mut(&mut *trainer.model, |name, p| {
        if poisoned.is_none() {
            poisoned = Some(name.to_owned());
            let mut values = p.value().to_vec::<f32>();
            values[0] = f32::NAN;
            p.set(&Tensor::from_f32(&device, p.spec().shape, &values));
        }
    });
    let before = bits(&trainer);

    let problem = trainer.step(1, &[training::batch(config, 1)]).unwrap_err();

    let expected = format!("parameter {}", poisoned.unwrap());
    assert!(matches!(&problem, StepError::NonFinite(n) if n.what == expected), "{problem}");
    assert_eq!((trainer.optimizer.updates(), bits(&trainer)), (0, before));
    assert_eq!(device.check(), Ok(()));
}

#[test]
fn test_cuda__the_doctor_names_the_devices_that_the_driver_has() {
    let said = foundry(&Workplace::new(), "doctor", &[]).ok().stdout;
    assert!(said.contains("cuda:0 is") && said.contains("stand-in"), "{said}");
}

#[test]
fn test_cuda__without_a_driver_one_line_says_so() {
    let place = Workplace::new();
    let without = |call: &str| {
        let mut command = place.command();
        command.args(call.split_whitespace());
        // As on a machine without one, whatever this one has.
        watch(call, command.env(VARIABLE, place.path("no-such-libcuda.so")))
    };
    let refused = without("train tiny.yaml --device cuda").ended(4).says(&["no CUDA driver found"]);
    assert_eq!(refused.stdout, "");
    assert!(!place.path("runs").exists(), "nothing was made");
    let _ = without("gpu-selftest").ended(4).says(&["no CUDA driver found"]);
    let _ =
        without("train tiny.yaml --device auto").ok().says(&["device: cpu (no CUDA driver found"]);
}

#[test]
fn test_cuda__a_device_that_is_not_there_is_refused_with_their_number() {
    let place = Workplace::new();
    let _ = foundry(&place, "train tiny.yaml --device cuda:3", &[])
        .ended(4)
        .says(&["no CUDA device 3: the driver has 1"]);
}

#[test]
fn test_cuda__out_of_memory_is_said_and_saves_nothing() {
    let place = Workplace::new();
    let little = [("FOUNDRY_STANDIN_MEMORY", "150000")];
    let _ = foundry(&place, "train tiny.yaml --device cuda", &little)
        .ended(4)
        .says(&["out of memory on", "mend: a smaller batch_size"]);
}

#[test]
fn test_cuda__trains_and_scores_through_the_command() {
    let place = Workplace::new();
    let ran = foundry(&place, "train tiny.yaml --device auto", &[]).ok();
    assert!(ran.stderr.contains("device: cuda:0 (Foundry stand-in"), "{ran:#?}");
    let score = |device: &str| {
        let call = format!("evaluate runs/tiny --perplexity corpus.txt --json --device {device}");
        let report = foundry(&place, &call, &[]).ok().json();
        serde_json::to_string(&report).unwrap()
    };
    let numbers = |text: &str| -> Vec<f64> {
        let words = text.split(|c: char| !(c.is_ascii_digit() || ".e-".contains(c)));
        words.filter_map(|w| w.parse().ok()).collect()
    };
    let (cpu, cuda) = (numbers(&score("cpu")), numbers(&score("cuda")));
    assert_eq!(cpu.len(), cuda.len());
    assert!(cpu.len() > 3, "{cpu:?}");
    for (a, b) in cpu.iter().zip(&cuda) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} and {b}");
    }
    // With the cache of keys and values.
    let written = |device: &str| {
        let call = "generate runs/tiny --prompt the --temperature 0 --max-tokens 8 --device";
        foundry(&place, &format!("{call} {device}"), &[]).ok().stdout
    };
    assert_eq!(written("cuda"), written("cpu"));
}

#[test]
fn test_cuda__info_lists_what_is_there() {
    let place = Workplace::new();
    let text = foundry(&place, "info --ops", &[]).ok().stdout;
    assert!(text.contains("cuda:0 (Foundry stand-in"), "{text}");
    for op in ops::ALL {
        let row = text.lines().find(|l| l.trim_start().starts_with(&format!("{} ", op.name)));
        let precisions =
            if op.is_mixed() { "f32, f64   f32, bf16, fp16" } else { "f32, f64   f32" };
        assert!(row.is_some_and(|row| row.ends_with(precisions)), "{}: {row:?}", op.name);
    }
}
