//! Words as arguments of the command line: `@dcs -l Security --not provider:Foo*`.

use super::{DEFINITIONS, Key, NOT, Word, Words, brief, names, nearest};
use crate::filter::{FilterError, FilterProblem};

/// The shell that a command is quoted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Shell {
    /// A shell of POSIX.
    Sh,
    /// PowerShell 7.3 and later.
    PowerShell,
}

impl Words {
    /// The question as arguments, its sources first where none of them looks like an option.
    pub fn to_args(&self) -> Vec<String> {
        let (mut args, mut sources) = (Vec::new(), Vec::new());
        for word in self.canonical().words {
            let option = match (word.negated, word.key) {
                (true, _) => format!("--{NOT}={}", word.as_negated()),
                (false, Key::On) => {
                    sources.push(word.value);
                    continue;
                }
                (false, key) => match key.definition().short {
                    Some(short) if !word.value.starts_with('-') => {
                        args.push(format!("-{short}"));
                        word.value
                    }
                    _ => format!("--{}={}", key.name(), word.value),
                },
            };
            args.push(option);
        }
        match sources.iter().any(|source| source.starts_with('-') && source != "-") {
            // Behind two hyphens nothing is an option.
            true => [args, vec!["--".to_owned()], sources].concat(),
            false => [sources, args].concat(),
        }
    }

    /// The question as a command for people to copy, quoted for a shell.
    pub fn to_command(&self, command: &str, shell: Shell) -> String {
        let words = self.to_args();
        let quoted = words.iter().map(|arg| quoted(arg, shell));
        [format!("quarry {command}")].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Reads arguments, of words only.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::UnknownOption`], [`FilterProblem::OptionValue`], a value that can't be
    /// understood, and what [`push`](Self::push) refuses.
    pub fn from_args<A: AsRef<str>>(
        args: impl IntoIterator<Item = A>,
    ) -> Result<Self, FilterError> {
        let mut words = Words::new();
        let mut args = args.into_iter();
        let mut only_sources = false;
        while let Some(arg) = args.next() {
            let arg = arg.as_ref();
            let mut value_of = |attached: Option<&str>| match attached {
                Some(value) => Ok(value.to_owned()),
                None => args.next().map(|value| value.as_ref().to_owned()).ok_or_else(|| {
                    FilterError::new(&brief(arg), 0, FilterProblem::OptionValue(brief(arg)))
                }),
            };
            let word = if only_sources || arg == "-" || !arg.starts_with('-') {
                Word::new(Key::On, arg)
            } else if arg == "--" {
                only_sources = true;
                continue;
            } else if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                match DEFINITIONS.iter().find(|known| known.name == name && known.key != Key::On) {
                    Some(known) => Word::new(known.key, value_of(value)?),
                    None if name == NOT => Word::parse_negated(&value_of(value)?)?,
                    None => return Err(unknown(&format!("--{name}"))),
                }
            } else {
                let mut letters = arg[1..].chars();
                let short = letters.next();
                let rest = letters.as_str();
                let attached = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
                match DEFINITIONS.iter().find(|known| known.short.is_some() && known.short == short)
                {
                    Some(known) => Word::new(known.key, value_of(attached)?),
                    None => return Err(unknown(arg)),
                }
            };
            word.check()?;
            words.push(word)?;
        }
        Ok(words)
    }

    /// Reads a command line: `quarry scan @dcs -i 4625`, quoted for `sh`.
    pub(super) fn parse_command(text: &str) -> Result<Self, FilterError> {
        let wrong = |problem| FilterError::new(&brief(text), 0, problem);
        let args = shlex::split(text).ok_or_else(|| wrong(FilterProblem::OpenQuote))?;
        let is_command = |arg: &&String| matches!(&***arg, "scan" | "tail" | "count");
        match args.get(1).filter(is_command) {
            Some(_) => Self::from_args(&args[2..]),
            None => Err(wrong(FilterProblem::Command)),
        }
    }
}

/// Whether a text is a command line.
pub(super) fn is_command(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    // A word's value may end as a program's path does.
    let key = first.split_once(':').map_or("", |(key, _)| key);
    let is_data = first.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data."));
    if first.starts_with('-') || is_data || names().any(|name| name.eq_ignore_ascii_case(key)) {
        return false;
    }
    let name = first.rsplit(['/', '\\']).next().unwrap_or_default();
    matches!(name, "quarry" | "quarry.exe")
}

fn unknown(option: &str) -> FilterError {
    let name = option.trim_start_matches('-');
    let nearest = nearest(name, names()).filter(|nearest| *nearest != Key::On.name());
    let problem = FilterProblem::UnknownOption { name: brief(option), nearest };
    FilterError::new(&brief(option), 0, problem)
}

fn quoted(arg: &str, shell: Shell) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+%".contains(c);
    if !arg.is_empty() && arg.chars().all(is_plain) {
        return arg.to_owned();
    }
    match shell {
        Shell::Sh => format!("'{}'", arg.replace('\'', r"'\''")),
        Shell::PowerShell => format!("'{}'", arg.replace('\'', "''")),
    }
}
