//! The sources keep their size, their module style and their language.
//!
//! Each test prints every finding as `FILE:LINE: what`. No file is exempt.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code in one file; comments and blank lines do not count.
const MAX_FILE: usize = 400;

/// Lines of code in the body of one function.
const MAX_FUNCTION: usize = 60;

/// Characters in the name of one test.
const MAX_TEST_NAME: usize = 60;

/// With these a name of a test does not begin.
const ARTICLES: [&str; 3] = ["a_", "an_", "the_"];

/// Phrases that the standard terms replace: response, after, before, and a noun.
const FORBIDDEN: [&str; 5] = [
    concat!("an ", "answer"),
    concat!("the ", "answer"),
    concat!("be", "hind"),
    concat!("in ", "front of"),
    concat!("who", "ever"),
];

/// The folders in which names and words are checked.
const CHECKED: [&str; 2] = ["src", "tests"];

#[test]
fn file_has_at_most_max_file_lines_of_code() {
    let findings = sources("src").into_iter().filter_map(|source| {
        let len = source.code.lines().filter(|line| is_code(line)).count();
        (len > MAX_FILE).then(|| source.finding(1, &format!("{len} lines of code")))
    });
    assert_none(findings);
}

#[test]
fn function_has_at_most_max_function_lines_of_code() {
    let findings = sources("src").into_iter().flat_map(|source| {
        let long = functions(&source.code).filter(|function| function.len > MAX_FUNCTION);
        let finding = |it: Function<'_>| {
            source.finding(
                it.line,
                &format!("`{}` has {} lines of code", it.name, it.len),
            )
        };
        long.map(finding).collect::<Vec<_>>()
    });
    assert_none(findings);
}

#[test]
fn module_with_parts_is_a_folder_with_mod_rs() {
    let is_self_named = |source: &Source| source.path.with_extension("").is_dir();
    let findings = ["src", "tests"].into_iter().flat_map(sources);
    let findings = findings.filter(is_self_named);
    assert_none(findings.map(|source| source.finding(1, "belongs into its folder as mod.rs")));
}

#[test]
fn test_name_is_short_and_has_no_article() {
    let findings = CHECKED.into_iter().flat_map(sources);
    let findings = findings.flat_map(|source| {
        let is_bad = |name: &str| {
            name.len() > MAX_TEST_NAME || ARTICLES.iter().any(|article| name.starts_with(article))
        };
        let bad =
            functions(&source.code).filter(|function| function.is_test && is_bad(function.name));
        bad.map(|it| source.finding(it.line, &format!("rename `{}`", it.name)))
            .collect::<Vec<_>>()
    });
    assert_none(findings);
}

#[test]
fn texts_use_the_standard_terms() {
    let findings = CHECKED.into_iter().flat_map(sources);
    let findings = findings.flat_map(|source| {
        let texts = source.texts.lines().zip(1..);
        let finding = |(text, line): (&str, usize)| {
            let text = text.to_lowercase();
            let phrase = FORBIDDEN.iter().find(|phrase| has_phrase(&text, phrase))?;
            Some(source.finding(line, &format!("\"{phrase}\" in: {}", text.trim())))
        };
        texts.filter_map(finding).collect::<Vec<_>>()
    });
    assert_none(findings);
}

#[test]
fn lexer_separates_code_from_texts() {
    let source = Source::parse(
        "x.rs".into(),
        "let c = '\"'; // one \"two\"\nlet s = \"/* three \\\" */\"; /* four\nfive */ call::<'a>(r#\"s\"ix\"#)",
    );
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&source.code), "let c = ; let s = ; call::<'a>( )");
    assert_eq!(
        words(&source.texts),
        "'\"'// one \"two\" \"/* three \\\" */\"/* four five */r#\"s\"ix\"#"
    );
    assert_eq!(source.code.lines().count(), 3);
    assert_eq!(source.texts.lines().count(), 3);
}

#[test]
fn functions_are_found_with_their_length() {
    let code = "#[test]\nfn one() {\n    two(|| {\n    });\n\n}\ntrait T {\n    fn none(&self, it: [u8; 3]);\n}\nfn empty() {}\n";
    let found = functions(code).map(|it| (it.name, it.line, it.len, it.is_test));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [("one", 2, 2, true), ("empty", 10, 0, false)]
    );
}

fn assert_none(findings: impl Iterator<Item = String>) {
    let findings: Vec<String> = findings.collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// A file, and its lines twice: once without its comments and literals, once with nothing else.
struct Source {
    path: PathBuf,
    code: String,
    texts: String,
}

impl Source {
    fn read(path: PathBuf) -> Self {
        let content = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|it| it == "md") {
            return Self {
                path,
                code: String::new(),
                texts: content,
            };
        }
        Self::parse(path, &content)
    }

    fn parse(path: PathBuf, content: &str) -> Self {
        let (mut code, mut texts) = (String::new(), String::new());
        let mut rest = content;
        while let Some(first) = rest.chars().next() {
            let is_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let text_len = comment_len(rest).or_else(|| literal_len(rest, is_word));
            let (piece, after) = rest.split_at(text_len.unwrap_or(first.len_utf8()));
            let (into, other) = match text_len {
                Some(_) => (&mut texts, &mut code),
                None => (&mut code, &mut texts),
            };
            into.push_str(piece);
            // A space, so that the words around it stay apart.
            other.extend(text_len.map(|_| ' '));
            other.extend(piece.chars().filter(|&c| c == '\n'));
            rest = after;
        }
        Self { path, code, texts }
    }

    fn finding(&self, line: usize, what: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = self.path.strip_prefix(root).unwrap_or(&self.path);
        format!("{}:{line}: {what}", path.display())
    }
}

/// The length of the comment that begins here, without its line end.
fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut depth = 0;
    let mut at = 0;
    while rest.starts_with("/*") {
        match &rest[at..] {
            "" => return Some(at),
            it if it.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            it if it.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            it => at += it.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of the string or character that begins here. After a word, `r` and `b` are no prefix.
fn literal_len(rest: &str, is_in_word: bool) -> Option<usize> {
    let word = rest.trim_start_matches(['b', 'c']);
    let prefix = if is_in_word {
        0
    } else {
        rest.len() - word.len()
    };
    let raw = rest[prefix..].strip_prefix('r').filter(|_| !is_in_word);
    if let Some(raw) = raw {
        let quoted = raw.trim_start_matches('#');
        let hashes = &raw[..raw.len() - quoted.len()];
        let end = format!("\"{hashes}");
        if let Some(body) = quoted.strip_prefix('"') {
            let len = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(rest.len() - body.len() + len);
        }
    }
    let quote = rest[prefix..]
        .chars()
        .next()
        .filter(|it| "\"'".contains(*it))?;
    let body = &rest[prefix + 1..];
    // A quote that is no character begins a lifetime.
    let is_escaped = body.starts_with('\\');
    if quote == '\'' && !is_escaped && body.chars().nth(1) != Some('\'') {
        return None;
    }
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        at += c.len_utf8();
        match c {
            '\\' => at += body[at..].chars().next().map_or(0, char::len_utf8),
            _ if c == quote => break,
            _ => {}
        }
    }
    Some(prefix + 1 + at)
}

struct Function<'c> {
    name: &'c str,
    line: usize,
    /// Lines of code in its body, without those of its braces.
    len: usize,
    is_test: bool,
}

/// The functions with a body in `code`, which has no comments and no literals.
fn functions(code: &str) -> impl Iterator<Item = Function<'_>> {
    code.match_indices("fn ").filter_map(move |(at, _)| {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let name_end = code[at + 3..].find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let body = body(&code[at..])?;
        let attributes = code[..at].rsplit(['}', ';', '{']).next().unwrap_or("");
        Some(Function {
            name: &code[at + 3..][..name_end],
            line: code[..at].lines().count().max(1) + usize::from(code[..at].ends_with('\n')),
            len: body.lines().skip(1).filter(|line| is_code(line)).count(),
            is_test: attributes.contains("#[test]"),
        })
    })
}

/// The body of the function that begins here, with its first brace and without its last line.
fn body(function: &str) -> Option<&str> {
    let mut depth = 0;
    let mut begin = None;
    for (at, c) in function.char_indices() {
        match c {
            '(' | '[' | '{' => {
                if c == '{' && depth == 0 {
                    begin = Some(at);
                }
                depth += 1;
            }
            ')' | ']' | '}' => {
                depth -= 1;
                if let Some(begin) = begin.filter(|_| depth == 0) {
                    let body = &function[begin..at];
                    return Some(body.rsplit_once('\n').map_or("", |(body, _)| body));
                }
            }
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn is_code(line: &str) -> bool {
    !line.trim().is_empty()
}

/// Whether `text` has `phrase` as words of their own.
fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(is_letter) && !text[at + phrase.len()..].starts_with(is_letter)
    })
}

/// All Rust files and Markdown texts in a folder of the crate.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs" || it == "md") {
                sources.push(Source::read(path));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}
