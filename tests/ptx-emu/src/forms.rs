//! Instructions whose operands do not follow from their types: addresses, vectors, labels, numbers.

use crate::decode::{Builder, Operands, Role, last_type};
use crate::kernel::NONE;
use crate::opcodes::{Meaning, Row, Space};
use crate::source::split_operands;
use crate::types::Type;

impl Builder<'_> {
    /// Instructions with operands of their own kind.
    pub(crate) fn special_form(
        &mut self,
        row: &Row,
        opcode: &str,
        list: &[&str],
        o: &mut Operands,
    ) -> Result<(), String> {
        let ty = last_type(opcode);
        let b32 = Type::Bits(4);
        let n = |i: usize| list.get(i).copied().ok_or(format!("operand {} is missing", i + 1));
        let most = |count: usize| {
            if list.len() > count { Err(format!("more than {count} operands")) } else { Ok(()) }
        };
        if let Some(ty) = ty {
            o.bytes = ty.bytes();
        }
        match &row.meaning {
            Meaning::LoadParameter => {
                most(2)?;
                self.parameter(o, n(0)?, n(1)?, ty.unwrap_or(b32))
            }
            Meaning::Load(space) => {
                most(2)?;
                self.access(o, opcode, n(0)?, n(1)?, *space, Role::Define)
            }
            Meaning::LoadReadOnly => {
                most(2)?;
                self.access(o, opcode, n(0)?, n(1)?, Space::Global, Role::Define)
            }
            Meaning::Store(space) => {
                most(2)?;
                self.access(o, opcode, n(1)?, n(0)?, *space, Role::Use)
            }
            Meaning::Atomic(space, _, returns) => {
                let ty = ty.unwrap_or(b32);
                let at = usize::from(*returns);
                if *returns {
                    self.operand(o, n(0)?, ty, false, Role::Define)?;
                }
                self.address(o, n(at)?, *space, 0)?;
                most(at + 2 + usize::from(opcode.contains(".cas.")))?;
                for text in &list[at + 1..] {
                    self.operand(o, text, ty, false, Role::Use)?;
                }
                n(at + 1).map(|_| ())
            }
            Meaning::Branch { .. } => {
                most(1)?;
                self.branches.push((self.kernel.code.len(), n(0)?.to_owned()));
                Ok(())
            }
            Meaning::Barrier => {
                most(1)?;
                o.immediate = small(n(0)?, 15, "a barrier is 0 to 15, for all threads of a block")?;
                Ok(())
            }
            Meaning::Shuffle(_) => self.shuffle(o, list),
            Meaning::Matrix(_) => {
                most(4)?;
                for (i, (count, role)) in
                    [(4, Role::Define), (4, Role::Use), (2, Role::Use), (4, Role::Use)]
                        .into_iter()
                        .enumerate()
                {
                    let float = if i % 3 == 0 { Type::Float(4) } else { b32 };
                    self.vector(o, n(i)?, float, count, role)?;
                }
                Ok(())
            }
            Meaning::LoadMatrix { matrices, .. } => {
                most(2)?;
                self.vector(o, n(0)?, b32, usize::from(*matrices), Role::Define)?;
                self.address(o, n(1)?, Space::Shared, 0)
            }
            Meaning::CopyAsync => {
                most(4)?;
                self.address(o, n(0)?, Space::Shared, 0)?;
                self.address(o, n(1)?, Space::Global, 1)?;
                o.immediate = small(n(2)?, 16, "a copy is of 4, 8 or 16 bytes")?;
                let only_16 = opcode.contains(".cg.");
                if !matches!((o.immediate, only_16), (4 | 8, false) | (16, _)) {
                    return Err(format!("a copy of {} bytes", o.immediate));
                }
                match list.get(3) {
                    Some(bytes) => self.operand(o, bytes, Type::Unsigned(4), false, Role::Use),
                    None => Ok(()),
                }
            }
            Meaning::WaitCopies { all: false } => {
                most(1)?;
                o.immediate = small(n(0)?, 1 << 16, "a number of groups")?;
                Ok(())
            }
            Meaning::CommitCopies | Meaning::WaitCopies { all: true } => most(0),
            _ => Err("an opcode without a form".into()),
        }
    }

    fn parameter(
        &mut self,
        o: &mut Operands,
        to: &str,
        from: &str,
        ty: Type,
    ) -> Result<(), String> {
        self.operand(o, to, ty, false, Role::Define)?;
        let name = from.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or("");
        let parameter = self.kernel.parameters.iter().find(|p| p.name == name.trim());
        let parameter = parameter.ok_or(format!("no parameter `{from}`"))?;
        if parameter.bytes != usize::from(ty.bytes()) {
            return Err(format!("parameter `{name}` has {} bytes", parameter.bytes));
        }
        o.offsets[0] = i64::try_from(parameter.offset).map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Registers, then the address.
    fn access(
        &mut self,
        o: &mut Operands,
        opcode: &str,
        registers: &str,
        address: &str,
        space: Space,
        role: Role,
    ) -> Result<(), String> {
        let ty = last_type(opcode);
        let ty = ty.ok_or("an access without a type")?;
        let count = match opcode {
            _ if opcode.contains(".v4.") => 4,
            _ if opcode.contains(".v2.") => 2,
            _ => 1,
        };
        o.count = count;
        self.kernel.granule = self.kernel.granule.min(usize::from(ty.bytes()));
        if count == 1 {
            self.operand(o, registers, ty, ty.bytes() < 4, role)?;
        } else {
            self.vector(o, registers, ty, usize::from(count), role)?;
        }
        self.address(o, address, space, 0)
    }

    fn vector(
        &mut self,
        o: &mut Operands,
        text: &str,
        ty: Type,
        count: usize,
        role: Role,
    ) -> Result<(), String> {
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let list = split_operands(inner.ok_or(format!("`{text}` is no vector"))?);
        if list.len() != count {
            return Err(format!("`{text}` has {} elements, not {count}", list.len()));
        }
        list.iter().try_for_each(|text| self.operand(o, text, ty, false, role))
    }

    /// `[register]`, `[register+bytes]`, `[variable]`, `[variable+bytes]`.
    fn address(
        &mut self,
        o: &mut Operands,
        text: &str,
        space: Space,
        k: usize,
    ) -> Result<(), String> {
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let inner = inner.ok_or(format!("`{text}` is no address"))?;
        let split = inner.char_indices().skip(1).find(|(_, c)| "+-".contains(*c));
        let (base, bytes) = split.map_or((inner, ""), |(at, _)| inner.split_at(at));
        let (base, bytes) = (base.trim(), bytes.trim().trim_start_matches('+').trim());
        if !bytes.is_empty() {
            o.offsets[k] = bytes.parse().map_err(|_| format!("offset `{bytes}`"))?;
        }
        let ty = if space == Space::Global { Type::Unsigned(8) } else { Type::Unsigned(4) };
        if space == Space::Shared
            && (self.symbols.contains_key(base) || self.dynamic_shared == Some(base))
        {
            self.mov_source(o, base, ty)?;
            return Ok(());
        }
        let index = self.register(base, ty, false)?;
        o.args.push(index);
        o.uses.push((ty.class(), index));
        Ok(())
    }

    /// `shfl.sync.bfly.b32 d|p, a, b, c, membermask`
    fn shuffle(&mut self, o: &mut Operands, list: &[&str]) -> Result<(), String> {
        let &[to, a, b, c, mask] = list else {
            return Err(format!("{} operands, not 5", list.len()));
        };
        let b32 = Type::Bits(4);
        let (to, inside) =
            to.split_once('|').map_or((to, None), |(d, p)| (d.trim(), Some(p.trim())));
        self.operand(o, to, b32, false, Role::Define)?;
        match inside {
            Some(p) => self.operand(o, p, Type::Pred, false, Role::Define)?,
            None => o.args.push(NONE),
        }
        [a, b, c, mask].iter().try_for_each(|text| self.operand(o, text, b32, false, Role::Use))
    }
}

fn small(text: &str, most: u32, what: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|n| *n <= most);
    number.ok_or(format!("`{text}`: {what}"))
}
