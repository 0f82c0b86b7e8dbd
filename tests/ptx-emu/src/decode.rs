//! From a statement to an [`Instruction`]: opcode by the table, operands by their types (PTX ISA 6, 9.4).

use crate::ParseError;
use crate::kernel::{Constant, Instruction, Kernel, NONE, Special};
use crate::opcodes::{self, Meaning, Row};
use crate::source::split_operands;
use crate::types::{Class, Type};
use std::collections::HashMap;

/// A kernel while it is read.
pub(crate) struct Builder<'a> {
    pub(crate) kernel: Kernel,
    target: u32,
    pub(crate) dynamic_shared: Option<&'a str>,
    registers: HashMap<String, (Type, u16)>,
    names: [Vec<Option<String>>; 3],
    pub(crate) symbols: HashMap<String, u32>,
    words: HashMap<Constant, u16>,
    doubles: HashMap<u64, u16>,
    labels: HashMap<String, u32>,
    /// Branches whose label is still to come: instruction and label.
    pub(crate) branches: Vec<(usize, String)>,
}

/// Registers of an instruction, with what happens to them.
#[derive(Default)]
pub(crate) struct Operands {
    pub(crate) args: Vec<u16>,
    pub(crate) uses: Vec<(Class, u16)>,
    pub(crate) defines: Vec<(Class, u16)>,
    pub(crate) offsets: [i64; 2],
    pub(crate) immediate: u32,
    pub(crate) bytes: u8,
    pub(crate) count: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Use,
    Define,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(name: String, target: u32, dynamic_shared: Option<&'a str>) -> Self {
        let kernel = Kernel {
            name,
            parameters: vec![],
            parameter_bytes: 0,
            static_shared: 0,
            uses_dynamic_shared: false,
            max_threads: None,
            required_threads: None,
            code: vec![],
            counts: [0; 3],
            word_constants: vec![],
            double_constants: vec![],
            register_names: vec![],
            granule: 4,
        };
        Self {
            kernel,
            target,
            dynamic_shared,
            registers: HashMap::new(),
            names: Default::default(),
            symbols: HashMap::new(),
            words: HashMap::new(),
            doubles: HashMap::new(),
            labels: HashMap::new(),
            branches: vec![],
        }
    }

    pub(crate) fn label(&mut self, name: &str) -> Result<(), String> {
        let here = u32::try_from(self.kernel.code.len()).map_err(|e| e.to_string())?;
        let twice = self.labels.insert(name.to_owned(), here).is_some();
        if twice { Err(format!("a second label `{name}`")) } else { Ok(()) }
    }

    pub(crate) fn declare(&mut self, name: &str, ty: Type) -> Result<(), String> {
        let index = self.fresh(ty.class(), Some(name.to_owned()))?;
        let twice = self.registers.insert(name.to_owned(), (ty, index)).is_some();
        if twice { Err(format!("a second register `{name}`")) } else { Ok(()) }
    }

    pub(crate) fn shared(&mut self, name: &str, align: u32, bytes: u32) -> Result<(), String> {
        if !align.is_power_of_two() {
            return Err(format!("alignment {align} of `{name}` is no power of two"));
        }
        let at = self.kernel.static_shared.next_multiple_of(align);
        self.kernel.static_shared = at + bytes;
        let twice = self.symbols.insert(name.to_owned(), at).is_some();
        if twice { Err(format!("a second variable `{name}`")) } else { Ok(()) }
    }

    fn fresh(&mut self, class: Class, name: Option<String>) -> Result<u16, String> {
        let names = &mut self.names[class as usize];
        names.push(name);
        let index = u16::try_from(names.len() - 1).ok().filter(|&i| i < NONE / 4);
        index.ok_or("more registers than the emulator has".into())
    }

    fn word(&mut self, constant: Constant) -> Result<u16, String> {
        if let Some(&index) = self.words.get(&constant) {
            return Ok(index);
        }
        let index = self.fresh(Class::Word, None)?;
        self.words.insert(constant, index);
        self.kernel.word_constants.push((index, constant));
        Ok(index)
    }

    fn double(&mut self, bits: u64) -> Result<u16, String> {
        if let Some(&index) = self.doubles.get(&bits) {
            return Ok(index);
        }
        let index = self.fresh(Class::Double, None)?;
        self.doubles.insert(bits, index);
        self.kernel.double_constants.push((index, bits));
        Ok(index)
    }

    /// Resolves branches and numbers all registers jointly.
    pub(crate) fn finish(mut self) -> Result<Kernel, ParseError> {
        for (at, label) in &self.branches {
            let instruction = &mut self.kernel.code[*at];
            let target = self.labels.get(label);
            let what = format!("no label `{label}`");
            instruction.immediate = *target.ok_or(ParseError { line: instruction.line, what })?;
        }
        let last = self.kernel.code.last();
        let line = last.map_or(0, |i| i.line);
        let ends = last.is_some_and(|i| {
            i.guard.is_none() && matches!(i.row.meaning, Meaning::Return | Meaning::Branch { .. })
        });
        if !ends {
            let what = format!("{} does not end with `ret`", self.kernel.name);
            return Err(ParseError { line, what });
        }
        self.kernel.counts = [0, 1, 2].map(|class| self.names[class].len());
        let [words, doubles, _] = self.kernel.counts;
        let first = [0, words, words + doubles];
        let named: Vec<bool> = self.names.iter().flatten().map(Option::is_some).collect();
        for instruction in &mut self.kernel.code {
            for list in [&mut instruction.uses, &mut instruction.defines] {
                // Until here the class is kept in the two upper bits; constants need no watching.
                let joint = |r: &u16| usize::from(r & 0x3fff) + first[usize::from(r >> 14)];
                let joined = list.iter().map(joint).filter(|&r| named[r]);
                *list = joined.map(|r| u16::try_from(r).unwrap_or(NONE)).collect();
            }
        }
        let names = self.names.into_iter().flatten();
        self.kernel.register_names = names.map(Option::unwrap_or_default).collect();
        Ok(self.kernel)
    }
}

fn pack(list: &[(Class, u16)]) -> Box<[u16]> {
    list.iter().map(|&(class, index)| (class as u16) << 14 | index).collect()
}

/// Decodes a statement and appends it.
pub(crate) fn instruction(b: &mut Builder<'_>, line: u32, statement: &str) -> Result<(), String> {
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    let mut operands = Operands::default();
    let mut guard = None;
    if let Some(guarded) = rest.strip_prefix('@') {
        let (name, after) = guarded.split_once(' ').ok_or(format!("guard of `{text}`"))?;
        let wanted = !name.starts_with('!');
        let index = b.register(name.trim_start_matches('!'), Type::Pred, false)?;
        operands.uses.push((Class::Predicate, index));
        guard = Some((index, wanted));
        rest = after;
    }
    let (opcode, list) = rest.split_once(' ').unwrap_or((rest, ""));
    let row = opcodes::find(opcode).ok_or(format!("unsupported instruction `{opcode}`"))?;
    if row.target > b.target {
        return Err(format!("`{opcode}` needs .target sm_{}, not sm_{}", row.target, b.target));
    }
    let list = split_operands(list);
    let pair = opcode == "mov.b64" && list.iter().any(|o| o.starts_with('{'));
    let row = match () {
        () if pair => b.pair_form(&list, &mut operands),
        () if row.operands == "*" => {
            b.special_form(row, opcode, &list, &mut operands).map(|()| row)
        }
        () => b.by_types(row, opcode, &list, &mut operands).map(|()| row),
    }
    .map_err(|what| format!("{what} in `{text}`"))?;
    b.kernel.code.push(Instruction {
        row,
        line,
        guard,
        args: operands.args.into(),
        offsets: operands.offsets,
        immediate: operands.immediate,
        bytes: operands.bytes,
        count: operands.count,
        uses: pack(&operands.uses),
        defines: pack(&operands.defines),
        text,
    });
    Ok(())
}

impl Builder<'_> {
    /// A register of a fitting type.
    pub(crate) fn register(&self, name: &str, ty: Type, relaxed: bool) -> Result<u16, String> {
        let &(declared, index) = self.registers.get(name).ok_or(format!("no register `{name}`"))?;
        let fits = if relaxed { ty.takes_relaxed(declared) } else { ty.takes(declared) };
        if fits { Ok(index) } else { Err(format!("`{name}` is {declared}, the instruction {ty}")) }
    }

    /// A register, or a constant in a register of its own.
    fn value(&mut self, text: &str, ty: Type, relaxed: bool) -> Result<u16, String> {
        if self.registers.contains_key(text) {
            return self.register(text, ty, relaxed);
        }
        if text.starts_with('%') {
            return Err(format!("no register `{text}` (special registers are read by `mov.u32`)"));
        }
        let bits = literal(text, ty)?;
        match ty.class() {
            Class::Word => self.word(Constant::Bits(bits as u32)),
            Class::Double => self.double(bits),
            Class::Predicate => Err(format!("`{text}` is no predicate")),
        }
    }

    pub(crate) fn operand(
        &mut self,
        o: &mut Operands,
        text: &str,
        ty: Type,
        relaxed: bool,
        role: Role,
    ) -> Result<(), String> {
        let index = match role {
            Role::Define => self.register(text, ty, relaxed)?,
            Role::Use => self.value(text, ty, relaxed)?,
        };
        o.args.push(index);
        let list = if role == Role::Define { &mut o.defines } else { &mut o.uses };
        list.push((ty.class(), index));
        Ok(())
    }

    /// Operands whose types follow from the opcode: see [`Row::operands`].
    fn by_types(
        &mut self,
        row: &Row,
        opcode: &str,
        list: &[&str],
        o: &mut Operands,
    ) -> Result<(), String> {
        let first = opcode.split('.').find_map(Type::parse);
        let last = last_type(opcode);
        let signature: Vec<&str> = row.operands.split_whitespace().collect();
        if signature.len() != list.len() {
            return Err(format!("{} operands, not {}", list.len(), signature.len()));
        }
        for (i, (text, sign)) in list.iter().zip(signature).enumerate() {
            let (name, relaxed) = sign.strip_suffix('~').map_or((sign, false), |s| (s, true));
            let ty = match name {
                "T" => last,
                "D" => first,
                "W" => last.map(Type::doubled),
                name => Type::parse(name),
            };
            let ty = ty.ok_or(format!("`{opcode}` has no type"))?;
            let role = if i == 0 && !matches!(row.meaning, Meaning::WarpBarrier) {
                Role::Define
            } else {
                Role::Use
            };
            if opcode.starts_with("mov.") && role == Role::Use && self.mov_source(o, text, ty)? {
                continue;
            }
            self.operand(o, text, ty, relaxed, role)?;
        }
        Ok(())
    }

    /// `mov` alone reads special registers and addresses of variables.
    pub(crate) fn mov_source(
        &mut self,
        o: &mut Operands,
        text: &str,
        ty: Type,
    ) -> Result<bool, String> {
        let constant = if let Some(special) = special(text) {
            special
        } else if let Some(&at) = self.symbols.get(text) {
            Constant::Bits(at)
        } else if self.dynamic_shared == Some(text) {
            self.kernel.uses_dynamic_shared = true;
            Constant::DynamicShared
        } else {
            return Ok(false);
        };
        if ty.bytes() != 4 {
            return Err(format!("`{text}` has 32 bits"));
        }
        let index = self.word(constant)?;
        o.args.push(index);
        Ok(true)
    }

    /// `mov.b64 d, {lo, hi}` and `mov.b64 {lo, hi}, a`.
    fn pair_form(&mut self, list: &[&str], o: &mut Operands) -> Result<&'static Row, String> {
        if list.len() != 2 {
            return Err(format!("{} operands, not 2", list.len()));
        }
        let (word, double) = (Type::Bits(4), Type::Bits(8));
        let row = if list[0].starts_with('{') { opcodes::split() } else { opcodes::join() };
        for (i, text) in list.iter().enumerate() {
            let role = if i == 0 { Role::Define } else { Role::Use };
            match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
                Some(pair) => {
                    let pair = split_operands(pair);
                    if pair.len() != 2 {
                        return Err(format!("`{text}` is no pair"));
                    }
                    for text in pair {
                        self.operand(o, text, word, false, role)?;
                    }
                }
                None => self.operand(o, text, double, false, role)?,
            }
        }
        Ok(row)
    }
}

/// The type at the end of an opcode.
pub(crate) fn last_type(opcode: &str) -> Option<Type> {
    opcode.rsplit('.').find_map(Type::parse)
}

fn special(name: &str) -> Option<Constant> {
    if name == "%laneid" {
        return Some(Constant::Lane);
    }
    let (register, axis) = name.split_once('.')?;
    let axis = match axis {
        "x" => 0,
        "y" => 1,
        "z" => 2,
        _ => return None,
    };
    let special = match register {
        "%tid" => Special::Tid,
        "%ntid" => Special::Ntid,
        "%ctaid" => Special::Ctaid,
        "%nctaid" => Special::Nctaid,
        _ => return None,
    };
    Some(Constant::Special(special, axis))
}

/// The bits of a constant (PTX ISA 4.5): `0f` and `0d` with hexadecimal digits, decimal fractions, integers.
fn literal(text: &str, ty: Type) -> Result<u64, String> {
    let refuse = || format!("`{text}` is neither a register nor a constant of type {ty}");
    let float = matches!(ty, Type::Float(_));
    let hex = |digits: &str| u64::from_str_radix(digits, 16).map_err(|_| refuse());
    if let Some(digits) = text.strip_prefix("0f").or(text.strip_prefix("0F")) {
        let word = digits.len() == 8 && ty.bytes() == 4;
        return if word { hex(digits) } else { Err(refuse()) };
    }
    if let Some(digits) = text.strip_prefix("0d").or(text.strip_prefix("0D")) {
        let double = digits.len() == 16 && ty.bytes() == 8;
        return if double { hex(digits) } else { Err(refuse()) };
    }
    if float {
        let number: f64 = text.parse().map_err(|_| refuse())?;
        if !text.contains('.') {
            return Err(refuse());
        }
        return Ok(if ty.bytes() == 8 {
            number.to_bits()
        } else {
            u64::from((number as f32).to_bits())
        });
    }
    let digits = text.trim_end_matches('U');
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |d| (true, d));
    let number = match digits.strip_prefix("0x") {
        Some(digits) => hex(digits)?,
        None => digits.parse().map_err(|_| refuse())?,
    };
    let bits = u32::from(ty.bytes()) * 8;
    if bits < 64 && number >> bits != 0 {
        return Err(refuse());
    }
    Ok(if negative { number.wrapping_neg() & (u64::MAX >> (64 - bits)) } else { number })
}
