//! Command lines of Windows, where a program gets one text and takes it apart itself: in the way
//! of the C runtime and `CommandLineToArgvW`.

/// Puts a program and its arguments together so that the program gets them as they are. Nothing
/// if one contains a NUL, or a quote is in the program's name.
pub(crate) fn command_line(program: &[u16], arguments: &[Vec<u16>]) -> Option<Vec<u16>> {
    let has_nul = |text: &[u16]| text.contains(&0);
    if has_nul(program) || program.contains(&QUOTE) || arguments.iter().any(|text| has_nul(text)) {
        return None;
    }
    let mut line = vec![QUOTE];
    line.extend_from_slice(program);
    line.push(QUOTE);
    for argument in arguments {
        line.push(b' '.into());
        // cmd.exe, for one, doesn't know its options in quotes.
        if argument.is_empty() || argument.iter().any(|unit| SEPARATORS.contains(unit)) {
            quote(&mut line, argument);
        } else {
            line.extend_from_slice(argument);
        }
    }
    line.push(0);
    Some(line)
}

const QUOTE: u16 = b'"' as u16;
/// What an argument can only have in quotes.
const SEPARATORS: [u16; 5] = [b' ' as u16, b'\t' as u16, b'\n' as u16, 0x0b, QUOTE];
const BACKSLASH: u16 = b'\\' as u16;

/// Backslashes are themselves, except before a quote, where two are one.
fn quote(line: &mut Vec<u16>, argument: &[u16]) {
    line.push(QUOTE);
    let mut backslashes = 0;
    for &unit in argument {
        match unit {
            BACKSLASH => backslashes += 1,
            QUOTE => {
                line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        line.push(unit);
    }
    line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    line.push(QUOTE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(program: &str, arguments: &[&str]) -> Option<String> {
        let wide = |text: &&str| text.encode_utf16().collect();
        let arguments: Vec<Vec<u16>> = arguments.iter().map(wide).collect();
        let program: Vec<u16> = program.encode_utf16().collect();
        command_line(&program, &arguments)
            .map(|line| String::from_utf16(&line).expect("text").trim_end_matches('\0').to_owned())
    }

    /// Takes a line apart by the rules that Microsoft documents for C programs' arguments.
    fn taken_apart(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let (mut quoted, mut backslashes) = (false, 0);
        for c in line.chars() {
            match c {
                '\\' => {
                    backslashes += 1;
                    word.get_or_insert_default();
                    continue;
                }
                '"' => {
                    let word = word.get_or_insert_default();
                    word.extend(std::iter::repeat_n('\\', backslashes / 2));
                    if backslashes % 2 == 1 { word.push('"') } else { quoted = !quoted }
                }
                _ => {
                    if backslashes > 0 {
                        word.get_or_insert_default().extend(std::iter::repeat_n('\\', backslashes));
                    }
                    if c == ' ' && !quoted {
                        words.extend(word.take());
                    } else {
                        word.get_or_insert_default().push(c);
                    }
                }
            }
            backslashes = 0;
        }
        words.extend(word);
        words
    }

    #[test]
    fn a_program_gets_its_arguments_as_they_are() {
        let arguments = ["", "a b", r#"say "hi""#, r"C:\dir\", r#"\"#, r#"a\\"b"#, r"\\srv\x", "ä"];
        let line = line(r"C:\Program Files\x.exe", &arguments).expect("none has a NUL");
        let taken = taken_apart(&line);
        assert_eq!(taken[0], r"C:\Program Files\x.exe");
        assert_eq!(taken[1..], arguments);
        assert!(line.starts_with(r#""C:\Program Files\x.exe" "" "a b" "say \"hi\"" C:\dir\ \ "#));
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        assert_eq!(line("a\0b", &[]), None);
        assert_eq!(line("a", &["b\0"]), None);
        assert_eq!(line("a\"b", &[]), None);
    }
}
