//! Values in `<UserData>`, against what a real log calls them.

use std::fs::File;
use std::sync::Arc;

use quarry_binxml::Decoder;
use quarry_event::{Field, FieldSource, MessageSource};
use quarry_logfile::{EvtxLog, Item};
use quarry_message::Sources;

use crate::databases;

/// The values have attributes and elements in another order than the message counts them. Which is which
/// both the sentence and the names in the event say: `<Service clsid="{112de495-…}" name="WpdFs">`,
/// `<MinimumFxVersion>`; `version` and `<DeviceId>`.
#[test]
fn values_of_user_data_are_counted_as_the_provider_wrote_them() {
    let Some(log) = quarry_testkit::corpus_file("evtx-crate/system.evtx") else { return };
    let Some(plaso) = databases::plaso() else { return };
    let sources = Sources::new().with_catalogue(Arc::new(plaso), None);
    let provider = "Microsoft-Windows-DriverFrameworks-UserMode";
    let mut messages = Vec::new();
    each_record(File::open(log).unwrap(), &mut |record| {
        if !record.field(Field::ProviderName).is_text(provider) {
            return;
        }
        let mut message = Vec::new();
        if sources.message(record, &mut message).is_some() {
            let number = record.field(Field::RecordId).as_u64().unwrap();
            messages.push((number, String::from_utf8(message).unwrap()));
        }
    });
    let message = |number| &*messages.iter().find(|(record, _)| *record == number).unwrap().1;
    assert_eq!(
        message(510),
        "The UMDF service WpdFs (CLSID {112de495-ac4c-46f8-b663-6a4266c53313}) was installed.  It \
         requires framework version 2.21.0 or higher."
    );
    assert!(
        messages.iter().all(|(_, message)| !message.contains('%')),
        "a mark has no value: {messages:#?}"
    );
}

fn each_record(log: File, visit: &mut dyn FnMut(&quarry_binxml::Record<'_>)) {
    let log = EvtxLog::open(log).unwrap();
    let (mut buffer, mut items) = (Vec::new(), Vec::new());
    let mut decoder = Decoder::new();
    for n in 0..log.chunks() {
        let chunk = log.chunk(n, &mut buffer).unwrap();
        chunk.items(&mut items);
        let mut decoder = decoder.chunk(chunk.bytes());
        for item in &items {
            let Item::Record(header) = item else { continue };
            visit(&decoder.event(header.binxml.clone()).unwrap());
        }
    }
}
