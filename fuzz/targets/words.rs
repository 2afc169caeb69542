//! Questions from anyone: any text is refused at a place in it, or is words that are the same when
//! they are read again from each of their forms.

use quarry_event::testing::now;
use quarry_event::words::{Shell, Words};

pub(crate) fn run(text: &str) {
    let _ = Words::parse_address(text);
    let _ = Words::from_args(text.split('\n'));
    let words = match Words::parse(text) {
        Ok(words) => words,
        Err(error) => {
            assert!(error.place.byte() <= error.place.text().len());
            assert!(error.place.snippet().len() < 1000);
            assert!(error.to_string().len() < 2000);
            return;
        }
    };
    let canonical = words.canonical();
    assert_eq!(Words::parse(&words.to_string()).as_ref(), Ok(&words));
    assert_eq!(Words::parse_address(&words.to_address()).as_ref(), Ok(&canonical));
    let args = Words::from_args(words.to_args()).map(|read| read.canonical());
    assert_eq!(args.as_ref(), Ok(&canonical));
    if !text.contains('\0') {
        let command = Words::parse(&words.to_command("scan", Shell::Sh));
        assert_eq!(command.map(|read| read.canonical()).as_ref(), Ok(&canonical));
    }
    let zoned = || now().to_timestamp().expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    let _ = words.filter(zoned);
    let _ = words.logs();
}
