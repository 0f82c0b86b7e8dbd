//! YAML with its comments: a tree of entries that can be moved, renamed and written again.
//!
//! The parser knows structure and places, the text knows comments; an entry takes the lines of comment right above it, and
//! what stands beside it. What is not touched is written as it was, but for its indentation.

use crate::config::node::{Key, Node, Value};

/// A key with its value and its comments.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Lines of comment above it, and empty lines.
    pub(super) above: Vec<String>,
    pub(super) name: String,
    pub(super) content: Content,
    /// The comment beside the name of a section, with its '#'; empty for none.
    pub(super) beside: String,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Section(Vec<Entry>),
    /// Items of a list that are sections.
    Items(Vec<Vec<Entry>>),
    /// What stands behind the colon, comment and all, and the lines that go on with it, indented as far as they are more
    /// than the key.
    Lines(Vec<String>),
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) entries: Vec<Entry>,
    /// Comments at its end.
    pub(super) tail: Vec<String>,
}

impl Entry {
    pub(super) fn new(name: &str, value: &str) -> Self {
        let content = Content::Lines(vec![value.to_owned()]);
        Self { above: Vec::new(), name: name.to_owned(), content, beside: String::new() }
    }

    /// Its value on one line without its comment and quotes; None for what is longer.
    pub(super) fn scalar(&self) -> Option<&str> {
        let Content::Lines(lines) = &self.content else { return None };
        let [line] = lines.as_slice() else { return None };
        let value = split_comment(line).0;
        let quoted = |q: char| value.strip_prefix(q).and_then(|v| v.strip_suffix(q));
        Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(value))
    }

    /// Its value for people.
    pub(super) fn shown(&self) -> String {
        match &self.content {
            Content::Lines(lines) if lines.len() == 1 => split_comment(&lines[0]).0.to_owned(),
            _ => "...".to_owned(),
        }
    }

    /// Gives it another value, with its comment kept.
    pub(super) fn set(&mut self, value: &str) {
        let comment = match &self.content {
            Content::Lines(lines) => lines.first().map_or("", |l| split_comment(l).1),
            _ => "",
        };
        let line = format!("{value}  {comment}").trim_end().to_owned();
        self.content = Content::Lines(vec![line]);
    }
}

/// A value, and the comment behind it with its '#'.
fn split_comment(line: &str) -> (&str, &str) {
    let (mut quote, mut before) = (None, ' ');
    for (i, c) in line.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => return (line[..i].trim(), &line[i..]),
            None if matches!(c, '"' | '\'') && (i == 0 || " [{,:".contains(before)) => {
                quote = Some(c);
            }
            None => {}
        }
        before = c;
    }
    (line.trim(), "")
}

impl Document {
    /// The file as its author wrote it; None where its lines are not laid out one key a line.
    pub(super) fn read(text: &str, tree: &Node) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let (entries, end) = section(tree, &lines, 0, lines.len(), false)?;
        let tail = lines[end..].iter().map(|l| l.trim().to_owned()).collect();
        Some(Self { entries, tail })
    }

    /// What the file says, without its comments.
    pub(super) fn of_tree(tree: &Node) -> Self {
        Self { entries: bare(tree.entries()), tail: Vec::new() }
    }

    pub(super) fn write(&self) -> String {
        let mut out = Vec::new();
        write_entries(&self.entries, "", &mut out);
        out.extend(self.tail.iter().cloned());
        let mut text = out.join("\n");
        while text.ends_with("\n\n") {
            text.pop();
        }
        text.trim_end_matches('\n').to_owned() + "\n"
    }

    /// The entry at a dotted path; a number selects an item of a list.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.section(parent)?.iter().find(|e| e.name == name)
    }

    pub(super) fn find_mut(&mut self, path: &str) -> Option<&mut Entry> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        self.section_mut(parent)?.iter_mut().find(|e| e.name == name)
    }

    /// Takes an entry out of the file.
    pub(super) fn take(&mut self, path: &str) -> Option<Entry> {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let entries = self.section_mut(parent)?;
        let i = entries.iter().position(|e| e.name == name)?;
        let mut entry = entries.remove(i);
        // What is said above a key that goes, behind an empty line, may be the title of those after it.
        if let Some(next) = entries.get_mut(i)
            && entry.above.iter().any(String::is_empty)
        {
            entry.above.append(&mut next.above);
            next.above = std::mem::take(&mut entry.above);
        }
        Some(entry)
    }

    /// Adds an entry at the end of a section, which is made if it is not there.
    pub(super) fn put(&mut self, parent: &str, entry: Entry) {
        if parent.is_empty() {
            self.entries.push(entry);
            return;
        }
        if self.section(parent).is_none() {
            let (above, name) = parent.rsplit_once('.').unwrap_or(("", parent));
            self.take(parent);
            let content = Content::Section(Vec::new());
            let section = Entry { content, ..Entry::new(name, "") };
            self.put(above, section);
        }
        if let Some(entries) = self.section_mut(parent) {
            entries.push(entry);
        }
    }

    /// The entries of the section at a dotted path; the file itself for an empty one.
    pub(super) fn section(&self, path: &str) -> Option<&Vec<Entry>> {
        let mut entries = &self.entries;
        let mut steps = path.split('.').filter(|s| !s.is_empty());
        while let Some(step) = steps.next() {
            entries = match &entries.iter().find(|e| e.name == step)?.content {
                Content::Section(inner) => inner,
                Content::Items(items) => items.get(steps.next()?.parse::<usize>().ok()?)?,
                Content::Lines(_) => return None,
            };
        }
        Some(entries)
    }

    pub(super) fn section_mut(&mut self, path: &str) -> Option<&mut Vec<Entry>> {
        let mut entries = &mut self.entries;
        let mut steps = path.split('.').filter(|s| !s.is_empty());
        while let Some(step) = steps.next() {
            entries = match &mut entries.iter_mut().find(|e| e.name == step)?.content {
                Content::Section(inner) => inner,
                Content::Items(items) => items.get_mut(steps.next()?.parse::<usize>().ok()?)?,
                Content::Lines(_) => return None,
            };
        }
        Some(entries)
    }
}

fn write_entries(entries: &[Entry], pad: &str, out: &mut Vec<String>) {
    for entry in entries {
        write_entry(entry, pad, pad, out);
    }
}

/// `first` stands before the key, `pad` before all that belongs to it.
fn write_entry(entry: &Entry, first: &str, pad: &str, out: &mut Vec<String>) {
    let above = first.strip_suffix("- ").unwrap_or(first);
    for line in &entry.above {
        out.push(if line.is_empty() { String::new() } else { format!("{above}{line}") });
    }
    let name = &entry.name;
    let beside = |text: String| match entry.beside.as_str() {
        "" => text,
        comment => format!("{text}  {comment}"),
    };
    match &entry.content {
        Content::Lines(lines) => {
            let mut lines = lines.iter();
            let value = lines.next().map_or("", String::as_str);
            out.push(format!("{first}{name}: {value}").trim_end().to_owned());
            out.extend(lines.map(|l| format!("{pad}{l}").trim_end().to_owned()));
        }
        Content::Section(inner) => {
            out.push(beside(format!("{first}{name}:")));
            write_entries(inner, &format!("{pad}  "), out);
        }
        Content::Items(items) => {
            out.push(beside(format!("{first}{name}:")));
            let pad = format!("{pad}    ");
            for item in items {
                for (i, entry) in item.iter().enumerate() {
                    let dash = format!("{}- ", &pad[2..]);
                    write_entry(entry, if i == 0 { &dash } else { &pad }, &pad, out);
                }
            }
        }
    }
}

/// The entries of a mapping that begins behind line `from` and ends before `to` (counted from 0), and the line behind its
/// last value.
fn section(
    node: &Node,
    lines: &[&str],
    from: usize,
    to: usize,
    item: bool,
) -> Option<(Vec<Entry>, usize)> {
    let keys = node.entries();
    let mut entries = Vec::new();
    let mut end = from;
    for (i, (key, value)) in keys.iter().enumerate() {
        let line = key.at.line.checked_sub(1)?;
        let before = lines.get(line)?.get(..byte(lines[line], key.at.column - 1)?)?;
        let alone = before.trim().is_empty() || item && i == 0 && before.trim() == "-";
        if !alone || line < end {
            return None;
        }
        let above = lines[end..line].iter().map(|l| l.trim().to_owned()).collect::<Vec<_>>();
        if above.iter().any(|l| !l.is_empty() && !l.starts_with('#')) {
            return None;
        }
        let next = keys.get(i + 1).map_or(to, |(k, _)| k.at.line.saturating_sub(1)).min(to);
        let (entry, behind) = entry(key, value, lines, line, next)?;
        entries.push(Entry { above, ..entry });
        end = behind;
    }
    Some((entries, end))
}

/// One entry, whose lines end before `to`, and the line behind its value.
fn entry(key: &Key, node: &Node, lines: &[&str], line: usize, to: usize) -> Option<(Entry, usize)> {
    let text = lines[line];
    let start = byte(text, key.at.column - 1)?;
    let colon = start + text[start..].find(':')?;
    let rest = text[colon + 1..].trim();
    let (value, comment) = split_comment(rest);
    let plain = Entry::new(&key.name, rest);
    let inner = node.entries().first().map(|(k, _)| k.at.line - 1);
    if inner.is_some_and(|l| l > line) && value.is_empty() {
        let (entries, end) = section(node, lines, line + 1, to, false)?;
        let content = Content::Section(entries);
        return Some((Entry { content, beside: comment.to_owned(), ..plain }, end));
    }
    if let (Value::List(items), true) = (&node.value, value.is_empty())
        && !items.is_empty()
        && items.iter().all(|i| !i.entries().is_empty())
    {
        let first = |node: &Node| node.entries().first().map(|(k, _)| k.at.line - 1);
        let (mut content, mut end) = (Vec::new(), line + 1);
        for (i, item) in items.iter().enumerate() {
            let next = items.get(i + 1).and_then(first).unwrap_or(to).min(to);
            let (entries, behind) = section(item, lines, end, next, true)?;
            content.push(entries);
            end = behind;
        }
        let content = Content::Items(content);
        return Some((Entry { content, beside: comment.to_owned(), ..plain }, end));
    }
    // The value goes on as long as lines are not empty and not comments.
    let goes_on = |l: &&str| !l.trim().is_empty() && !l.trim().starts_with('#');
    let last = (line + 1..to).rev().find(|i| goes_on(&lines[*i])).unwrap_or(line);
    let more = lines[line + 1..=last].iter().map(|l| {
        let indent = l.len() - l.trim_start().len();
        l[indent.min(start)..].to_owned()
    });
    let lines: Vec<String> = std::iter::once(rest.to_owned()).chain(more).collect();
    if node.entries().is_empty() {
        return Some((Entry { content: Content::Lines(lines), ..plain }, last + 1));
    }
    // A section in braces is laid out anew; comments between its lines would have no place.
    let commented = |line: &String| !split_comment(line).1.is_empty();
    if lines.len() > 1 && lines.iter().any(commented) {
        return None;
    }
    let content = Content::Section(bare(node.entries()));
    Some((Entry { content, beside: comment.to_owned(), ..plain }, last + 1))
}

/// The byte at which a character stands.
fn byte(line: &str, characters: usize) -> Option<usize> {
    line.char_indices().map(|(i, _)| i).chain([line.len()]).nth(characters)
}

/// Entries without comments.
fn bare(entries: &[(Key, Node)]) -> Vec<Entry> {
    let entry = |(key, node): &(Key, Node)| {
        let plain = Entry::new(&key.name, &flow(node));
        match &node.value {
            Value::Map(inner) if !inner.is_empty() => {
                Entry { content: Content::Section(bare(inner)), ..plain }
            }
            Value::List(items)
                if !items.is_empty() && items.iter().all(|i| !i.entries().is_empty()) =>
            {
                let items = items.iter().map(|item| bare(item.entries())).collect();
                Entry { content: Content::Items(items), ..plain }
            }
            _ => plain,
        }
    };
    entries.iter().map(entry).collect()
}

/// A value on one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Float(f) => node.spelling.clone().unwrap_or_else(|| f.to_string()),
        // A JSON string is a YAML string.
        Value::Text(s) => serde_json::Value::from(s.as_str()).to_string(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry = |(k, n): &(Key, Node)| {
                format!("{}: {}", serde_json::Value::from(k.name.as_str()), flow(n))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
