//! BinXML in a chunk of a file: two bytes that say where a record begins, and the chunk.

use quarry_binxml::Decoder;

use super::use_event::{compare_head, known, names, use_event};

pub fn run(data: &[u8]) {
    let Some((start, chunk)) = data.split_first_chunk::<2>() else { return };
    let start = usize::from(u16::from_le_bytes(*start)).min(chunk.len());
    let mut decoder = Decoder::new();
    let mut decoder = decoder.chunk(chunk);
    // Twice, since the second time finds the templates compiled.
    for _ in 0..2 {
        let Ok(record) = decoder.event(start..chunk.len()) else { continue };
        use_event(&record);
        let names = names(&record);
        let mut head = None;
        let record = decoder.event_if(start..chunk.len(), |event| {
            head = Some(known(event, &names));
            true
        });
        let record = record.expect("it was read before").expect("it is wanted");
        if let Some(head) = head {
            compare_head(&head, &known(&record, &names));
        }
    }
}
