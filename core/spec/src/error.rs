//! Mistakes in what people write: where, in which field, what was expected.

use std::fmt;

/// A place in a text. Both numbers begin at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One mistake, printed as `blackbox.yml:12:5: modules.web.timeout: expected ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file as the user named it.
    pub file: String,
    /// Where in the file, if the mistake has a place. What comes from an
    /// alias is placed where its anchor stands.
    pub position: Option<Position>,
    /// The field: names joined by dots, positions in lists as `[0]`; empty
    /// for the file as a whole.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Error {}

/// Everything found wrong with one file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// Mistakes that are printed; the rest is only counted.
    const SHOWN: usize = 25;

    /// A mistake that concerns the file as a whole.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self::new(file, vec![Mistake::new("", message)])
    }

    /// A file that could not be read at all; `why` is what
    /// [`Files::read`](probity_engine::config::Files::read) said. It names the
    /// file, as errors do already.
    pub(crate) fn unread(file: &str, why: &str) -> Self {
        let named = format!("cannot read {file}: ");
        match why.strip_prefix(&named) {
            Some(why) => Self::whole(file, format!("cannot read it: {why}")),
            None => Self::whole(file, why),
        }
    }

    /// `mistakes` must not be empty.
    pub(crate) fn new(file: &str, mut mistakes: Vec<Mistake>) -> Self {
        debug_assert!(!mistakes.is_empty(), "errors need a mistake");
        mistakes.sort_by_key(|mistake| mistake.position);
        Self(
            mistakes
                .into_iter()
                .map(|mistake| mistake.in_file(file))
                .collect(),
        )
    }

    /// The mistakes.
    pub fn as_slice(&self) -> &[Error] {
        &self.0
    }
}

impl fmt::Display for Errors {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().take(Self::SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n(and {more} more)"),
        }
    }
}

impl std::error::Error for Errors {}

/// Why a configuration file is of no use, in the words of blackbox_exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It cannot be read.
    Unread(Errors),
    /// There are mistakes in it.
    Wrong(Errors),
}

impl LoadError {
    /// What is wrong, each with its place.
    pub fn errors(&self) -> &Errors {
        match self {
            Self::Unread(errors) | Self::Wrong(errors) => errors,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(errors) => write!(f, "error reading config file: {errors}"),
            Self::Wrong(errors) => write!(f, "error parsing config file: {errors}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// A mistake while its file is still being read: the path grows from the
/// inside to the outside, and the first place that anybody knows is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) position: Option<Position>,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Mistake {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            position: None,
            path: path.into(),
            message: message.into(),
        }
    }

    /// The mistake, now that nobody will add to its path.
    pub(crate) fn in_file(self, file: &str) -> Error {
        Error {
            file: file.to_owned(),
            position: self.position,
            path: self.path,
            message: self.message,
        }
    }

    /// The same mistake, at `position` unless a place is known already.
    #[must_use]
    pub(crate) fn at(mut self, position: Position) -> Self {
        self.position.get_or_insert(position);
        self
    }

    /// The same mistake, seen from the section whose path is `outer`.
    #[must_use]
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.path = join(outer, &self.path);
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

/// Joins two paths: `jobs[0]` and `interval`, `jobs` and `[0]`.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    if outer.is_empty() || inner.is_empty() || inner.starts_with('[') {
        format!("{outer}{inner}")
    } else {
        format!("{outer}.{inner}")
    }
}

/// A key as a part of a path, in quotes if it could be taken for more than
/// one part.
pub(crate) fn segment(key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '<' | '$');
    if !key.is_empty() && key.chars().all(plain) {
        key.to_owned()
    } else {
        excerpt(key)
    }
}

/// A text in quotes, shortened if it is long.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
