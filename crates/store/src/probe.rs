//! Whether a storage keeps one writer from writing over another's file.
//!
//! Everything that several writers do rests on it: a commit is a file that is created where none is.
//! Some services that speak S3 ignore the condition, and tell everybody that they were first.

use futures_util::future::join_all;
use object_store::path::Path;
use uuid::Uuid;

use crate::StoreError;
use crate::storage::{MOST_OF_NOTE, Storage};
use crate::table::FOLDER;

/// How many try at once.
const TRIES: usize = 8;

/// Lets eight create one file at once. One has to have created it, and the file has to be that one's. That
/// one may be told that the file is there, like the others, if the client had no answer and tried again.
pub(crate) async fn probe(storage: &Storage) -> Result<(), StoreError> {
    let path = Path::from(format!("{FOLDER}/probe/{}", Uuid::new_v4()));
    let text = |number: usize| format!("tried by {number}");
    let tries = (0..TRIES).map(|number| storage.create(&path, text(number).into_bytes()));
    let results = join_all(tries).await;
    let found = storage.read(&path, MOST_OF_NOTE).await;
    storage.delete(&path).await?;
    let mut winners = Vec::new();
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(true) => winners.push(number),
            Ok(false) => {}
            Err(error) => return Err(StoreError::storage("try to create", path, error)),
        }
    }
    let is_of = |number: usize, bytes: &[u8]| text(number).as_bytes() == bytes;
    let is_right = |bytes: &[u8]| match *winners {
        [] => (0..TRIES).any(|number| is_of(number, bytes)),
        [winner] => is_of(winner, bytes),
        _ => false,
    };
    match found? {
        Some(bytes) if is_right(&bytes) => Ok(()),
        _ => Err(StoreError::NoConditionalPut {
            url: storage.url.to_string(),
            winners: winners.len(),
            tried: TRIES,
        }),
    }
}
