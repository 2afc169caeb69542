#![allow(clippy::print_stdout, clippy::unwrap_used)]
use quarry_binxml::Decoder;
use quarry_event::FieldSource;
use quarry_logfile::*;
use std::collections::HashMap;
fn canon(text: &str) -> String {
    let t = text.replace("\r\n", "\n").replace('\r', "\n");
    t.trim().to_string()
}
fn norm_val(t: &str) -> String {
    let u = canon(t);
    let l = u.to_lowercase();
    let l = l.trim_start_matches('{').trim_end_matches('}').to_string();
    // times
    if l.len() >= 20 && l.as_bytes()[10] == b't' && l.ends_with('z') && l.as_bytes()[4] == b'-' {
        let l = l.trim_end_matches('z');
        let l = if l.len() > 26 { &l[..26] } else { l };
        return l.trim_end_matches('0').trim_end_matches('.').to_string();
    }
    l
}
fn flat(n: roxmltree::Node, path: &str, out: &mut Vec<String>) {
    let p = format!("{path}/{}", n.tag_name().name());
    for a in n.attributes() {
        if !a.value().is_empty() {
            out.push(format!("{p}@{}={}", a.name(), norm_val(a.value())));
        }
    }
    let mut txt = String::new();
    let mut kids = false;
    for c in n.children() {
        if c.is_element() {
            kids = true;
            flat(c, &p, out);
        } else if let Some(t) = c.text() {
            txt.push_str(t);
        }
    }
    let t = norm_val(&txt);
    if !t.is_empty() || !kids {
        out.push(format!("{p}={t}"));
    }
}
fn main() {
    let mut kinds: HashMap<String, (usize, String)> = HashMap::new();
    let mut total = 0;
    let mut bad = 0;
    for path in std::env::args().skip(1) {
        let mut theirs: HashMap<u64, Vec<String>> = HashMap::new();
        let mut p = evtx::EvtxParser::from_path(&path)
            .unwrap()
            .with_configuration(evtx::ParserSettings::new().indent(false).num_threads(1));
        for r in p.records() {
            if let Ok(r) = r {
                theirs.entry(r.event_record_id).or_default().push(r.data);
            }
        }
        let log = EvtxLog::open(std::fs::File::open(&path).unwrap()).unwrap();
        let mut d = Decoder::new();
        let mut buf = Vec::new();
        let mut items = Vec::new();
        for c in 0..log.chunks() {
            let chunk = log.chunk(c, &mut buf).unwrap();
            chunk.items(&mut items);
            let mut cd = d.chunk(chunk.bytes());
            for i in &items {
                if let Item::Record(r) = i {
                    if let Ok(rec) = cd.event(r.binxml.clone()) {
                        let mut out = Vec::new();
                        rec.write_xml(&mut out);
                        let ours = String::from_utf8(out).unwrap();
                        let Some(t) = theirs
                            .get_mut(&r.number)
                            .and_then(|v| if v.is_empty() { None } else { Some(v.remove(0)) })
                        else {
                            let e = kinds.entry("not in evtx".into()).or_default();
                            e.0 += 1;
                            e.1 = format!("{path} {}", r.number);
                            continue;
                        };
                        total += 1;
                        let a = match roxmltree::Document::parse(&ours) {
                            Ok(d) => {
                                let mut v = vec![];
                                flat(d.root_element(), "", &mut v);
                                v
                            }
                            Err(e) => {
                                println!("OURS BAD {e} {ours}");
                                continue;
                            }
                        };
                        let clean: String = t
                            .chars()
                            .map(|c| {
                                if c < ' ' && c != '\n' && c != '\t' && c != '\r' {
                                    '\u{fffd}'
                                } else {
                                    c
                                }
                            })
                            .collect();
                        let b = match roxmltree::Document::parse(&clean) {
                            Ok(d) => {
                                let mut v = vec![];
                                flat(d.root_element(), "", &mut v);
                                v
                            }
                            Err(e) => {
                                let en = kinds
                                    .entry(format!("theirs bad {e}").chars().take(40).collect())
                                    .or_default();
                                en.0 += 1;
                                en.1 = t.clone();
                                continue;
                            }
                        };
                        if a != b {
                            bad += 1;
                            let onlyb: Vec<_> = b.iter().filter(|x| !a.contains(x)).collect();
                            let onlya: Vec<_> = a.iter().filter(|x| !b.contains(x)).collect();
                            let k = format!(
                                "theirs {:?}  ours {:?}",
                                onlyb
                                    .iter()
                                    .map(|s| s.split('=').next().unwrap())
                                    .take(4)
                                    .collect::<Vec<_>>(),
                                onlya
                                    .iter()
                                    .map(|s| s.split('=').next().unwrap())
                                    .take(4)
                                    .collect::<Vec<_>>()
                            );
                            let e = kinds.entry(k).or_default();
                            e.0 += 1;
                            if e.1.is_empty() {
                                e.1 = format!(
                                    "{path} {} theirs {:?} ours {:?}",
                                    r.number, onlyb, onlya
                                )
                                .chars()
                                .take(500)
                                .collect();
                            }
                        }
                    }
                }
            }
        }
        for (k, v) in theirs {
            if !v.is_empty() {
                let e = kinds.entry("only in evtx".into()).or_default();
                e.0 += v.len();
                e.1 = format!("{path} {k}");
            }
        }
    }
    println!("{total} compared, {bad} differ");
    let mut v: Vec<_> = kinds.into_iter().collect();
    v.sort_by_key(|x| std::cmp::Reverse(x.1.0));
    for (k, (n, e)) in v.into_iter().take(40) {
        println!("{n:6} {k}\n       {}", e.chars().take(600).collect::<String>());
    }
}
