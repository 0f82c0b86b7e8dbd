//! Names that may become parts of paths.

/// Device names that Windows claims in every folder, with any extension.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Checks the name of an experiment, which keys folders and files: 1 to 100 of the characters `A-Z a-z 0-9 . _ -`, and
/// nothing that an operating system would take for something else.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_experiment_name(name: &str) -> Result<(), String> {
    let shown = name.escape_debug().take(120).collect::<String>();
    let refuse = |why: &str| {
        Err(format!(
            "experiment_name '{shown}' {why}; use 1 to 100 of the characters A-Z a-z 0-9 . _ -"
        ))
    };
    if name.is_empty() {
        return refuse("is empty");
    }
    if name.len() > 100 {
        return refuse("is too long");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return refuse("has a character that cannot be part of a file name everywhere");
    }
    if name.ends_with('.') || name.bytes().all(|b| b == b'.') {
        return refuse("ends with a dot, which some systems drop");
    }
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().any(|p| {
        stem.strip_prefix(p).is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
    });
    if RESERVED.contains(&stem.as_str()) || numbered {
        return refuse("is the name of a device on Windows");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_experiment_name__hostile_names_are_refused() {
        let long = "a".repeat(101);
        let hostile = [
            "",
            ".",
            "..",
            "...",
            "/",
            "a/b",
            "../a",
            "a/..",
            "\\",
            "a\\b",
            "C:",
            "C:\\a",
            "a\0b",
            "\n",
            "a\nb",
            "a b",
            " ",
            "\t",
            "CON",
            "con",
            "nul.txt",
            "NUL",
            "AUX.tar.gz",
            "COM1",
            "lpt9.x",
            "a.",
            "ä",
            "a*",
            "~",
            "$HOME",
            "a;b",
            "`a`",
            "\u{202e}abc",
            "a\u{0}",
            &long,
            &"x".repeat(300),
        ];
        for name in hostile {
            let error = check_experiment_name(name).expect_err(name);
            assert!(error.contains("experiment_name") && !error.contains('\n'), "{error:?}");
        }
    }

    #[test]
    fn test_experiment_name__usual_names_are_fine() {
        let longest = "a".repeat(100);
        for name in ["exp1", "GPT-2_small.v2", "0", "-x", "console", "com10", "_", "a..b", &longest]
        {
            check_experiment_name(name).expect(name);
        }
    }
}
