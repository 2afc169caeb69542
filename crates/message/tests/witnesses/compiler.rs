//! Message tables that GNU's message and resource compilers make, in files that its linker makes.

use std::fs;
use std::path::Path;
use std::process::Command;

use quarry_message::format::Text;
use quarry_message::{LanguageId, MessageTable, Resources};
use quarry_testkit::has_program;

const PACKAGE: &str = "binutils-mingw-w64-x86-64";

/// Three languages, two messages each: what is between a language and the line with a full stop is
/// the message.
const SOURCE: &str = "\
MessageIdTypedef=DWORD
SeverityNames=(Success=0x0:S Informational=0x1:I Warning=0x2:W Error=0x3:E)
FacilityNames=(System=0x0:F Runtime=0x2:R)
LanguageNames=(English=0x409:MSG00409)
LanguageNames=(German=0x407:MSG00407)
LanguageNames=(Russian=0x419:MSG00419)

MessageId=0x1
Severity=Error
Facility=Runtime
SymbolicName=M_ONE
Language=English
The %1 service entered the %2!s! state.
.
Language=German
Größe von %1: \"%2\".
.
Language=Russian
Служба %1: %2.
.

MessageId=0x100
Severity=Informational
Facility=System
SymbolicName=M_TWO
Language=English
100%% of %10%n%tnext line%b%!%0
.
Language=German
zwei
Zeilen %%1833
.
Language=Russian
две
.
";

const ENGLISH: LanguageId = LanguageId(0x409);
const GERMAN: LanguageId = LanguageId(0x407);
const RUSSIAN: LanguageId = LanguageId(0x419);

/// The identifiers that severity, facility and number make (MS-ERREF 2.1).
const ONE: u32 = 0xc002_0001;
const TWO: u32 = 0x4000_0100;

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).current_dir(folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// A library with the messages, in UTF-16 or in each language's code page.
fn compiled(option: &str) -> Option<Vec<u8>> {
    const MC: &str = "x86_64-w64-mingw32-windmc";
    const RES: &str = "x86_64-w64-mingw32-windres";
    const LD: &str = "x86_64-w64-mingw32-ld";
    if ![MC, RES, LD].iter().all(|program| has_program(program, PACKAGE)) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.mc"), SOURCE).unwrap();
    // The source is in UTF-8.
    run(folder, MC, &["-C", "65001", option, "a.mc"]);
    // Its resource script has comments, which take a preprocessor that isn't there.
    let script = fs::read_to_string(folder.join("a.rc")).unwrap();
    let is_kept = |line: &&str| {
        ["#pragma", "LANGUAGE", "1 MESSAGETABLE"].iter().any(|start| line.starts_with(start))
    };
    let kept: Vec<&str> = script.lines().filter(is_kept).collect();
    assert_eq!(kept.len(), 9, "{script}");
    fs::write(folder.join("b.rc"), kept.join("\n") + "\n").unwrap();
    let preprocessor = folder.join("preprocessor");
    fs::write(&preprocessor, "#!/bin/sh\nfor last; do :; done\nexec cat \"$last\"\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&preprocessor, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let option = format!("--preprocessor={}", preprocessor.display());
    run(folder, RES, &[&option, "b.rc", "a.o"]);
    run(folder, LD, &["--dll", "-e", "0", "-o", "a.dll", "a.o"]);
    Some(fs::read(folder.join("a.dll")).unwrap())
}

fn messages(table: &MessageTable) -> Vec<(u32, &str)> {
    table.iter().collect()
}

#[test]
fn tables_of_several_languages_are_read_as_they_were_written() {
    for option in ["--unicode_out", "--ascii_out"] {
        let Some(library) = compiled(option) else { return };
        let resources = Resources::read(&library[..]).unwrap();
        let table = |language| resources.table(language).unwrap();
        assert_eq!(
            messages(table(ENGLISH)),
            [
                (TWO, "100%% of %10%n%tnext line%b%!%0\n"),
                (ONE, "The %1 service entered the %2!s! state.\n"),
            ],
            "{option}"
        );
        assert_eq!(
            messages(table(GERMAN)),
            [(TWO, "zwei\nZeilen %%1833\n"), (ONE, "Größe von %1: \"%2\".\n")],
            "{option}"
        );
        assert_eq!(
            messages(table(RUSSIAN)),
            [(TWO, "две\n"), (ONE, "Служба %1: %2.\n")],
            "{option}"
        );
        // Escapes, as FormatMessage documents them; marks without values stay.
        let shown = |language, id| Text::plain(table(language).get(id).unwrap());
        assert_eq!(shown(ENGLISH, TWO), "100% of %10\r\n\tnext line !");
        assert_eq!(shown(ENGLISH, ONE), "The %1 service entered the %2 state.");
        assert_eq!(shown(GERMAN, ONE), "Größe von %1: \"%2\".");
    }
}
