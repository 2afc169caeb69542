#![allow(clippy::print_stdout)]
use quarry_binxml::Decoder;
use quarry_event::FieldSource;
use quarry_logfile::*;
fn main() {
    let log =
        EvtxLog::open(std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap()).unwrap();
    let mut d = Decoder::new();
    let mut buf = Vec::new();
    let mut items = Vec::new();
    let mut out = Vec::new();
    for dm in log.damage() {
        eprintln!("{dm}");
    }
    let mut n = 0u64;
    let bench = std::env::args().nth(2).is_some();
    for c in 0..log.chunks() {
        let chunk = log.chunk(c, &mut buf).unwrap();
        chunk.items(&mut items);
        let mut cd = d.chunk(chunk.bytes());
        for i in &items {
            match i {
                Item::Damage(dm) => eprintln!("{dm}"),
                Item::Record(r) => match cd.event(r.binxml.clone()) {
                    Err(e) => eprintln!("record {} {e}", r.number),
                    Ok(rec) => {
                        n += 1;
                        if bench {
                            std::hint::black_box(rec.field(quarry_event::Field::EventId).as_u64());
                            continue;
                        }
                        out.clear();
                        rec.write_xml(&mut out);
                        println!("{}", String::from_utf8_lossy(&out));
                    }
                },
            }
        }
    }
    eprintln!("{n}");
}
