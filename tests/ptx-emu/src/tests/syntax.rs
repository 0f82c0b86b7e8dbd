//! What is refused before it runs, by name and line.

use super::kernel;
use crate::Module;

fn refused(body: &str) -> String {
    Module::parse(&kernel(body)).expect_err("refused").to_string()
}

#[test]
fn test_syntax__what_is_not_known_is_refused_by_name_and_line() {
    assert_eq!(refused("\n brx.idx %r1, list;"), "PTX line 3: unsupported instruction `brx.idx`");
    assert_eq!(refused("ld.u32 %r1, [%rd0];"), "PTX line 2: unsupported instruction `ld.u32`");
    assert_eq!(
        refused("add.rz.f32 %f1, %f1, %f1;"),
        "PTX line 2: unsupported instruction `add.rz.f32`"
    );
    let error = |text: &str| Module::parse(text).unwrap_err().to_string();
    assert_eq!(error("\n.func f;"), "PTX line 2: unsupported directive `.func`");
    assert_eq!(
        error(".version 7.0\n.target sm_61"),
        "PTX line 2: target `sm_61`, not sm_70 or later"
    );
    assert!(error(".visible .entry k() { ret; }").contains(".version and .target come before"));
    let local = ".version 7.0 .target sm_70 .visible .entry k(.param .align 8 .b8 x[16]) { ret; }";
    assert!(error(local).contains("unsupported parameter"));
}

/// 9.4: "operand types must agree with the instruction-type"; ptxas lets registers of .b32 pass for .f32 and back, as
/// the ISA has it, but not those of another size or .f32 for .u32.
#[test]
fn test_syntax__operands_of_another_type() {
    assert!(refused("add.f32 %f1, %f1, %rd1;").contains("`%rd1` is .b64, the instruction .f32"));
    assert!(refused("add.u32 %r1, %f1, %r2;").contains("`%f1` is .f32, the instruction .u32"));
    assert!(
        Module::parse(&kernel("mov.u32 %r1, 1; add.f32 %f1, %r1, %r1;")).is_ok(),
        ".b32 fits all"
    );
    assert!(refused("add.u32 %r1, %p1, %r2;").contains("`%p1` is .pred"));
    assert!(refused("ld.global.u32 %r1, [%r2];").contains("`%r2` is .b32, the instruction .u64"));
    assert!(refused("shl.b32 %r1, %r2, %rd1;").contains("`%rd1` is .b64"));
    assert!(refused("add.u32 %r1, %r2;").contains("2 operands, not 3"));
}

#[test]
fn test_syntax__names_that_do_not_exist() {
    assert!(refused("add.u32 %r1, %r99, 1;").contains("no register `%r99`"));
    assert_eq!(refused("bra NOWHERE;"), "PTX line 2: no label `NOWHERE`");
    assert!(refused("ld.param.u32 %r1, [nothing];").contains("no parameter `[nothing]`"));
    assert!(refused("ld.param.u32 %r1, [out];").contains("has 8 bytes"));
    assert!(refused("A: A:").contains("a second label"));
    assert!(refused("add.u32 %r1, %tid.x, 1;").contains("special registers are read by `mov.u32`"));
}

/// 4.5.2: "0f followed by 8 hexadecimal digits"; integers must fit their type.
#[test]
fn test_syntax__constants() {
    assert!(refused("mov.f32 %f1, 0f3f80;").contains("neither a register nor a constant"));
    assert!(refused("mov.f32 %f1, 1;").contains("neither a register nor a constant"));
    assert!(refused("mov.u32 %r1, 0x100000000;").contains("neither a register nor a constant"));
    assert!(refused("mov.u32 %r1, 1.5;").contains("neither a register nor a constant"));
}

/// Instructions say since which `.target` they exist: "Requires sm_80 or higher".
#[test]
fn test_syntax__targets() {
    let text = kernel("tanh.approx.f32 %f1, 1.0;").replace("sm_90", "sm_70");
    let error = Module::parse(&text).unwrap_err().to_string();
    assert_eq!(error, "PTX line 2: `tanh.approx.f32` needs .target sm_75, not sm_70");
}

#[test]
fn test_syntax__a_body_that_runs_off_its_end() {
    let text = ".version 7.0 .target sm_70 .visible .entry k() { bar.sync 0; }";
    assert!(Module::parse(text).unwrap_err().to_string().contains("does not end with `ret`"));
}

#[test]
fn test_syntax__lines_of_an_opcode() {
    let module =
        Module::parse(&kernel("bar.sync 0;\n\nsetp.eq.u32 %p1, %r0, 0;\n@%p1 bar.sync 0;"))
            .unwrap();
    assert_eq!(module.kernels()[0].lines_of("bar.sync"), [2, 5]);
    assert_eq!(module.kernels()[0].lines_of("ret"), [6]);
}
