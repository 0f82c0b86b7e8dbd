//! Writes PTX with typed registers: an operand of the wrong type does not compile.
//!
//! Each method appends an instruction and returns the register that it defines, a new one: ptxas allots the real ones.
//! Variables of loops are registers that are set again ([`Kernel::set`], [`Kernel::increase`]).

use std::fmt::{Display, Write as _};
use std::marker::PhantomData;

/// What a register holds.
pub(super) trait Kind: Copy {
    /// The stem of its name.
    const STEM: &'static str;
    /// How it is declared.
    const DECLARED: &'static str;
    const INDEX: usize;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $index:literal $stem:literal $declared:literal;)*) => {
        $($(#[$doc])* #[derive(Clone, Copy)]
        pub(super) struct $name;
        impl Kind for $name {
            const STEM: &'static str = $stem;
            const DECLARED: &'static str = $declared;
            const INDEX: usize = $index;
        })*
    };
}

kinds! {
    /// 32 bits: an index, a shared address, two halves (bf16 or f16), a tf32.
    Word 0 "r" ".b32";
    /// A global address or a distance between two.
    Address 1 "a" ".b64";
    /// Single precision.
    Real 2 "f" ".f32";
    /// One bit.
    Flag 3 "p" ".pred";
}

/// A register.
#[derive(Clone, Copy)]
pub(super) struct Reg<K>(u32, PhantomData<K>);

impl<K: Kind> Display for Reg<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}{}", K::STEM, self.0)
    }
}

/// A register or a constant.
#[derive(Clone, Copy)]
pub(super) enum Arg<K> {
    Reg(Reg<K>),
    Bits(u32),
}

impl<K> From<Reg<K>> for Arg<K> {
    fn from(r: Reg<K>) -> Self {
        Self::Reg(r)
    }
}

impl From<u32> for Arg<Word> {
    fn from(x: u32) -> Self {
        Self::Bits(x)
    }
}

impl From<u32> for Arg<Address> {
    fn from(x: u32) -> Self {
        Self::Bits(x)
    }
}

impl From<f32> for Arg<Real> {
    fn from(x: f32) -> Self {
        Self::Bits(x.to_bits())
    }
}

impl<K: Kind> Display for Arg<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reg(r) => write!(f, "{r}"),
            Self::Bits(x) if K::INDEX == Real::INDEX => write!(f, "0f{x:08X}"),
            Self::Bits(x) => write!(f, "{x}"),
        }
    }
}

/// A place to jump to.
#[derive(Clone, Copy)]
pub(super) struct Label(&'static str, u32);

impl Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.0, self.1)
    }
}

/// How two numbers are compared.
#[derive(Clone, Copy)]
pub(super) enum Is {
    Lt,
    Le,
    Ge,
    Eq,
    Ne,
}

impl Is {
    fn name(self) -> &'static str {
        match self {
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Ge => "ge",
            Self::Eq => "eq",
            Self::Ne => "ne",
        }
    }
}

/// An entry that is being written.
pub(super) struct Kernel {
    format: Format,
    name: String,
    threads: u32,
    shared: u32,
    parameters: Vec<(&'static str, &'static str)>,
    body: String,
    registers: [u32; 4],
    labels: u32,
    instructions: u32,
    guard: String,
}

/// Instructions with two operands and a result of the same kind.
macro_rules! binary {
    ($($name:ident $kind:ident $opcode:literal;)*) => {
        $(pub(super) fn $name(&mut self, x: impl Into<Arg<$kind>>, y: impl Into<Arg<$kind>>) -> Reg<$kind> {
            let (x, y) = (x.into(), y.into());
            self.define($opcode, &[&x, &y])
        })*
    };
}

impl Kernel {
    /// What the tensor cores multiply in it is of one format. `.shared` is one array, `memory`, of so many bytes.
    pub(super) fn new(format: Format, name: impl Into<String>, threads: u32, shared: u32) -> Self {
        Self {
            format,
            name: name.into(),
            threads,
            shared,
            parameters: vec![],
            body: String::new(),
            registers: [0; 4],
            labels: 0,
            instructions: 0,
            guard: String::new(),
        }
    }

    /// The text of the entry.
    pub(super) fn finish(&mut self) -> String {
        self.line("ret;");
        let mut text = format!(".visible .entry {}(\n", self.name);
        let parameters =
            self.parameters.iter().map(|(ty, name)| format!("    .param .{ty}  {name}"));
        let _ = writeln!(text, "{})", parameters.collect::<Vec<_>>().join(",\n"));
        let _ = writeln!(text, ".maxntid {}, 1, 1\n{{", self.threads);
        let kinds = [
            (Word::DECLARED, Word::STEM),
            (Address::DECLARED, Address::STEM),
            (Real::DECLARED, Real::STEM),
            (Flag::DECLARED, Flag::STEM),
        ];
        for ((declared, stem), count) in kinds.into_iter().zip(self.registers) {
            if count > 0 {
                let _ = writeln!(text, "    .reg {declared} %{stem}<{count}>;");
            }
        }
        if self.shared > 0 {
            let _ = writeln!(text, "    .shared .align 1024 .b8 memory[{}];", self.shared);
        }
        text + "\n" + &self.body + "}\n"
    }

    pub(super) fn comment(&mut self, text: &str) {
        let _ = writeln!(self.body, "\n    // {text}");
    }

    fn line(&mut self, text: &str) {
        self.instructions += 1;
        let _ = writeln!(self.body, "    {}{text}", self.guard);
    }

    fn emit(&mut self, opcode: &str, operands: &[&dyn Display]) {
        let operands: Vec<String> = operands.iter().map(ToString::to_string).collect();
        self.line(&format!("{opcode} {};", operands.join(", ")));
    }

    fn fresh<K: Kind>(&mut self) -> Reg<K> {
        let n = &mut self.registers[K::INDEX];
        *n += 1;
        Reg(*n - 1, PhantomData)
    }

    fn define<K: Kind>(&mut self, opcode: &str, operands: &[&dyn Display]) -> Reg<K> {
        let to = self.fresh();
        let all: Vec<&dyn Display> =
            std::iter::once(&to as &dyn Display).chain(operands.iter().copied()).collect();
        self.emit(opcode, &all);
        to
    }

    /// The one instruction that `f` writes, only where `flag` holds.
    pub(super) fn only_if<R>(&mut self, flag: Reg<Flag>, f: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.instructions;
        self.guard = format!("@{flag} ");
        let result = f(self);
        self.guard.clear();
        assert_eq!(self.instructions, before + 1, "a guard is for one instruction");
        result
    }

    // Parameters and special registers.

    pub(super) fn pointer(&mut self, name: &'static str) -> Reg<Address> {
        self.parameters.push(("u64", name));
        self.define("ld.param.u64", &[&format!("[{name}]")])
    }

    pub(super) fn word(&mut self, name: &'static str) -> Reg<Word> {
        self.parameters.push(("u32", name));
        self.define("ld.param.u32", &[&format!("[{name}]")])
    }

    pub(super) fn real(&mut self, name: &'static str) -> Reg<Real> {
        self.parameters.push(("f32", name));
        self.define("ld.param.f32", &[&format!("[{name}]")])
    }

    pub(super) fn special(&mut self, name: &str) -> Reg<Word> {
        self.define("mov.u32", &[&name])
    }

    /// The address of shared memory.
    pub(super) fn shared(&mut self) -> Reg<Word> {
        self.define("mov.u32", &[&"memory"])
    }

    // Variables.

    pub(super) fn variable(&mut self, x: impl Into<Arg<Word>>) -> Reg<Word> {
        let x = x.into();
        self.define("mov.u32", &[&x])
    }

    pub(super) fn real_variable(&mut self, x: impl Into<Arg<Real>>) -> Reg<Real> {
        let x = x.into();
        self.define("mov.f32", &[&x])
    }

    pub(super) fn set(&mut self, to: Reg<Word>, x: impl Into<Arg<Word>>) {
        self.emit("mov.u32", &[&to, &x.into()]);
    }

    pub(super) fn set_real(&mut self, to: Reg<Real>, x: impl Into<Arg<Real>>) {
        self.emit("mov.f32", &[&to, &x.into()]);
    }

    pub(super) fn increase(&mut self, to: Reg<Word>, by: impl Into<Arg<Word>>) {
        self.emit("add.u32", &[&to, &to, &by.into()]);
    }

    pub(super) fn advance(&mut self, to: Reg<Address>, by: impl Into<Arg<Address>>) {
        self.emit("add.u64", &[&to, &to, &by.into()]);
    }

    // Arithmetic.

    binary! {
        add Word "add.u32";
        sub Word "sub.u32";
        mul Word "mul.lo.u32";
        mul_high Word "mul.hi.u32";
        and Word "and.b32";
        xor Word "xor.b32";
        shl Word "shl.b32";
        shr Word "shr.u32";
        min Word "min.u32";
        max Word "max.u32";
        move_on Address "add.u64";
        add_real Real "add.rn.f32";
        sub_real Real "sub.rn.f32";
        mul_real Real "mul.rn.f32";
        max_real Real "max.f32";
    }

    pub(super) fn mad(
        &mut self,
        x: impl Into<Arg<Word>>,
        y: impl Into<Arg<Word>>,
        z: impl Into<Arg<Word>>,
    ) -> Reg<Word> {
        let (x, y, z) = (x.into(), y.into(), z.into());
        self.define("mad.lo.u32", &[&x, &y, &z])
    }

    /// x y + z, rounded once.
    pub(super) fn fma(
        &mut self,
        x: impl Into<Arg<Real>>,
        y: impl Into<Arg<Real>>,
        z: impl Into<Arg<Real>>,
    ) -> Reg<Real> {
        let (x, y, z) = (x.into(), y.into(), z.into());
        self.define("fma.rn.f32", &[&x, &y, &z])
    }

    /// The product of two words as a distance in bytes.
    pub(super) fn wide(
        &mut self,
        x: impl Into<Arg<Word>>,
        y: impl Into<Arg<Word>>,
    ) -> Reg<Address> {
        let (x, y) = (x.into(), y.into());
        self.define("mul.wide.u32", &[&x, &y])
    }

    /// x y elements of 2^shift bytes.
    pub(super) fn distance(
        &mut self,
        x: impl Into<Arg<Word>>,
        y: impl Into<Arg<Word>>,
        shift: u32,
    ) -> Reg<Address> {
        let p = self.wide(x, y);
        self.define("shl.b64", &[&p, &shift])
    }

    pub(super) fn scale(&mut self, x: Reg<Real>, by: impl Into<Arg<Real>>) {
        self.emit("mul.rn.f32", &[&x, &x, &by.into()]);
    }

    /// 2^x
    pub(super) fn exp2(&mut self, x: Reg<Real>) -> Reg<Real> {
        self.define("ex2.approx.ftz.f32", &[&x])
    }

    pub(super) fn log2(&mut self, x: Reg<Real>) -> Reg<Real> {
        self.define("lg2.approx.f32", &[&x])
    }

    pub(super) fn reciprocal(&mut self, x: Reg<Real>) -> Reg<Real> {
        self.define("rcp.rn.f32", &[&x])
    }

    /// The nearest tf32 to the real number that a word holds.
    pub(super) fn nearest_tf32(&mut self, x: Reg<Real>) -> Reg<Word> {
        self.define("cvt.rna.tf32.f32", &[&x])
    }

    /// A word's bits as a real number.
    pub(super) fn as_real(&mut self, x: Reg<Word>) -> Reg<Real> {
        self.define("mov.b32", &[&x])
    }

    /// Two halves in a word.
    pub(super) fn pack(&mut self, low: Reg<Real>, high: impl Into<Arg<Real>>) -> Reg<Word> {
        let high = high.into();
        let opcode = format!("cvt.rn.{}x2.f32", self.format.half());
        self.define(&opcode, &[&high, &low])
    }

    // Flags.

    pub(super) fn compare(
        &mut self,
        x: impl Into<Arg<Word>>,
        is: Is,
        y: impl Into<Arg<Word>>,
    ) -> Reg<Flag> {
        let (x, y) = (x.into(), y.into());
        self.define(&format!("setp.{}.u32", is.name()), &[&x, &y])
    }

    /// ... and `also`.
    pub(super) fn compare_and(
        &mut self,
        x: impl Into<Arg<Word>>,
        is: Is,
        y: impl Into<Arg<Word>>,
        also: Reg<Flag>,
    ) -> Reg<Flag> {
        let (x, y) = (x.into(), y.into());
        self.define(&format!("setp.{}.and.u32", is.name()), &[&x, &y, &also])
    }

    pub(super) fn compare_real(
        &mut self,
        x: Reg<Real>,
        is: Is,
        y: impl Into<Arg<Real>>,
    ) -> Reg<Flag> {
        let y = y.into();
        self.define(&format!("setp.{}.f32", is.name()), &[&x, &y])
    }

    pub(super) fn is_there(&mut self, pointer: Reg<Address>) -> Reg<Flag> {
        self.define("setp.ne.u64", &[&pointer, &0])
    }

    pub(super) fn both(&mut self, x: Reg<Flag>, y: Reg<Flag>) -> Reg<Flag> {
        self.define("and.pred", &[&x, &y])
    }

    pub(super) fn either(&mut self, x: Reg<Flag>, y: Reg<Flag>) -> Reg<Flag> {
        self.define("or.pred", &[&x, &y])
    }

    pub(super) fn select(
        &mut self,
        flag: Reg<Flag>,
        x: impl Into<Arg<Word>>,
        y: impl Into<Arg<Word>>,
    ) -> Reg<Word> {
        let (x, y) = (x.into(), y.into());
        self.define("selp.u32", &[&x, &y, &flag])
    }

    pub(super) fn select_real(
        &mut self,
        flag: Reg<Flag>,
        x: impl Into<Arg<Real>>,
        y: impl Into<Arg<Real>>,
    ) -> Reg<Real> {
        let (x, y) = (x.into(), y.into());
        self.define("selp.f32", &[&x, &y, &flag])
    }

    // Control.

    pub(super) fn label(&mut self, name: &'static str) -> Label {
        self.labels += 1;
        Label(name, self.labels)
    }

    pub(super) fn place(&mut self, label: Label) {
        let _ = writeln!(self.body, "{label}:");
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.emit("bra.uni", &[&label]);
    }

    /// Jumps where the flag holds: the same for all threads of a warp.
    pub(super) fn jump_if(&mut self, flag: Reg<Flag>, label: Label) {
        self.only_if(flag, |k| k.emit("bra.uni", &[&label]));
    }

    /// Jumps where the flag holds, which threads of a warp may disagree on.
    pub(super) fn part_if(&mut self, flag: Reg<Flag>, label: Label) {
        self.only_if(flag, |k| k.emit("bra", &[&label]));
    }

    pub(super) fn barrier(&mut self) {
        self.line("bar.sync 0;");
    }

    // Memory.

    pub(super) fn load_into(&mut self, to: Reg<Real>, at: Reg<Address>) {
        self.emit("ld.global.f32", &[&to, &format!("[{at}]")]);
    }

    pub(super) fn load_word_into(&mut self, to: Reg<Word>, at: Reg<Address>) {
        self.emit("ld.global.u32", &[&to, &format!("[{at}]")]);
    }

    pub(super) fn store(&mut self, at: Reg<Address>, x: Reg<Real>) {
        self.emit("st.global.f32", &[&format!("[{at}]"), &x]);
    }

    pub(super) fn store_pair(&mut self, at: Reg<Address>, offset: u32, [x, y]: [Reg<Real>; 2]) {
        self.emit("st.global.v2.f32", &[&format!("[{at}+{offset}]"), &format!("{{{x}, {y}}}")]);
    }

    /// The lower half of a word.
    pub(super) fn store_half(&mut self, at: Reg<Address>, x: Reg<Word>) {
        self.emit("st.global.b16", &[&format!("[{at}]"), &x]);
    }

    pub(super) fn load_shared(&mut self, at: Reg<Word>, offset: u32) -> Reg<Real> {
        self.define("ld.shared.f32", &[&format!("[{at}+{offset}]")])
    }

    pub(super) fn load_shared_word(&mut self, at: Reg<Word>, offset: u32) -> Reg<Word> {
        self.define("ld.shared.b32", &[&format!("[{at}+{offset}]")])
    }

    pub(super) fn load_shared_pair(&mut self, at: Reg<Word>, offset: u32) -> [Reg<Real>; 2] {
        let to = [self.fresh(), self.fresh()];
        self.emit(
            "ld.shared.v2.f32",
            &[&format!("{{{}, {}}}", to[0], to[1]), &format!("[{at}+{offset}]")],
        );
        to
    }

    pub(super) fn store_shared(&mut self, at: Reg<Word>, x: Reg<Real>) {
        self.emit("st.shared.f32", &[&format!("[{at}]"), &x]);
    }

    pub(super) fn store_shared_pair(&mut self, at: Reg<Word>, offset: u32, [x, y]: [Reg<Real>; 2]) {
        self.emit("st.shared.v2.f32", &[&format!("[{at}+{offset}]"), &format!("{{{x}, {y}}}")]);
    }

    /// Begins a copy of 16 bytes to shared memory, the first `bytes` of which are read, the rest 0.
    pub(super) fn copy(
        &mut self,
        to: Reg<Word>,
        offset: u32,
        from: Reg<Address>,
        bytes: Reg<Word>,
    ) {
        let (to, from) = (format!("[{to}+{offset}]"), format!("[{from}]"));
        self.emit("cp.async.cg.shared.global", &[&to, &from, &16, &bytes]);
    }

    /// The copies begun since the last one are a group.
    pub(super) fn commit(&mut self) {
        self.line("cp.async.commit_group;");
    }

    /// Waits until only the last `pending` groups may be under way.
    pub(super) fn wait(&mut self, pending: u32) {
        self.emit("cp.async.wait_group", &[&pending]);
    }

    // Warps and tensor cores.

    /// The value of the lane whose number differs in these bits.
    pub(super) fn butterfly(&mut self, x: Reg<Real>, bits: u32) -> Reg<Real> {
        self.define("shfl.sync.bfly.b32", &[&x, &bits, &31, &"-1"])
    }

    /// Four matrices of 8 rows of 16 bytes.
    pub(super) fn load_matrices(
        &mut self,
        at: Reg<Word>,
        offset: u32,
        transposed: bool,
    ) -> [Reg<Word>; 4] {
        let to: [Reg<Word>; 4] = std::array::from_fn(|_| self.fresh());
        let form = if transposed { ".trans" } else { "" };
        let opcode = format!("ldmatrix.sync.aligned.m8n8.x4{form}.shared.b16");
        self.emit(&opcode, &[&list(&to), &format!("[{at}+{offset}]")]);
        to
    }

    /// c += a b, 16 x 16 or (tf32) 16 x 8 times 8 columns.
    pub(super) fn multiply(&mut self, c: &[Reg<Real>; 4], a: &[Reg<Word>; 4], b: [Reg<Word>; 2]) {
        let opcode = match self.format {
            Format::F16 => "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
            Format::Bf16 => "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",
            Format::Tf32 => "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
        };
        self.emit(opcode, &[&list(c), &list(a), &list(&b), &list(c)]);
    }
}

/// What the tensor cores multiply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    F16,
    Bf16,
    Tf32,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Tf32 => "tf32",
        }
    }

    /// What a number is that is kept in 16 bits.
    pub(super) fn half(self) -> &'static str {
        if self == Self::F16 { "f16" } else { "bf16" }
    }

    /// log2 of the bytes of an element.
    pub(super) fn shift(self) -> u32 {
        if self == Self::Tf32 { 2 } else { 1 }
    }
}

fn list<K: Kind>(registers: &[Reg<K>]) -> String {
    let names: Vec<String> = registers.iter().map(ToString::to_string).collect();
    format!("{{{}}}", names.join(", "))
}
