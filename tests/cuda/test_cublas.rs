//! cuBLAS on the stand-in, which serves it under the name libcublas.so: who multiplies, and what comes of it.

use crate::foundry;
use foundry_engine::{Device, parity};
use foundry_kernels::cpu::gemm::{Epilogue, Mat, MatMut, gemm as on_cpu};
use foundry_kernels::cuda::blas::Product;
use foundry_kernels::cuda::cublas::{Cublas, VARIABLE};
use foundry_kernels::cuda::driver::{self, Allocation, Gpu};
use foundry_kernels::cuda::gemm::{Matrix, gemm};
use foundry_kernels::cuda::launch::{Call, NULL, Pointer};
use foundry_kernels::cuda::tensor_cores::{Half, Mixed};
use foundry_tests::binary::{PATIENCE, Ran, Workplace, standin, watch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every name by which libcublas is looked for on Linux.
const NAMES: [&str; 5] =
    ["libcublas.so", "libcublas.so.12", "libcublas.so.11", "libcublas.so.10", "libcublas.so.1"];

/// A folder for the loader to look in first, with the stand-in under these names.
fn libraries(place: &Workplace, names: &[&str]) -> PathBuf {
    let folder = place.path("libraries");
    std::fs::create_dir_all(&folder).unwrap();
    for name in names {
        std::os::unix::fs::symlink(standin(), folder.join(name)).unwrap();
    }
    folder
}

/// The same with no cuBLAS, whatever this machine has: files of these names that are no libraries.
fn without_cublas(place: &Workplace, names: &[&str]) -> PathBuf {
    let folder = libraries(place, names);
    NAMES.iter().for_each(|name| std::fs::write(folder.join(name), "no library").unwrap());
    folder
}

/// Calls the command with the stand-in for libcuda, and a folder where the loader looks first.
fn beside(place: &Workplace, folder: &Path, call: &str, more: &[(&str, &str)]) -> Ran {
    let folder = [("LD_LIBRARY_PATH", folder.to_str().unwrap())];
    foundry(place, call, &[&folder[..], more].concat())
}

/// Calls the command with the stand-in for both libraries.
fn with_cublas(place: &Workplace, call: &str, more: &[(&str, &str)]) -> Ran {
    let folder = place.path("libraries");
    let folder = if folder.exists() { folder } else { libraries(place, &["libcublas.so"]) };
    beside(place, &folder, call, &[&[(VARIABLE, "cublas")], more].concat())
}

/// Runs a test of this file again, alone in a process that has cuBLAS; whether this is that process.
fn has_cublas(test: &str) -> bool {
    const PART: &str = "FOUNDRY_TEST_PART";
    if std::env::var_os(PART).is_some() {
        return true;
    }
    let place = Workplace::empty();
    let mut again = assert_cmd::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("test_cublas::{test}"), "--nocapture"]);
    again.env("LD_LIBRARY_PATH", libraries(&place, &["libcublas.so"]));
    again.env(driver::VARIABLE, standin()).env(VARIABLE, "cublas").env(PART, test);
    let ran = watch_test(again.timeout(2 * PATIENCE));
    assert!(ran.contains("1 passed"), "{test}: {ran}");
    false
}

fn watch_test(command: &mut assert_cmd::Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Numbers between -1 and 1.
fn numbers(n: u32, seed: u32) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect()
}

fn upload(gpu: &Arc<Gpu>, x: &[f32]) -> Allocation {
    let memory = gpu.alloc(4 * x.len()).unwrap();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    gpu.upload(&bytes, memory.at()).unwrap();
    memory
}

fn download(gpu: &Gpu, from: Pointer, n: usize) -> Vec<f32> {
    let mut bytes = vec![0; 4 * n];
    gpu.download(from, &mut bytes).unwrap();
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|w| f32::from_le_bytes(*w)).collect()
}

/// The largest difference of two arrays.
fn distance(x: &[f32], y: &[f32]) -> f32 {
    assert_eq!(x.len(), y.len());
    let worst = |m: f32, d: f32| if d.is_nan() { f32::INFINITY } else { m.max(d) };
    x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, worst)
}

/// A product by the CPU, by our kernel and by cuBLAS, then the same in 16 bits by our kernel and by cuBLAS.
fn compare(
    (gpu, cublas): (&Arc<Gpu>, &Cublas),
    [batch, m, n, k]: [u32; 4],
    [a_t, b_t]: [bool; 2],
    (alpha, beta): (f32, f32),
    biased: bool,
) {
    let what = format!("[{batch}, {m}, {n}, {k}] {a_t} {b_t} {alpha} {beta} {biased}");
    let (a, b) = (numbers(batch * m * k, 1), numbers(batch * k * n, 2));
    let (c, bias) = (numbers(batch * m * n, 3), numbers(n, 4));
    let mut expected = c.clone();
    let [m_, n_, k_] = [m, n, k].map(|n| n as usize);
    for i in 0..batch as usize {
        let (a, b) = (&a[i * m_ * k_..][..m_ * k_], &b[i * k_ * n_..][..k_ * n_]);
        let a = if a_t { Mat::new(a, k_, m_).t() } else { Mat::new(a, m_, k_) };
        let b = if b_t { Mat::new(b, n_, k_).t() } else { Mat::new(b, k_, n_) };
        let c = MatMut::new(&mut expected[i * m_ * n_..][..m_ * n_], m_, n_);
        let bias = if biased { Epilogue::Bias(&bias) } else { Epilogue::None };
        on_cpu(alpha, a, b, beta, c, bias);
    }
    let [a, b, bias] = [&a, &b, &bias].map(|x| upload(gpu, x));
    let matrix = |x: &Allocation, rows, columns, transposed| {
        if transposed {
            Matrix::new(x.at(), columns, rows).t()
        } else {
            Matrix::new(x.at(), rows, columns)
        }
    };
    // With beta = 0 C is memory that nobody wrote, which may not be read.
    let fresh = |gpu: &Arc<Gpu>| match beta {
        0.0 => gpu.alloc(4 * c.len()).unwrap(),
        _ => upload(gpu, &c),
    };
    let call = |to: &Allocation| {
        let (a, b) = (matrix(&a, m, k, a_t), matrix(&b, k, n, b_t));
        let bias = if biased { bias.at() } else { NULL };
        gemm((alpha, beta), a, b, bias, Matrix::new(to.at(), m, n), [batch, m, n, k])
    };
    let by_cublas = |call: &Call| {
        let product = call.product.as_ref().and_then(Product::of);
        assert_eq!(product.is_some(), !(biased && beta != 0.0), "{what}");
        product.is_some_and(|product| cublas.launch(&product).map(|()| true).unwrap())
    };
    let ours = fresh(gpu);
    gpu.launch(&call(&ours)).unwrap();
    let ours = download(gpu, ours.at(), c.len());
    let tolerance = 1e-6 * (k as f32 + 1.0);
    assert!(distance(&ours, &expected) <= tolerance, "{what}: ours");
    let theirs = fresh(gpu);
    if by_cublas(&call(&theirs)) {
        let theirs = download(gpu, theirs.at(), c.len());
        assert!(distance(&theirs, &expected) <= tolerance, "{what}: cuBLAS");
    }
    for half in [Half::Bf16, Half::F16] {
        let (ours, theirs) = (fresh(gpu), fresh(gpu));
        let product = call(&ours).product.unwrap();
        let Some(mixed) = Mixed::of(&product, half) else { continue };
        let room = mixed.room().map(|bytes| gpu.alloc(bytes).unwrap());
        let at = room.each_ref().map(Allocation::at);
        mixed.calls(at).iter().for_each(|call| gpu.launch(call).unwrap());
        let mixed = Mixed::of(&call(&theirs).product.unwrap(), half).unwrap();
        let [.., multiply] = mixed.calls(at);
        if by_cublas(&multiply) {
            let [ours, theirs] = [ours, theirs].map(|c_| download(gpu, c_.at(), c.len()));
            assert!(distance(&ours, &theirs) <= tolerance, "{what}: {half:?}");
            assert!(distance(&theirs, &expected) > tolerance, "{what}: {half:?} is rounded");
        }
    }
}

#[test]
fn test_cublas__multiplies_as_our_kernels_and_the_cpu_do() {
    if !has_cublas("test_cublas__multiplies_as_our_kernels_and_the_cpu_do") {
        return;
    }
    let gpu = Gpu::open(0).unwrap();
    let (choice, cublas) = Cublas::open(&gpu).unwrap();
    assert_eq!(choice.explain(), "cuBLAS 12.9.0");
    let both = (&gpu, &cublas.unwrap());
    let shapes = [[1, 1, 1, 1], [2, 65, 67, 19], [1, 3, 130, 16], [1, 70, 5, 33], [3, 16, 24, 40]];
    for (i, shape) in shapes.into_iter().enumerate() {
        let (a_t, b_t) = (i % 2 == 0, i % 3 == 1);
        compare(both, shape, [a_t, b_t], (1.0, 0.0), i % 2 == 1);
        compare(both, shape, [!a_t, b_t], (0.5, 2.0), false);
        compare(both, shape, [a_t, !b_t], (-1.0, 0.0), true);
        compare(both, shape, [!a_t, !b_t], (-1.0, 1.0), true);
    }
}

/// Values and gradients, with every check of the stand-in on.
#[test]
fn test_cublas__every_op_and_its_gradient_are_the_cpus() {
    if !has_cublas("test_cublas__every_op_and_its_gradient_are_the_cpus") {
        return;
    }
    let device = Device::cuda(0).unwrap();
    assert_eq!(device.arithmetic(), "cuda sm_80 cuBLAS 12.9.0");
    for op in foundry_engine::ops::ALL.iter().filter(|op| op.is_mixed()) {
        for finding in parity::check_op(op, &device, 1) {
            device.check().unwrap_or_else(|e| panic!("{}: {e}", op.name));
            assert!(finding.error <= parity::TOLERANCE, "{finding:?}");
        }
    }
}

/// Five architectures, twenty steps, twice, in every precision; and it was cuBLAS that multiplied.
#[test]
fn test_cublas__training_is_the_cpus_in_every_architecture() {
    let place = Workplace::new();
    // The report, and how often each kernel and each function of cuBLAS was called.
    let ran = |steps: usize| {
        let (log, call) = (format!("{steps}.log"), format!("gpu-selftest --json --steps {steps}"));
        let path = place.path(&log);
        let logged = [("FOUNDRY_STANDIN_LOG", path.to_str().unwrap())];
        let report = with_cublas(&place, &call, &logged).ok().json();
        let log = String::from_utf8(place.read(&log)).unwrap();
        let count = move |name: &str| log.lines().filter(|line| *line == name).count();
        (report, count)
    };
    let ((_, one), (report, all)) = (ran(1), ran(20));
    let of = |report: &serde_json::Value, tolerance: f64| {
        assert_eq!(report["same_bits_twice"], true, "{report:#}");
        let models = report["training"].as_array().unwrap();
        assert_eq!(models.len(), 5);
        for model in models {
            let worst = model["worst_relative_difference"].as_f64().unwrap();
            assert!(worst <= tolerance, "{model:#}");
        }
    };
    of(&report, 1e-4);
    report["mixed_precision"].as_array().unwrap().iter().for_each(|mixed| of(mixed, 5e-3));
    assert_eq!(report["ok"], true);
    let device = report["device"].as_str().unwrap();
    assert!(device.ends_with("products by cuBLAS 12.9.0"), "{device}");

    assert!(all("cublasGemmEx") > one("cublasGemmEx") + 10_000, "{}", all("cublasGemmEx"));
    assert!(one("cublasGemmStridedBatchedEx") > 0);
    // Of the cases of the ops, those that add up nothing are ours; no product of a training is.
    assert_eq!(all("gemm_f32"), one("gemm_f32"));
    for ours in ["gemm_bf16_nn", "gemm_bf16_nt", "gemm_bf16_tn", "gemm_f16_nn", "gemm_f16_nt"] {
        assert_eq!(all(ours), 0, "{ours}");
    }
}

#[test]
fn test_cublas__is_taken_where_it_is_there_unless_it_is_forbidden() {
    // Both libraries are found by their names, as they are where a driver is installed.
    let found = |folder: &Path, place: &Workplace, call: &str, wish: Option<&str>| {
        let mut command = place.command();
        command.args(call.split_whitespace()).env("LD_LIBRARY_PATH", folder);
        command.envs(wish.map(|wish| (VARIABLE, wish)));
        watch(call, command.env("FOUNDRY_STANDIN_WATCH", "addresses"))
    };
    let place = Workplace::new();
    let folder = libraries(&place, &["libcuda.so", "libcublas.so"]);
    let said = |call: &str, wish| found(&folder, &place, call, wish).ok().stdout;
    assert!(said("doctor", None).contains("cuBLAS 12.9.0"));
    assert!(said("info", None).contains("products on GPUs cuBLAS 12.9.0"));
    assert!(said("info", Some("cublas")).contains("products on GPUs cuBLAS 12.9.0"));
    assert!(said("doctor", Some("ptx")).contains("PTX (FOUNDRY_GEMM=ptx)"));
    assert!(said("info", Some("ptx")).contains("products on GPUs PTX (FOUNDRY_GEMM=ptx)"));
    let call = "train tiny.yaml --device auto --set training.train_steps=1";
    let _ = found(&folder, &place, call, None).ok().says(&["products by cuBLAS 12.9.0"]);
    let _ = found(&folder, &place, "info", Some("mkl"))
        .ended(2)
        .says(&["FOUNDRY_GEMM=mkl: expected ptx or cublas"]);

    let place = Workplace::new();
    let folder = without_cublas(&place, &["libcuda.so"]);
    let text = found(&folder, &place, "info", None).ok().stdout;
    assert!(text.contains("products on GPUs PTX (there is no libcublas.so on"), "{text}");
    let _ = found(&folder, &place, call, None)
        .ok()
        .says(&["products by PTX (there is no libcublas.so on this machine)"]);

    // It is there, and finds no memory for its workspace.
    let place = Workplace::new();
    let folder = libraries(&place, &["libcuda.so", "libcublas.so"]);
    let little = |wish: Option<&str>| {
        let mut command = place.command();
        command.args(["gpu-selftest", "--steps", "1"]).env("LD_LIBRARY_PATH", &folder);
        command.envs(wish.map(|wish| (VARIABLE, wish)));
        watch("gpu-selftest", command.env("FOUNDRY_STANDIN_MEMORY", "4000000"))
    };
    let start = "cuBLAS 12.9.0 does not start: out of memory on Foundry stand-in";
    let _ = little(Some("cublas")).ended(4).says(&[start, "unset FOUNDRY_GEMM"]);
    assert!(little(None).ok().stdout.contains(&format!("products by PTX ({start}")));

    // A libcuda that was named is not trusted with the cuBLAS of the machine.
    let place = Workplace::new();
    let folder = libraries(&place, &["libcublas.so"]);
    let text = beside(&place, &folder, "info", &[]).ok().stdout;
    assert!(text.contains("PTX (FOUNDRY_CUDA_LIB names a driver"), "{text}");
}

#[test]
fn test_cublas__asked_for_and_missing_is_an_error_that_says_how_to_mend_it() {
    let place = Workplace::new();
    let folder = without_cublas(&place, &[]);
    let asked = [(VARIABLE, "cublas")];
    for device in ["cuda", "auto"] {
        let call = format!("train tiny.yaml --device {device}");
        let _ = beside(&place, &folder, &call, &asked).ended(4).says(&[
            "cuBLAS was asked for (FOUNDRY_GEMM=cublas), but there is no libcublas.so",
            "mend: put the folder of NVIDIA's libcublas into LD_LIBRARY_PATH, or unset FOUNDRY_GEMM",
        ]);
    }
    assert!(!place.path("runs/tiny/checkpoint-4").exists());
    let text = beside(&place, &folder, "info", &asked).ok().stdout;
    assert!(text.contains("products on GPUs cuBLAS was asked for"), "{text}");
    let said = beside(&place, &folder, "doctor", &asked);
    assert!(said.stdout.contains("unset FOUNDRY_GEMM"), "{said:?}");
}

/// Another multiplier has other bits: who resumes is told.
#[test]
fn test_cublas__a_resume_with_another_multiplier_is_said() {
    let place = Workplace::new();
    let call = "train tiny.yaml --device cuda";
    let _ = foundry(&place, call, &[]).ok().says(&["products by PTX"]);
    let longer = "--resume --allow-change training.train_steps --set training.train_steps";
    let _ = with_cublas(&place, &format!("{call} {longer}=6"), &[]).ok().says(&[
        "this machine computes with cuda sm_80 cuBLAS 12.9.0, the checkpoint was computed with cuda sm_80:",
    ]);
    let same = with_cublas(&place, &format!("{call} {longer}=7"), &[]).ok();
    assert!(!same.stderr.contains("this machine computes with"), "{same:?}");
}
