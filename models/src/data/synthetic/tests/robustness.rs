use foundry_engine::philox::philox;

use super::super::Grammar;
use super::{SMALL, english_path};

/// Random words, a pure function of the case.
struct Noise {
    case: u32,
    drawn: u32,
}

impl Noise {
    fn next(&mut self) -> u32 {
        self.drawn += 1;
        philox([17, self.case], [self.drawn, 0, 0, 0])[0]
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

/// Parsing must end in a grammar or an error; a grammar must give sentences that end and that it accepts.
fn survives(text: &str) -> bool {
    match Grammar::parse("mutant", text) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
        Ok(grammar) => {
            for i in 0..3 {
                let sentence = grammar.sentence(1, i);
                assert!(!sentence.is_empty() && !sentence.contains('\n'), "{text}");
            }
            true
        }
    }
}

#[test]
fn test_parse__random_characters() {
    let alphabet: Vec<char> =
        "aS[]=|:?/,->!#\"_ \n\t\r0.5?nwordsé\u{0}\u{2028}\u{1F600}".chars().collect();
    for case in 0..3_000 {
        let mut noise = Noise { case, drawn: 0 };
        let length = noise.below(80);
        let text: String = (0..length).map(|_| alphabet[noise.below(alphabet.len())]).collect();
        survives(&text);
    }
}

#[test]
fn test_load__random_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.grammar");
    for case in 0..200 {
        let mut noise = Noise { case, drawn: 0 };
        let bytes: Vec<u8> = (0..noise.below(300)).map(|_| noise.next().to_le_bytes()[0]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let _ = Grammar::load(&path).map_err(|e| e.to_string());
    }
}

/// Characters and tokens of a good grammar deleted, doubled, swapped, replaced.
fn mutate(text: &str, noise: &mut Noise) -> String {
    let mut tokens: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        tokens.extend(
            line.split_inclusive([' ', '[', ']', '=', '|', ',', ':', '\n']).map(str::to_owned),
        );
    }
    for _ in 0..=noise.below(3) {
        let (i, j) = (noise.below(tokens.len()), noise.below(tokens.len()));
        match noise.below(6) {
            0 => drop(tokens.remove(i)),
            1 => tokens.insert(i, tokens[j].clone()),
            2 => tokens.swap(i, j),
            3 => tokens[i] = tokens[j].clone(),
            4 => {
                let at = noise.below(tokens[i].chars().count());
                tokens[i] = tokens[i]
                    .chars()
                    .enumerate()
                    .filter(|(k, _)| *k != at)
                    .map(|(_, c)| c)
                    .collect();
            }
            _ => {
                let odd = [
                    "é", "\u{0}", "\"", "->", "?", "1e309", "-", "\t", "\r", "\u{feff}", "!=", "/",
                ];
                tokens[i].push_str(odd[noise.below(odd.len())]);
            }
        }
    }
    tokens.concat()
}

#[test]
fn test_parse__mutations_of_a_small_grammar() {
    let mut good = 0;
    for case in 0..4_000 {
        good += u32::from(survives(&mutate(SMALL, &mut Noise { case, drawn: 0 })));
    }
    assert!(
        (200..3_800).contains(&good),
        "{good} of 4000 mutants are grammars: the test sees one side only"
    );
}

#[test]
fn test_parse__mutations_of_english() {
    let text = std::fs::read_to_string(english_path()).unwrap();
    for case in 0..150 {
        survives(&mutate(&text, &mut Noise { case, drawn: 0 }));
    }
}

#[test]
fn test_parse__every_prefix_of_a_grammar() {
    for (end, _) in SMALL.char_indices() {
        survives(&SMALL[..end]);
    }
}
