//! Google's `.model` file: a protocol buffer, read and written by hand.
//!
//! A message is a list of fields, each a key (`number << 3 | wire type`) and a value: a varint (wire type 0), eight
//! bytes (1), a length and that many bytes (2), or four bytes (5). Of `sentencepiece_model.proto` only the fields that
//! decide how text is cut are read; the others are skipped, whatever they are.
//!
//! | message | field | |
//! |---|---|---|
//! | ModelProto | 1 pieces, 2 trainer_spec, 3 normalizer_spec | |
//! | SentencePiece | 1 piece, 2 score, 3 type | the ids are the places in the list |
//! | TrainerSpec | 3 model_type, 4 vocab_size, 24 treat_whitespace_as_suffix, 35 byte_fallback | 1 unigram, 2 bpe |
//! | | 40-43 ids and 45-48 pieces of unk, bos, eos, pad | |
//! | NormalizerSpec | 1 name, 2 precompiled_charsmap | see [`charsmap`](super::charsmap) |
//! | | 3 add_dummy_prefix, 4 remove_extra_whitespaces, 5 escape_whitespaces | true unless given |

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// Found in text.
    Normal = 1,
    /// What the vocabulary cannot say.
    Unknown = 2,
    /// Placed by programs, never found in text.
    Control = 3,
    /// Found in text before anything else.
    UserDefined = 4,
    /// Not found any more.
    Unused = 5,
    /// One byte of a character that has no piece.
    Byte = 6,
}

impl PieceKind {
    fn from_number(number: u64) -> Option<Self> {
        [Self::Normal, Self::Unknown, Self::Control, Self::UserDefined, Self::Unused, Self::Byte]
            .into_iter()
            .find(|kind| *kind as u64 == number)
    }
}

/// One entry of the vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

/// How pieces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram = 1,
    Bpe = 2,
}

/// The parts of a `.model` file that decide how text is cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelFile {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) byte_fallback: bool,
    /// The pieces named unk, bos, eos and pad.
    pub(super) roles: [Option<String>; 4],
    pub(super) normalizer_name: String,
    /// Empty: text is not changed.
    pub(super) charsmap: Vec<u8>,
    /// Whether a space is put before the text.
    pub(super) add_dummy_prefix: bool,
    /// Whether runs of spaces become one, and those at both ends none.
    pub(super) remove_extra_whitespaces: bool,
}

/// A value of a field: a number, or bytes.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(&self) -> Result<u64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Bytes(_) => Err("a number is written as bytes".into()),
        }
    }

    fn bytes(&self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("bytes are written as a number".into()),
        }
    }

    fn text(&self) -> Result<String, String> {
        let text = std::str::from_utf8(self.bytes()?);
        Ok(text.map_err(|_| "a piece is not UTF-8")?.to_owned())
    }
}

/// Calls `visit` with number and value of every field of a message.
fn fields<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u64, Value<'a>) -> Result<(), String>,
) -> Result<(), String> {
    fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (taken, rest) =
            bytes.split_at_checked(len).ok_or("it ends in the middle of a field")?;
        *bytes = rest;
        Ok(taken)
    }
    fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = take(bytes, 1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is longer than 64 bits".into())
    }
    let little = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => Value::Number(little(take(&mut bytes, 8)?)),
            2 => {
                let len = varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, len)?)
            }
            5 => Value::Number(little(take(&mut bytes, 4)?)),
            other => return Err(format!("wire type {other} is not known")),
        };
        visit(key >> 3, value)?;
    }
    Ok(())
}

impl ModelFile {
    /// Reads a file; the error says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let name = |text: &str| Some(text.to_owned());
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            roles: [name("<unk>"), name("<s>"), name("</s>"), name("<pad>")],
            normalizer_name: String::new(),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        fields(bytes, |number, value| match number {
            1 => {
                model.pieces.push(piece(value.bytes()?)?);
                Ok(())
            }
            2 => model.trainer_spec(value.bytes()?),
            3 => model.normalizer_spec(value.bytes()?),
            _ => Ok(()),
        })?;
        let kinds = |kind| model.pieces.iter().filter(move |piece| piece.kind == kind);
        if kinds(PieceKind::Unknown).count() != 1 {
            return Err("it has no piece for unknown text, or several".into());
        }
        // A role whose piece is not in the vocabulary does not exist.
        for role in &mut model.roles {
            let control = |piece: &&Piece| {
                matches!(piece.kind, PieceKind::Control | PieceKind::Unknown)
                    && Some(&piece.text) == role.as_ref()
            };
            *role = model.pieces.iter().find(control).map(|piece| piece.text.clone());
        }
        Ok(model)
    }

    fn trainer_spec(&mut self, bytes: &[u8]) -> Result<(), String> {
        fields(bytes, |number, value| {
            match number {
                3 => {
                    self.algorithm = match value.number()? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => {
                            return Err(
                                "its model_type is word; unigram and bpe can be read".into()
                            );
                        }
                        4 => {
                            return Err(
                                "its model_type is char; unigram and bpe can be read".into()
                            );
                        }
                        _ => return Err("its model_type is not known".into()),
                    }
                }
                24 if value.number()? != 0 => {
                    return Err("it marks the ends of words (treat_whitespace_as_suffix)".into());
                }
                35 => self.byte_fallback = value.number()? != 0,
                45 => self.roles[0] = Some(value.text()?),
                46 => self.roles[1] = Some(value.text()?),
                47 => self.roles[2] = Some(value.text()?),
                48 => self.roles[3] = Some(value.text()?),
                _ => {}
            }
            Ok(())
        })
    }

    fn normalizer_spec(&mut self, bytes: &[u8]) -> Result<(), String> {
        fields(bytes, |number, value| {
            match number {
                1 => self.normalizer_name = value.text()?,
                2 => self.charsmap = value.bytes()?.to_vec(),
                3 => self.add_dummy_prefix = value.number()? != 0,
                4 => self.remove_extra_whitespaces = value.number()? != 0,
                5 if value.number()? == 0 => {
                    return Err("it does not mark spaces (escape_whitespaces is false)".into());
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Message::default();
        for piece in &self.pieces {
            let mut message = Message::default();
            message.bytes(1, piece.text.as_bytes());
            message.key(2, 5);
            message.0.extend(piece.score.to_le_bytes());
            message.number(3, piece.kind as u64);
            out.bytes(1, &message.0);
        }
        let mut trainer = Message::default();
        trainer.number(3, self.algorithm as u64);
        trainer.number(4, self.pieces.len() as u64);
        trainer.number(35, self.byte_fallback.into());
        for (i, role) in (0..).zip(&self.roles) {
            let id =
                role.as_ref().and_then(|role| self.pieces.iter().position(|p| p.text == *role));
            // A negative number says that there is none.
            trainer.number(40 + i, id.map_or(u64::MAX, |id| id as u64));
            if let Some(role) = role {
                trainer.bytes(45 + i, role.as_bytes());
            }
        }
        out.bytes(2, &trainer.0);
        let mut normalizer = Message::default();
        normalizer.bytes(1, self.normalizer_name.as_bytes());
        normalizer.bytes(2, &self.charsmap);
        normalizer.number(3, self.add_dummy_prefix.into());
        normalizer.number(4, self.remove_extra_whitespaces.into());
        normalizer.number(5, 1);
        out.bytes(3, &normalizer.0);
        out.0
    }
}

fn piece(bytes: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    fields(bytes, |number, value| {
        match number {
            1 => piece.text = value.text()?,
            2 => {
                let bits = u32::try_from(value.number()?).map_err(|_| "a score is not a float")?;
                piece.score = f32::from_bits(bits);
            }
            3 => {
                piece.kind =
                    PieceKind::from_number(value.number()?).ok_or("a piece has an unknown type")?;
            }
            _ => {}
        }
        Ok(())
    })?;
    if piece.text.is_empty() || !piece.score.is_finite() {
        return Err("a piece has no text, or a score that is not a number".into());
    }
    Ok(piece)
}

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn number(&mut self, field: u64, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelFile {
        let piece = |text: &str, score, kind| Piece { text: text.into(), score, kind };
        ModelFile {
            pieces: vec![
                piece("<s>", 0.0, PieceKind::Control),
                piece("<unk>", 0.0, PieceKind::Unknown),
                piece("▁é", -1.5, PieceKind::Normal),
            ],
            algorithm: Algorithm::Bpe,
            byte_fallback: true,
            roles: [Some("<unk>".into()), Some("<s>".into()), None, None],
            normalizer_name: "x".into(),
            charsmap: vec![1, 2, 3],
            add_dummy_prefix: false,
            remove_extra_whitespaces: true,
        }
    }

    #[test]
    fn test_sentencepiece_model__round_trip_and_every_truncation() {
        let bytes = model().to_bytes();
        assert_eq!(ModelFile::parse(&bytes).unwrap(), model());
        for end in 0..bytes.len() {
            // A shorter file is refused, or is whole as far as it goes; it never panics.
            if let Ok(parsed) = ModelFile::parse(&bytes[..end]) {
                assert!(parsed.pieces.len() >= 2);
            }
        }
        for i in 0..bytes.len() {
            for byte in [0, 0x7F, 0x80, 0xFF] {
                let mut broken = bytes.clone();
                broken[i] = byte;
                let _ = ModelFile::parse(&broken);
            }
        }
    }

    #[test]
    fn test_sentencepiece_model__what_cannot_be_read_exactly_is_refused() {
        let mut message = Message(model().to_bytes());
        message.bytes(2, &[3 << 3, 3]);
        assert!(ModelFile::parse(&message.0).unwrap_err().contains("word"));
        assert!(ModelFile::parse(b"").unwrap_err().contains("unknown text"));
        assert!(ModelFile::parse(b"{}").is_err());
    }
}
