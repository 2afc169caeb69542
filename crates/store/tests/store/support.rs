//! Events, rows and stores for tests.

use quarry_event::testing::event;
use quarry_event::{Event, EventTime, Origin, RecordId, Texts};
use quarry_store::{EventMeta, Move, Options, Rows, Store};

/// A time in November 2026, so many seconds after its first moment.
pub(crate) fn at(seconds: u64) -> EventTime {
    let start = EventTime::parse("2026-11-01T00:00:00Z").unwrap();
    EventTime::from_filetime(start.as_filetime() + seconds * EventTime::SECOND)
}

/// An event as Windows would have it.
pub(crate) fn logon(record: u64, time: EventTime, host: &str, user: &str) -> Event {
    event(&format!(
        r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>
        <Provider Name="Microsoft-Windows-Security-Auditing" Guid="{{54849625-5478-4994-a5ba-3e3b0328c30d}}"/>
        <EventID>4624</EventID><Version>2</Version><Level>0</Level><Task>12544</Task>
        <Opcode>0</Opcode><Keywords>0x8020000000000000</Keywords>
        <TimeCreated SystemTime="{time}"/><EventRecordID>{record}</EventRecordID>
        <Execution ProcessID="716" ThreadID="5200"/><Channel>Security</Channel>
        <Computer>{host}</Computer><Security/></System><EventData>
        <Data Name="TargetUserName">{user}</Data><Data Name="LogonType">3</Data>
        <Data Name="IpAddress">10.0.0.{}</Data></EventData></Event>"#,
        record % 250
    ))
}

/// What is known of an event that was read from a server.
pub(crate) fn meta<'a>(
    source: &'a str,
    log: &'a str,
    record: u64,
    received: EventTime,
) -> EventMeta<'a> {
    let host = source.strip_prefix("even6://");
    let origin = Origin { source, host, log, log_record: Some(RecordId(record)), recovered: false };
    EventMeta { origin, received, texts: Texts::default() }
}

/// Rows of a source's log with the records of a range, an event a second.
pub(crate) fn rows(store: &Store, source: &str, log: &str, records: std::ops::Range<u64>) -> Rows {
    let mut rows = store.rows().unwrap();
    fill(&mut rows, source, log, records);
    rows
}

pub(crate) fn fill(rows: &mut Rows, source: &str, log: &str, records: std::ops::Range<u64>) {
    for record in records {
        let host = source.trim_start_matches("even6://");
        let event = logon(record, at(record), host, &format!("user{}", record % 10));
        rows.event(&event, &meta(source, log, record, at(record + 1))).unwrap();
    }
}

/// A move of a log to a record.
pub(crate) fn to(source: &str, log: &str, record: u64) -> Move {
    let time = Some(at(record));
    Move {
        source: source.into(),
        log: log.into(),
        to: (RecordId(record), time),
        new_generation: false,
    }
}

/// A store in a folder.
pub(crate) async fn open(folder: &std::path::Path, options: Options) -> Store {
    Store::open(folder.to_str().unwrap(), options).await.unwrap()
}

/// A record of the table: source, log, number.
pub(crate) type Record = (String, String, u64);

/// The records that are in a table, in order, read without this crate: the log by `deltalake`, the
/// files as plain Parquet.
pub(crate) async fn records(folder: &std::path::Path) -> Vec<Record> {
    let url = url::Url::from_directory_path(folder.canonicalize().unwrap()).unwrap();
    let table = deltalake::open_table(url).await.unwrap();
    let mut records = Vec::new();
    for file in table.get_file_uris().unwrap() {
        records.extend(records_of(std::path::Path::new(&file)));
    }
    records.sort();
    records
}

/// The records of one data file.
pub(crate) fn records_of(file: &std::path::Path) -> Vec<Record> {
    use deltalake::arrow::array::AsArray;
    use deltalake::arrow::compute::cast;
    use deltalake::arrow::datatypes::{DataType, Int64Type};
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let file = std::fs::File::open(file).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        // Others may have written it in a type of their own.
        let text = |name| cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let (sources, logs) = (text("source"), text("log"));
        let (sources, logs) = (sources.as_string::<i32>(), logs.as_string::<i32>());
        let numbers = batch.column_by_name("log_record").unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (source, log) = (sources.value(row), logs.value(row));
            records.push((source.to_owned(), log.to_owned(), numbers.value(row) as u64));
        }
    }
    records
}

/// The records of a range of a log.
pub(crate) fn expected(source: &str, log: &str, records: std::ops::Range<u64>) -> Vec<Record> {
    records.map(|record| (source.to_owned(), log.to_owned(), record)).collect()
}

/// The names of the data files in a folder, whether the table has them or not.
pub(crate) fn data_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.to_string_lossy().contains(".parquet")).collect();
    files.sort();
    files
}

/// The file of a commit.
pub(crate) fn commit(folder: &std::path::Path, version: u64) -> std::path::PathBuf {
    folder.join(format!("_delta_log/{version:020}.json"))
}

/// Pushes the records of a range and commits them.
pub(crate) async fn store(
    appender: &quarry_store::Appender,
    store: &Store,
    source: &str,
    records: std::ops::Range<u64>,
) -> Result<quarry_store::Flushed, quarry_store::StoreError> {
    let last = records.end - 1;
    appender.push(&rows(store, source, "Security", records), &[to(source, "Security", last)])?;
    appender.flush().await
}

/// Where other people's readers and servers are described.
pub(crate) fn witnesses() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/witnesses")
}

/// A Python with them.
pub(crate) fn python() -> std::path::PathBuf {
    quarry_testkit::python("store", &witnesses().join("requirements.txt"))
}

/// What a reader of somebody else's says, a row a line.
pub(crate) fn witness(arguments: &[&str]) -> Vec<serde_json::Value> {
    let script = witnesses().join("read.py");
    let output = std::process::Command::new(python()).arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
