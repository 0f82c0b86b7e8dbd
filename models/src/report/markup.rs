//! HTML: text that cannot become markup, tables, and the page that holds them.
//!
//! A page is one file. It loads nothing (its content security policy forbids it), runs no program, follows the reader's
//! choice of light or dark, and prints on paper.

use super::chart::{Ground, style};
use std::fmt::Write as _;

/// Any text as text of a page or a picture: no character of it is markup, and what would be invisible or turn the text
/// around is spelled out.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// How the cells of a column stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Words.
    Words,
    /// Figures.
    Figures,
}

/// A table; the first cell of a row names the row. All texts are escaped here.
#[must_use]
pub fn table<C: AsRef<str>>(caption: &str, columns: &[(&str, Column)], rows: &[Vec<C>]) -> String {
    let class = |i: usize| match columns.get(i) {
        Some((_, Column::Figures)) => " class=\"n\"",
        _ => "",
    };
    let mut html = format!(
        "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table>\n<caption>{0}</caption>\n<thead><tr>",
        escape(caption)
    );
    for (i, (name, _)) in columns.iter().enumerate() {
        let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(i), escape(name));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let cell = escape(cell.as_ref());
            let _ = if i == 0 {
                write!(html, "<th scope=\"row\"{}>{cell}</th>", class(i))
            } else {
                write!(html, "<td{}>{cell}</td>", class(i))
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// Names and values. All texts are escaped here.
#[must_use]
pub fn facts<N: AsRef<str>, V: AsRef<str>>(rows: &[(N, V)]) -> String {
    let mut html = String::from("<dl>\n");
    for (name, value) in rows {
        let (name, value) = (escape(name.as_ref()), escape(value.as_ref()));
        let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    html.push_str("</dl>\n");
    html
}

/// A section with a heading; `html` is markup.
#[must_use]
pub fn section(id: &str, heading: &str, html: &str) -> String {
    let (id, heading) = (escape(id), escape(heading));
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{html}</section>\n"
    )
}

/// A heading inside a section. The text is escaped here.
#[must_use]
pub fn subheading(text: &str) -> String {
    format!("<h3>{}</h3>\n", escape(text))
}

/// What a page says before anything else; nothing, if there is nothing to say. The texts are escaped here.
#[must_use]
pub fn notes(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| paragraph(line)).collect();
    format!("<div class=\"note\" role=\"note\">\n{lines}</div>\n")
}

/// What a reader may open. The heading is escaped here; `html` is markup.
#[must_use]
pub fn details(heading: &str, html: &str) -> String {
    format!("<details><summary>{}</summary>\n{html}</details>\n", escape(heading))
}

/// Text as it is spelled. It is escaped here.
#[must_use]
pub fn verbatim(text: &str) -> String {
    format!("<pre>{}</pre>\n", escape(text))
}

/// A paragraph. The text is escaped here.
#[must_use]
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// Two views of the same charts, of which the reader chooses: linear or logarithmic horizontal axes. Nothing but style
/// sheets switches them; paper shows the chosen one. `linear` and `logarithmic` are markup.
#[must_use]
pub fn two_views(id: &str, logarithmic_first: bool, linear: &str, logarithmic: &str) -> String {
    let id = escape(id);
    let (a, b) = if logarithmic_first { ("", " checked") } else { (" checked", "") };
    format!(
        "<div class=\"views\" role=\"group\" aria-label=\"Horizontal axes\">\n\
         <span class=\"choice\">Horizontal axes:</span>\n\
         <input type=\"radio\" name=\"{id}\" id=\"{id}-lin\" class=\"lin\"{a}><label for=\"{id}-lin\">linear</label>\n\
         <input type=\"radio\" name=\"{id}\" id=\"{id}-log\" class=\"log\"{b}><label for=\"{id}-log\">logarithmic</label>\n\
         <div class=\"charts lin\">\n{linear}</div>\n<div class=\"charts log\">\n{logarithmic}</div>\n</div>\n"
    )
}

/// A part of a report: the id and the text of its heading, and its markup. Without markup it is left out.
pub type Part<'a> = (&'a str, &'a str, String);

/// A whole report: its name, what it is, notes (markup), and parts that can be jumped to.
#[must_use]
pub fn report(name: &str, what: &str, notes: &str, parts: &[Part<'_>]) -> String {
    let shown = || parts.iter().filter(|(_, _, html)| !html.is_empty());
    let mut body = format!("<header>\n<h1>{}</h1>\n", escape(name));
    let _ =
        write!(body, "<p class=\"lead\">{}</p>\n<nav aria-label=\"Sections\"><ul>\n", escape(what));
    for (id, heading, _) in shown() {
        let _ = writeln!(body, "<li><a href=\"#{}\">{}</a></li>", escape(id), escape(heading));
    }
    let _ = write!(body, "</ul></nav>\n</header>\n<main>\n{notes}");
    for (id, heading, html) in shown() {
        body.push_str(&section(id, heading, html));
    }
    body.push_str("</main>\n");
    page(&format!("{name}: {}", what.to_lowercase()), &body)
}

/// A whole page; `body` is markup.
#[must_use]
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    let (light, dark) = (style(Ground::Light), style(Ground::Dark));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{PAGE}\
         @media not print {{ @media (prefers-color-scheme: dark) {{\n{DARK}{dark}\n}} }}\n</style>\n</head>\n<body>\n\
         {body}</body>\n</html>\n",
        PAGE = PAGE.replace("CHARTS", &light)
    )
}

const PAGE: &str = "\
:root{color-scheme:light dark;--ground:#ffffff;--ink:#1c1c1c;--soft:#555555;--line:#d9d9d9;--panel:#f6f6f4;--note:#fff3d6;--noteink:#5a3d00;--link:#0a58a8}
CHARTS
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.5rem 1.25rem 4rem;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
p{max-width:46rem;margin:.4rem 0}
.lead,.choice,caption,dt{color:var(--soft)}
a{color:var(--link)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;padding:0;margin:.8rem 0 0}
.note{background:var(--note);color:var(--noteink);border-left:4px solid currentColor;padding:.6rem .9rem;margin:1rem 0;max-width:none}
.note p{max-width:none}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.15rem 1.5rem;margin:.75rem 0}
dl div{padding:.3rem 0;border-bottom:1px solid var(--line)}
dt{font-size:.82rem}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.75rem 0;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:.3rem}
th,td{padding:.28rem .6rem .28rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{font-weight:600;border-bottom:2px solid var(--line)}tbody th{font-weight:400}
.n{text-align:right;padding-right:0;padding-left:.8rem;white-space:nowrap}
.n+:not(.n){padding-left:1.4rem}thead th{vertical-align:bottom}thead .n{white-space:normal}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1rem;margin-top:.75rem}
.charts.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr))}
.chart{width:100%;height:auto;display:block}
.views>.charts{display:none}
.views>.lin:checked~.charts.lin,.views>.log:checked~.charts.log{display:grid}
.views input{margin:0 .35rem 0 .6rem;accent-color:var(--link)}
.views .charts.lin .small,.views .charts.log .small{grid-column:1/-1}
pre{background:var(--panel);padding:.9rem 1rem;overflow-x:auto;font:13px/1.45 ui-monospace,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere}
figure{margin:0}.charts>figure:only-child{max-width:46rem}
@media(max-width:32rem){dl{grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr))}}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media print{body{font-size:10pt;max-width:none;padding:0}nav,.choice,.views input,.views label{display:none}h2,caption{break-after:avoid}.chart,tr,.note{break-inside:avoid}.charts.small{grid-template-columns:repeat(3,1fr)}pre{white-space:pre-wrap;border:1px solid #ccc;background:none}.wide{overflow:visible}}
";

const DARK: &str = ":root{--ground:#16181c;--ink:#e6e6e6;--soft:#a9adb3;--line:#363a40;--panel:#1f2227;--note:#3a2e10;--noteink:#ffdf9e;--link:#7cb8f0}\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_markup__no_text_becomes_markup() {
        let hostile = "</title><script>alert(\"1\")</script>'&\u{202e}\u{0}\u{1b}[31m";
        let shown = escape(hostile);
        assert!(!shown.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}', '\u{1b}']), "{shown}");
        assert!(shown.contains("&lt;script&gt;") && shown.contains("\\u{202e}"));
        let cells = vec![vec![hostile, hostile]];
        let columns = [(hostile, Column::Words), (hostile, Column::Figures)];
        let html = page(hostile, &table(hostile, &columns, &cells))
            + &facts(&[(hostile, hostile)])
            + &section(hostile, hostile, "")
            + &paragraph(hostile)
            + &two_views(hostile, false, "", "");
        assert!(!html.contains("<script") && !html.contains("\u{202e}"), "{html}");
    }

    #[test]
    fn test_markup__a_page_loads_nothing() {
        let html = page("x", &two_views("v", true, "", ""));
        for word in
            ["http://", "https://", "src=", "url(", "@import", "<link", "<script", "<iframe"]
        {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.contains("default-src 'none'") && html.contains("prefers-color-scheme"));
        assert_eq!(html.matches('{').count(), html.matches('}').count());
    }
}
