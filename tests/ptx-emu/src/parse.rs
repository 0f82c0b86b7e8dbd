//! From text to [`Module`]: directives, parameters, declarations (PTX ISA 4, 5, 11).

use crate::decode::Builder;
use crate::kernel::{Kernel, Module, Parameter};
use crate::source::{Cursor, strip_comments};
use crate::types::Type;
use crate::{ParseError, decode};

/// What applies to the whole module.
#[derive(Default)]
struct Header {
    target: u32,
    version: (u32, u32),
    /// The name of the `.extern .shared` array.
    dynamic_shared: Option<String>,
}

pub(crate) fn module(text: &str) -> Result<Module, ParseError> {
    let text = strip_comments(text);
    let mut cursor = Cursor::new(&text);
    let mut header = Header::default();
    let mut kernels: Vec<Kernel> = vec![];
    while cursor.peek().is_some() {
        let line = cursor.line;
        let error = |what: String| ParseError { line, what };
        match cursor.word() {
            ".version" => header.version = version(cursor.word()).map_err(error)?,
            ".target" => header.target = target(cursor.word()).map_err(error)?,
            ".address_size" => match cursor.word() {
                "64" => {}
                other => return Err(error(format!("address size {other}, not 64"))),
            },
            ".visible" | ".weak" => {}
            ".extern" => {
                let (declaration, _) = cursor.until(&[';']).unwrap_or(("", ';'));
                let name = dynamic_shared(declaration).map_err(error)?;
                header.dynamic_shared = Some(name);
            }
            ".entry" => {
                if header.target == 0 || header.version == (0, 0) {
                    return Err(error(".version and .target come before the first .entry".into()));
                }
                let kernel = entry(&mut cursor, &header)?;
                if kernels.iter().any(|k| k.name == kernel.name) {
                    return Err(error(format!("a second entry {}", kernel.name)));
                }
                kernels.push(kernel);
            }
            other => return Err(error(format!("unsupported directive `{other}`"))),
        }
    }
    Ok(Module { kernels })
}

fn version(text: &str) -> Result<(u32, u32), String> {
    let numbers = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or(format!("version `{text}`"))
}

fn target(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("sm_").and_then(|n| n.parse().ok());
    number.filter(|n| *n >= 70).ok_or(format!("target `{text}`, not sm_70 or later"))
}

fn dynamic_shared(declaration: &str) -> Result<String, String> {
    let refuse = || format!("unsupported declaration `.extern {declaration}`");
    let rest = declaration.strip_prefix(".shared").ok_or_else(refuse)?;
    let array = rest.split_whitespace().last().ok_or_else(refuse)?;
    Ok(array.strip_suffix("[]").ok_or_else(refuse)?.to_owned())
}

fn entry(cursor: &mut Cursor<'_>, header: &Header) -> Result<Kernel, ParseError> {
    let name = cursor.word().to_owned();
    let mut builder = Builder::new(name, header.target, header.dynamic_shared.as_deref());
    let at = |line, what| ParseError { line, what };
    if cursor.take('(') {
        let line = cursor.line;
        let (list, _) = cursor.until(&[')']).ok_or(at(line, "`(` without `)`".into()))?;
        for (i, text) in list.split(',').filter(|p| !p.trim().is_empty()).enumerate() {
            let line = line + newlines(list, i);
            parameter(&mut builder.kernel, text).map_err(|what| at(line, what))?;
        }
    }
    while !cursor.take('{') {
        let line = cursor.line;
        directive(cursor, &mut builder.kernel).map_err(|what| at(line, what))?;
    }
    body(cursor, &mut builder)?;
    builder.finish()
}

/// Line breaks before part i of a list.
fn newlines(list: &str, i: usize) -> u32 {
    let before: usize = list.split(',').take(i).map(|p| p.matches('\n').count()).sum();
    let own = list.split(',').nth(i).unwrap_or("");
    let leading = own.len() - own.trim_start().len();
    u32::try_from(before + own[..leading].matches('\n').count()).unwrap_or(0)
}

fn parameter(kernel: &mut Kernel, text: &str) -> Result<(), String> {
    let refuse = || format!("unsupported parameter `{}`: write `.param .u64 name`", text.trim());
    let words: Vec<&str> = text.split_whitespace().collect();
    let [".param", ty, name] = words[..] else {
        return Err(refuse());
    };
    let ty = ty.strip_prefix('.').and_then(Type::parse).ok_or_else(refuse)?;
    let bytes = usize::from(ty.bytes());
    if bytes < 4 || name.contains('[') {
        return Err(refuse());
    }
    let offset = kernel.parameter_bytes.next_multiple_of(bytes);
    kernel.parameter_bytes = offset + bytes;
    kernel.parameters.push(Parameter { name: name.to_owned(), offset, bytes });
    Ok(())
}

fn directive(cursor: &mut Cursor<'_>, kernel: &mut Kernel) -> Result<(), String> {
    let name = cursor.word();
    let mut numbers = [1_u32; 3];
    for n in &mut numbers {
        let word = cursor.word();
        *n = word.parse().map_err(|_| format!("directive `{name}` with `{word}`"))?;
        if !cursor.take(',') {
            break;
        }
    }
    match name {
        ".maxntid" => kernel.max_threads = Some(numbers),
        ".reqntid" => kernel.required_threads = Some(numbers),
        ".minnctapersm" | ".maxnreg" => {}
        _ => return Err(format!("unsupported directive `{name}`")),
    }
    Ok(())
}

fn body(cursor: &mut Cursor<'_>, builder: &mut Builder<'_>) -> Result<(), ParseError> {
    while !cursor.take('}') {
        let line = cursor.line;
        let error = |what| ParseError { line, what };
        let end = || error(format!("the body of {} has no end", builder.kernel.name));
        let statement = match cursor.statement() {
            Some(s) => s,
            None => return Err(end()),
        };
        if let Some(label) = statement.strip_suffix(':') {
            builder.label(label.trim()).map_err(error)?;
        } else if let Some(rest) = statement.strip_prefix(".reg") {
            registers(builder, rest).map_err(error)?;
        } else if let Some(rest) = statement.strip_prefix(".shared") {
            shared(builder, rest).map_err(error)?;
        } else {
            decode::instruction(builder, line, statement).map_err(error)?;
        }
    }
    Ok(())
}

/// `.reg .f32 %f<8>, %sum`
fn registers(builder: &mut Builder<'_>, text: &str) -> Result<(), String> {
    let refuse = || format!("declaration `.reg{text}`");
    let (ty, names) = text.trim().split_once(char::is_whitespace).ok_or_else(refuse)?;
    let ty = ty.strip_prefix('.').and_then(Type::parse).ok_or_else(refuse)?;
    for name in names.split(',') {
        let name = name.trim();
        match name.strip_suffix('>').and_then(|n| n.split_once('<')) {
            Some((stem, count)) => {
                for i in 0..count.parse::<u32>().map_err(|_| refuse())? {
                    builder.declare(&format!("{stem}{i}"), ty)?;
                }
            }
            None => builder.declare(name, ty)?,
        }
    }
    Ok(())
}

/// `.shared .align 16 .b8 tile[512]`
fn shared(builder: &mut Builder<'_>, text: &str) -> Result<(), String> {
    let refuse = || format!("declaration `.shared{text}`: write `.shared .align 4 .f32 name[8]`");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (align, ty, array) = match words[..] {
        [".align", align, ty, array] => (align.parse().map_err(|_| refuse())?, ty, array),
        [ty, array] => (0, ty, array),
        _ => return Err(refuse()),
    };
    let ty = ty.strip_prefix('.').and_then(Type::parse).ok_or_else(refuse)?;
    let (name, count) =
        array.strip_suffix(']').and_then(|a| a.split_once('[')).ok_or_else(refuse)?;
    let count: u32 = count.parse().map_err(|_| refuse())?;
    let align: u32 = align;
    builder.shared(name, align.max(u32::from(ty.bytes())), count * u32::from(ty.bytes()))
}
