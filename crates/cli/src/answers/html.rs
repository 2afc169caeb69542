//! An answer as one page that holds all it needs: no scripts, nothing that is fetched.

use std::io::{self, Write};

use quarry_event::text::{harmless, is_active};

use crate::error::Closed;
use crate::listing::{Cell, Column};

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:1.5rem;color:#1b1f24;background:#fff}\
h1{font-size:1.3rem}p{color:#57606a}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #d8dee4}\
th{position:sticky;top:0;background:#f6f8fa}td{white-space:pre-wrap;overflow-wrap:anywhere;\
font-family:ui-monospace,monospace;font-size:12px}td.n{text-align:right}p.i{color:#b42318;font-weight:600}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th{background:#161b22}\
th,td{border-color:#30363d}p{color:#9198a1}}";

/// What a page says of how its lines came to be.
#[derive(Debug, Default)]
pub(super) struct About {
    /// Why lines may be missing, each reason with its sources.
    pub(super) incomplete: Vec<String>,
    /// The question and its sources, how much was read, and the zone of times.
    pub(super) lines: Vec<String>,
}

/// Prints a page on standard output.
pub(super) fn print(
    title: &str,
    about: &About,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Result<(), Closed> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    page(title, about, columns, rows, &mut out)?;
    Ok(out.flush()?)
}

fn page(
    title: &str,
    about: &About,
    columns: &[Column],
    rows: &[Vec<Cell>],
    out: &mut impl Write,
) -> io::Result<()> {
    let title = escaped(title);
    // What a browser that is told so loads: nothing.
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )?;
    for reason in &about.incomplete {
        writeln!(out, "<p class=\"i\">incomplete: {}</p>", escaped(reason))?;
    }
    for line in &about.lines {
        writeln!(out, "<p>{}</p>", escaped(line))?;
    }
    write!(out, "<p>{} lines</p>\n<table>\n<thead><tr>", rows.len())?;
    for column in columns {
        write!(out, "<th scope=\"col\">{}</th>", escaped(&column.heading()))?;
    }
    out.write_all(b"</tr></thead>\n<tbody>\n")?;
    for row in rows {
        out.write_all(b"<tr>")?;
        for (column, cell) in columns.iter().zip(row) {
            let class = if column.is_number() { " class=\"n\"" } else { "" };
            write!(out, "<td{class}>{}</td>", escaped(cell.whole()))?;
        }
        out.write_all(b"</tr>\n")?;
    }
    out.write_all(b"</tbody>\n</table>\n</body>\n</html>\n")
}

/// Text for a place in HTML, attributes too; what acts on its reader is shown harmlessly.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            '\r' => {}
            c if is_active(c) => escaped.push(harmless(c)),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_well_formed_and_text_of_events_is_only_text() {
        let evil = "</td><script>alert(1)</script>\u{202e}\u{1b}[31m\r\nx & \"y\" 'z'";
        let columns = [Column::text("who"), Column::number("events")];
        let rows = [vec![Cell::text(evil), Cell::new(2, "2")]];
        let mut out = Vec::new();
        let about = About { incomplete: vec![evil.to_owned()], lines: vec![evil.to_owned()] };
        page(evil, &about, &columns, &rows, &mut out).unwrap();
        let page = String::from_utf8(out).unwrap();
        // It is XML but for the elements that HTML doesn't close.
        let xml =
            page.replacen("<!doctype html>", "", 1).replace("device-width\">", "device-width\"/>");
        let xml = xml
            .replace("utf-8\">", "utf-8\"/>")
            .replace("'unsafe-inline'\">", "'unsafe-inline'\"/>");
        let mut reader = quick_xml::Reader::from_str(&xml);
        let mut names = std::collections::BTreeSet::new();
        let mut cells = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Start(start) => {
                    let name = start.name().as_ref().to_owned();
                    if name == "td" {
                        cells.push(String::new());
                    }
                    names.insert(name);
                }
                quick_xml::events::Event::Eof => break,
                _ => {}
            }
        }
        assert!(!names.contains("script") && names.contains("style"), "{names:?}");
        assert_eq!(cells.len(), 2);
        assert!(!page.contains(['\u{202e}', '\u{1b}', '\r']));
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    }
}
