use std::collections::BTreeSet;

use super::*;
use crate::test_data::data;

const RAIN: &str = "\
# sent_id = 1
# text = It's clear that there's no zum here.
1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_
1\tIt\tit\tPRON\t_\t_\t3\texpl\t3:expl\t_
2\t's\tbe\tAUX\t_\t_\t3\tcop\t_\t_
3\tclear\tclear\tADJ\t_\t_\t0\troot\t_\t_
4\tthat\tthat\tSCONJ\t_\t_\t6\tmark\t_\t_
5-6\tthere's\t_\t_\t_\t_\t_\t_\t_\t_
5\tthere\tthere\tPRON\t_\t_\t6\texpl\t_\t_
6\t's\tbe\tVERB\t_\t_\t3\tcsubj\t_\t_
6.1\tgone\tgo\tVERB\t_\t_\t_\t_\t_\t_
7\tno\tno\tDET\t_\t_\t8\tdet\t_\t_
8-9\tzum\t_\t_\t_\t_\t_\t_\t_\t_
8\tzu\tzu\tNOUN\t_\t_\t6\tnsubj\t_\t_
9\tdem\tder\tDET\t_\t_\t8\tdet\t_\t_
10\there\there\tADV\t_\t_\t6\tadvmod\t_\tSpaceAfter=No
11\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

";

fn expletives(any_head: bool) -> Ablation {
    Ablation::RemoveExpletives { deprels: vec!["expl".into()], any_head }
}

fn subjects() -> Ablation {
    Ablation::RemoveSubjectPronominals { deprels: vec!["nsubj".into()] }
}

/// Ablates a text by a parse; text and parse that come out, and the counts.
fn ablate(
    ablation: &Ablation,
    text: &str,
    parse: &str,
) -> Result<(String, String, Counts), ManipulationError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.conllu");
    std::fs::write(&path, parse).unwrap();
    let mut ablator = Ablator::open(ablation, Case::Leave, Path::new("x.train"), &path)?;
    let (mut out, mut parses, mut counts) = (String::new(), String::new(), Counts::default());
    for line in text.lines() {
        let ablated = ablator.edit(line)?;
        out.push_str(&ablated.text);
        out.push('\n');
        parses.push_str(&ablated.parse);
        counts += ablated.counts;
    }
    ablator.finish()?;
    Ok((out, parses, counts))
}

#[test]
fn test_ablate__multiword_tokens_are_edited_by_their_words() {
    let line = "It's clear that there's no zum here.";
    let edited = |ablation: Ablation| ablate(&ablation, line, RAIN).unwrap().0;
    assert_eq!(edited(expletives(false)), "It's clear that 's no zum here.\n");
    assert_eq!(edited(expletives(true)), "'s clear that 's no zum here.\n");
    assert_eq!(edited(Ablation::LemmatizeVerbs), "It's clear that there be no zum here.\n");
    assert_eq!(
        edited(Ablation::ImpoverishDeterminers),
        "It's clear that there's the zu the here.\n"
    );
}

#[test]
fn test_ablate__the_text_keeps_its_own_spaces() {
    let line = "  It's  clear\u{a0}that there's no zum here .\t";
    let (text, ..) = ablate(&expletives(false), line, RAIN).unwrap();
    assert_eq!(text, "  It's  clear\u{a0}that 's no zum here .\t\n");
    assert_eq!(ablate(&subjects(), line, RAIN).unwrap().0, format!("{line}\n"));
}

#[test]
fn test_ablate__the_parse_follows_the_text() {
    let (text, parse, _) =
        ablate(&expletives(true), "It's clear that there's no zum here.", RAIN).unwrap();
    let expected = "\
# sent_id = 1
# text = 's clear that 's no zum here.
1\t's\tbe\tAUX\t_\t_\t2\tcop\t_\t_
2\tclear\tclear\tADJ\t_\t_\t0\troot\t_\t_
3\tthat\tthat\tSCONJ\t_\t_\t4\tmark\t_\t_
4\t's\tbe\tVERB\t_\t_\t2\tcsubj\t_\t_
5\tno\tno\tDET\t_\t_\t6\tdet\t_\t_
6-7\tzum\t_\t_\t_\t_\t_\t_\t_\t_
6\tzu\tzu\tNOUN\t_\t_\t4\tnsubj\t_\t_
7\tdem\tder\tDET\t_\t_\t6\tdet\t_\t_
8\there\there\tADV\t_\t_\t4\tadvmod\t_\tSpaceAfter=No
9\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

";
    assert_eq!(parse, expected);
    // A second ablation can follow.
    let (text, _, counts) = ablate(&Ablation::ImpoverishDeterminers, &text, &parse).unwrap();
    assert_eq!(text, "'s clear that 's the zu the here.\n");
    assert_eq!((counts.matched, counts.replaced), (2, 2));
}

#[test]
fn test_ablate__children_of_a_removed_root_find_another() {
    let parse = "1\tThe\tthe\tDET\t_\t_\t0\troot\t_\t_\n2\tbig\tbig\tADJ\t_\t_\t1\tamod\t_\t_\n3\tdog\tdog\tNOUN\t_\t_\t1\tx\t_\t_\n";
    let (text, parse, _) = ablate(&Ablation::RemoveArticles, "The big dog", parse).unwrap();
    assert_eq!(text, "big dog\n");
    assert_eq!(
        parse,
        "1\tbig\tbig\tADJ\t_\t_\t0\troot\t_\t_\n2\tdog\tdog\tNOUN\t_\t_\t1\tx\t_\t_\n\n"
    );
}

#[test]
fn test_ablate__a_line_may_hold_no_or_several_sentences() {
    let word = |form: &str, upos: &str| format!("1\t{form}\t_\t{upos}\t_\t_\t0\troot\t_\t_\n\n");
    let parse = format!("{}{}{}", word("the", "DET"), word("dog", "NOUN"), word("A", "DET"));
    let (text, _, counts) = ablate(&Ablation::RemoveArticles, "the dog\n\n  \nA", &parse).unwrap();
    assert_eq!(text, "dog\n\n  \n\n");
    assert_eq!((counts.removed, counts.sentence_starts), (2, 2));
}

#[test]
fn test_ablate__text_and_parse_that_differ_are_refused() {
    let parse =
        "# text = a b\n1\ta\ta\tDET\t_\t_\t2\tdet\t_\t_\n2\tb\tb\tNOUN\t_\t_\t0\troot\t_\t_\n\n";
    let message =
        |text: &str| ablate(&Ablation::RemoveArticles, text, parse).unwrap_err().to_string();
    for (text, words) in [
        ("a c", "the text has \"c\" where the parse has \"b\""),
        ("a", "the text has \"\" where the parse has \"b\""),
        ("a b\na b", "the parse ends before \"a b\""),
        ("\n", "the text ends before \"a b\""),
        ("a bc", "the parse ends before \"c\""),
    ] {
        let message = message(text);
        assert!(message.contains(words) && message.contains("x.train:"), "{message}");
    }
}

#[test]
fn test_conllu__broken_parses_are_refused_by_line() {
    let good = "1\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n";
    for (parse, line, words) in [
        ("1\ta\ta\tDET\n".to_owned(), 1, "4 columns"),
        (format!("{good}{good}"), 1, "id '1'"),
        (format!("{good}\n# x\n2\ta\ta\tDET\t_\t_\t0\troot\t_\t_\n"), 3, "id '2'"),
        (good.replace("\t0\t", "\t7\t"), 1, "head '7'"),
        (good.replace("1\t", "1-3\t"), 1, "id '1-3'"),
        (good.replace("1\t", "x\t"), 1, "'x' is no id"),
        (good.replace("\ta\ta", "\t\ta"), 1, "form is empty"),
        (format!("{good}\n# text = cut off\n"), 3, "end the file"),
        ("# c\n0.1\ta\ta\tDET\t_\t_\t_\t_\t_\t_\n".to_owned(), 1, "without words"),
    ] {
        let error = ablate(&Ablation::RemoveArticles, "a\na\na", &parse).unwrap_err();
        let ManipulationError::Parse { line: found, message, .. } = &error else {
            panic!("{error}")
        };
        assert!(message.contains(words) && *found == line, "{parse:?}: {error}");
    }
    assert!(ablate(&Ablation::RemoveArticles, "a", &good.replace('\n', "\r\n")).is_ok());
}

/// A word of the treebank, read by splitting columns and nothing else.
struct Plain<'a>(Vec<&'a str>);

fn plain(file: &str) -> Vec<Vec<Plain<'_>>> {
    let blocks = file.split("\n\n").filter(|block| !block.trim().is_empty());
    let word = |line: &'_ str| {
        !line.starts_with('#') && !line.split('\t').next().unwrap().contains(['-', '.'])
    };
    blocks
        .map(|block| {
            block.lines().filter(|l| word(l)).map(|l| Plain(l.split('\t').collect())).collect()
        })
        .collect()
}

#[test]
fn test_ablate__counts_on_a_treebank_are_those_counted_by_hand() {
    let Some(path) = data("ud-english/en_childes-ud-dev.conllu") else { return };
    let file = std::fs::read_to_string(path).unwrap();
    let texts: Vec<&str> = file.lines().filter_map(|l| l.strip_prefix("# text = ")).collect();
    let blocks = plain(&file);
    assert_eq!((texts.len(), blocks.len()), (2715, 2715));
    let input: String = texts.iter().map(|text| format!("{text}\n")).collect();

    type Rule = fn(&Plain<'_>, &[Plain<'_>]) -> bool;
    let rules: [(Ablation, Rule, u64); 6] = [
        (expletives(true), |w, _| w.0[7] == "expl", 17),
        (
            expletives(false),
            |w, all| {
                let head: usize = w.0[6].parse().unwrap();
                w.0[7] == "expl" && head > 0 && all[head - 1].0[3] == "VERB"
            },
            14,
        ),
        (Ablation::ImpoverishDeterminers, |w, _| w.0[3] == "DET", 1066),
        (
            Ablation::RemoveArticles,
            |w, _| w.0[3] == "DET" && ["a", "an", "the"].contains(&w.0[1].to_lowercase().as_str()),
            751,
        ),
        (Ablation::LemmatizeVerbs, |w, _| w.0[3] == "VERB", 2327),
        (subjects(), |w, _| w.0[3] == "PRON" && w.0[7] == "nsubj", 1774),
    ];
    for (ablation, rule, expected) in rules {
        let touched: BTreeSet<usize> =
            (0..blocks.len()).filter(|&i| blocks[i].iter().any(|w| rule(w, &blocks[i]))).collect();
        let count: usize = blocks.iter().map(|b| b.iter().filter(|w| rule(w, b)).count()).sum();

        let (text, parse, counts) = ablate(&ablation, &input, &file).unwrap();

        assert_eq!((counts.matched, count as u64), (expected, expected), "{ablation:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), texts.len());
        for (i, (line, original)) in lines.iter().zip(&texts).enumerate() {
            assert!(
                touched.contains(&i) || line == original,
                "{ablation:?}: {original:?} became {line:?}"
            );
        }
        // Letters that are left = letters that were there, less those of the words removed.
        if counts.removed > 0 {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            let gone: usize = blocks
                .iter()
                .flat_map(|b| b.iter().filter(|w| rule(w, b)))
                .map(|w| w.0[1].chars().count())
                .sum();
            assert_eq!(letters(&text), letters(&input) - gone);
            assert_eq!(counts.removed, counts.matched);
        }
        // The ablated parse says the ablated text, and the same ablation finds nothing more to remove in it.
        let after = plain(&parse);
        let words = |blocks: &[Vec<Plain<'_>>]| blocks.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(words(&after), words(&blocks) - counts.removed);
        let (again, _, second) = ablate(&ablation, &text, &parse).unwrap();
        assert_eq!((again == text, second.removed, second.replaced), (true, 0, 0), "{ablation:?}");
    }
}

#[test]
fn test_conllu__treebank_texts_are_rebuilt_exactly() {
    let Some(path) = data("ud-english/en_childes-ud-dev.conllu") else { return };
    let file = std::fs::read_to_string(&path).unwrap();
    let mut sentences = Sentences::open(&path).unwrap();
    let (mut count, mut written) = (0, String::new());
    while let Some(sentence) = sentences.next().unwrap() {
        assert_eq!(Some(sentence.text().as_str()), sentence.stated_text());
        sentence.write(&mut written);
        count += 1;
    }
    assert_eq!(count, 2715);
    assert!(written == file, "a sentence that is read and written is not the same");
}
