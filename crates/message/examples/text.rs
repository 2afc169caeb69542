//! Prints the messages that a provider file has for an event: `text FILE NUMBER`.
#![allow(clippy::print_stdout)] // It is a program.

use std::error::Error;

use quarry_message::{LanguageId, Resources};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, number] = &*arguments else { return Err("say: text FILE NUMBER".into()) };
    let number: u16 = number.parse()?;
    let bytes = std::fs::read(file)?;
    let resources = Resources::read(&*bytes)?;
    let Some(table) = resources.table(LanguageId::ENGLISH) else { return Ok(()) };
    for manifest in &resources.manifests {
        for event in manifest.events.iter().filter(|event| event.id == number) {
            if let Some(text) = event.message.and_then(|id| table.get(id)) {
                println!("{} {} version {}:\n{text}", manifest.guid, event.id, event.version);
            }
        }
    }
    Ok(())
}
