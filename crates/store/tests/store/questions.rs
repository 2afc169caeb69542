//! Statements of SQL: what is answered, what is refused, and that nobody sees what is hidden.

use std::time::Duration;

use quarry_event::filter::Filter;
use quarry_store::{Access, Format, Limits, Store, StoreError};

use crate::stock::{ask, filled, stock};

fn limits() -> Limits {
    Limits::default().time(Duration::from_secs(300))
}

async fn rows(store: &Store, sql: &str, access: &Access) -> Result<String, String> {
    let answer = store.query(sql, &limits(), access).await.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    answer.write(Format::Jsonl, &mut out).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_select_on_the_views_is_answered_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(30)).await;
    let everything = Access::everything();
    let all = rows(&store, "SELECT count(*) AS n FROM events", &everything).await.unwrap();
    assert_eq!(all, "{\"n\":30}\n");
    let none = rows(&store, "SELECT count(*) AS n FROM notices", &everything).await.unwrap();
    assert_eq!(none, "{\"n\":0}\n");
    let secret = folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let file = secret.to_str().unwrap();
    for sql in [
        "",
        "nonsense",
        "SELECT 1; SELECT 2",
        "INSERT INTO events SELECT * FROM events",
        "UPDATE events SET host = 'x'",
        "DELETE FROM events",
        "DROP TABLE events",
        "CREATE TABLE t AS SELECT * FROM events",
        "CREATE VIEW v AS SELECT * FROM events",
        "SELECT * INTO t FROM events",
        "SET datafusion.execution.batch_size = 1",
        "SHOW TABLES",
        "SHOW ALL",
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ANALYZE SELECT * FROM events",
        "DESCRIBE events",
        "PREPARE p AS SELECT 1",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM datafusion.public.events",
        "SELECT * FROM rows",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM read_csv('/etc/passwd')",
        &format!("SELECT * FROM '{file}'"),
        &format!("COPY events TO '{file}'"),
        &format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'"),
        "SELECT no_such_column FROM events",
    ] {
        let refused = store.query(sql, &limits(), &everything).await;
        assert!(matches!(refused, Err(StoreError::Sql { .. })), "{sql}: {refused:?}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "a\n1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_sees_what_the_rules_hide() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(60);
    let store = filled(folder.path(), &stock).await;
    let access =
        Access::by("host1 only", |whence| whence.host == "host1" && whence.log == "System");
    let may = |host: &str, log: &str| host == "host1" && log == "System";
    let seen = stock.iter().filter(|one| may(&one.host, one.log)).count();
    assert!(seen > 0 && seen < stock.len());
    for sql in [
        "SELECT count(*) AS n FROM events",
        "SELECT n FROM (SELECT count(*) AS n FROM events)",
        "WITH e AS (SELECT * FROM events) SELECT count(*) AS n FROM e",
        "WITH events AS (SELECT * FROM events) SELECT count(*) AS n FROM events",
        "SELECT (SELECT count(*) FROM events) AS n",
        "SELECT count(*) AS n FROM events WHERE true OR host = 'host0'",
        "SELECT count(*) AS n FROM (SELECT * FROM events UNION ALL SELECT * FROM events WHERE false)",
        "SELECT count(DISTINCT log_record) AS n FROM events e",
        "SELECT count(DISTINCT a.log_record) AS n FROM events a LEFT JOIN events b ON a.host <> b.host",
        "SELECT sum(c) AS n FROM (SELECT count(*) AS c FROM events GROUP BY host, log)",
        "SELECT max(r) AS n FROM (SELECT row_number() OVER (ORDER BY log_record) AS r FROM events)",
        "SELECT count(*) AS n FROM events WHERE host IN (SELECT host FROM events)",
    ] {
        let found = rows(&store, sql, &access).await.unwrap();
        assert_eq!(found, format!("{{\"n\":{seen}}}\n"), "{sql}");
    }
    // An error that only a hidden row would make isn't made.
    let hidden = stock.iter().find(|one| !may(&one.host, one.log)).unwrap().record;
    for sql in [
        format!("SELECT count(*) AS n FROM events WHERE 1 / (log_record - {hidden}) < 5"),
        format!(
            "SELECT count(*) AS n FROM events WHERE 1 / (log_record - {hidden}) < 5 AND host <> 'host1'"
        ),
        format!("SELECT log_record FROM events ORDER BY 1 / (log_record - {hidden}) LIMIT 3"),
        format!("SELECT max(1 / (log_record - {hidden})) FROM events"),
    ] {
        rows(&store, &sql, &access).await.unwrap();
        let told = rows(&store, &sql, &Access::everything()).await.unwrap_err();
        assert!(told.to_lowercase().contains("divi"), "{sql}: {told}");
    }
    // The same holds for what a page asks.
    let mut page = ask(Filter::default());
    page.access = access;
    assert_eq!(store.count(&page).await.unwrap(), seen as u64);
    assert_eq!(store.newest(&page, 1000, None).await.unwrap().events.len(), seen);
    let hidden = stock.iter().find(|one| !may(&one.host, one.log)).unwrap();
    assert!(store.at(&page, &hidden.place()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_takes_too_much_is_ended_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(90)).await;
    let everything = Access::everything();
    let many = "SELECT a.text FROM events a, events b, events c, events d, events e";
    let ended = async |sql: &str, limits: Limits| {
        let answer = match store.query(sql, &limits, &everything).await {
            Ok(answer) => answer,
            Err(error) => return error.to_string(),
        };
        answer.write(Format::Jsonl, &mut std::io::sink()).await.unwrap_err().to_string()
    };
    let told = ended("SELECT * FROM events", limits().rows(10)).await;
    assert!(told.contains("10 rows"), "{told}");
    let told = ended("SELECT * FROM events", limits().bytes(100)).await;
    assert!(told.contains("100 bytes"), "{told}");
    let told =
        ended(&format!("SELECT count(*) FROM ({many})"), limits().time(Duration::from_secs(2)))
            .await;
    assert!(told.contains("2 seconds"), "{told}");
    let told = ended("SELECT text FROM events ORDER BY text", limits().memory(1000)).await;
    assert!(told.contains("1000 bytes of memory"), "{told}");
    let told = ended(&format!("SELECT {}", "1,".repeat(40_000)), limits()).await;
    assert!(told.contains("65536"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_names_levels_and_shows_seven_digits() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(200);
    let store = filled(folder.path(), &stock).await;
    let sql = "SELECT time_text, level_name, keywords, keyword_names, log_record FROM events \
               WHERE level = 0 AND keywords = '0x8020000000000000' AND time IS NOT NULL \
               ORDER BY log_record LIMIT 1";
    let row = rows(&store, sql, &Access::everything()).await.unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    let original = &stock[row["log_record"].as_u64().unwrap() as usize - 1];
    assert_eq!(row["time_text"], original.place().time.to_string());
    assert_eq!(row["level_name"], "Audit Success");
    assert_eq!(row["keyword_names"], "Audit Success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_written_in_each_format() {
    use quarry_event::output::CsvCells;
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(40)).await;
    let sql =
        "SELECT log_record, '=1+1' AS formula, host, data FROM events ORDER BY log_record LIMIT 2";
    let write = async |format| {
        let answer = store.query(sql, &limits(), &Access::everything()).await.unwrap();
        let mut out = Vec::new();
        assert_eq!(answer.write(format, &mut out).await.unwrap(), 2);
        out
    };
    let csv = write(Format::Csv { cells: CsvCells::Spreadsheet, terminal: false }).await;
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("log_record,formula,host,data\r\n1,'=1+1,host0,"), "{csv}");
    let csv = write(Format::Csv { cells: CsvCells::Exact, terminal: false }).await;
    assert!(String::from_utf8(csv).unwrap().contains("\r\n2,=1+1,host1,"));
    let table = String::from_utf8(write(Format::Table { width: None }).await).unwrap();
    assert!(table.starts_with("LOG_RECORD  FORMULA  HOST   DATA"), "{table}");
    assert_eq!(table.lines().count(), 3);
    // On a terminal no line is wider than it, and where there is no room for a row its values are lines.
    for width in [80, 40, 24] {
        let table = String::from_utf8(write(Format::Table { width: Some(width) }).await).unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= width), "{table}");
        let is_rows = table.starts_with("LOG_RECORD  FORMULA");
        assert_eq!(
            (is_rows, table.starts_with("log_record  1\n")),
            (width > 24, width == 24),
            "{table}"
        );
    }
    // Magic numbers of the two formats, at both ends.
    let parquet = write(Format::Parquet).await;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let arrow = write(Format::Arrow).await;
    assert!(
        arrow.starts_with(&[0xff; 4]) && arrow.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_would_take_the_process_with_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(30)).await;
    let everything = Access::everything();
    let many = |head: &str, part: &str, n: usize| format!("{head}{}", part.repeat(n));
    for sql in [
        many("SELECT 1", "+1", 32_000),
        many("SELECT 1", "::int", 13_000),
        many("SELECT 1", " UNION ALL SELECT 1", 3400),
        many("SELECT data", "['a']", 13_000),
        many("SELECT 1", " IS NULL", 8000),
        many("SELECT true", " NOTNULL", 8000),
        many("SELECT count(*) FROM events WHERE level=1", " OR level=1", 5000),
        many("SELECT 1 FROM events", ",events", 9000),
        many("SELECT count(*) FROM events WHERE event_id IN (1", ",2", 5000) + ")",
        many("SELECT 1 FROM events e", " NATURAL JOIN events", 100),
        "SELECT length(repeat('x', 2000000000))".to_owned(),
        "SELECT length(lpad('x', 2000000000))".to_owned(),
        "SELECT cardinality(range(0, 400000000))".to_owned(),
        "SELECT cardinality(generate_series(0, 400000000))".to_owned(),
        "SELECT cardinality(array_repeat('x', 100000000))".to_owned(),
        "SELECT cardinality(list_repeat('x', 100000000))".to_owned(),
        "SELECT cardinality(array_resize([1], 100000000, 1))".to_owned(),
    ] {
        let short = &sql[..sql.len().min(60)];
        let refused = store.query(&sql, &limits(), &everything).await;
        assert!(matches!(refused, Err(StoreError::Sql { .. })), "{short}: {refused:?}");
    }
    // What is just not too much is answered.
    for sql in [
        many("SELECT 1", "+1", 100),
        many("SELECT 1", "::int", 100),
        many("SELECT 1", " UNION ALL SELECT 1", 100),
        many("SELECT count(*) FROM events WHERE level=1", " OR level=1", 58),
        many("SELECT count(*) FROM events WHERE event_id IN (1", ",1", 1000) + ")",
    ] {
        let short = &sql[..sql.len().min(60)];
        let answered = rows(&store, &sql, &everything).await;
        assert!(answered.is_ok(), "{short}: {answered:?}");
    }
}

/// A statement around another, again and again, in which `x` becomes `part`.
fn nested(inside: &str, part: &str, times: usize) -> String {
    let around = |sql: String, _| format!("SELECT {part} AS x FROM ({sql}) t");
    let whole = (0..times).fold(inside.to_owned(), around);
    format!("SELECT max(length(CAST(x AS varchar))) AS n FROM ({whole}) t")
}

/// How deep statements are in each other. Doubled so often, a long text is far more than may be held; and an
/// unoptimised build walks through no plan that is much deeper on a test's stack.
const DEEP: usize = 13;

/// Statements that ask for more memory than any machine has.
fn insatiable() -> Vec<String> {
    let long = "e".repeat(40_000);
    let text = &format!("SELECT text || '{long}' AS x FROM events");
    let list = &format!("SELECT make_array(text || '{long}') AS x FROM events");
    let constant = &format!("SELECT '{long}' AS x");
    let half = &long[..20_000];
    let columns = |n: usize| vec!["x"; n].join(",");
    let named = |n: usize| (0..n).map(|n| format!("x AS x{n}")).collect::<Vec<_>>().join(",");
    vec![
        nested(text, "x || x", DEEP),
        nested(text, "concat(x, x)", DEEP),
        nested(text, "concat(x, 'a', x)", DEEP),
        nested(text, "concat_ws('-', x, x)", DEEP),
        nested(text, "encode(CAST(x AS bytea), 'hex')", DEEP),
        nested(text, "replace(x, 'e', 'eeeeeeeeeeeeeeee')", DEEP),
        nested(text, "regexp_replace(x, '(.+)', '\\1\\1\\1\\1', 'g')", DEEP),
        nested(text, "overlay(x placing x from 1 for 0)", DEEP),
        nested(constant, "x || x", DEEP),
        nested(&format!("{constant} FROM events"), "concat(x, x)", DEEP),
        nested(list, "make_array(x, x)", DEEP),
        nested(list, "array_concat(x, x)", DEEP),
        nested(list, "x || x", DEEP),
        nested(text, "array_to_string(string_to_array(x, NULL), 'aaaaaaaaaa')", DEEP),
        format!("SELECT length(replace(replace(text, 'e', '{half}'), 'e', '{half}')) AS n FROM events"),
        format!("SELECT concat_ws('{long}',{}) AS n FROM (SELECT a.text AS x FROM events a, events b) t", columns(900)),
        format!("SELECT {} FROM (SELECT '{long}' AS x FROM events) t", named(900)),
        "WITH RECURSIVE t AS (SELECT 'a' AS x UNION ALL SELECT x || x FROM t) \
         SELECT max(length(x)) FROM t"
            .to_owned(),
        "SELECT a.text, b.text AS b, count(*) OVER () AS n FROM events a, events b, events c, events d"
            .to_owned(),
        "SELECT lag(a.text, 1000000000) OVER () AS n, b.text FROM events a, events b, events c, \
         events d"
            .to_owned(),
    ]
}

const INSATIABLE: &str = "QUARRY_STORE_INSATIABLE";

/// In a process of their own, whose memory is theirs alone.
#[test]
fn statements_that_want_all_memory_are_refused_before_they_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["questions::child_of_insatiable", "--exact", "--nocapture", "--test-threads=1"])
        .env(INSATIABLE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(said.matches("refused: ").count(), insatiable().len(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "it is how the parent knows")]
async fn child_of_insatiable() {
    let Some(folder) = std::env::var_os(INSATIABLE) else { return };
    let store = filled(std::path::Path::new(&folder), &stock(90)).await;
    let peak = || quarry_testkit::peak_memory(std::process::id());
    let before = peak();
    let limits = limits().memory(128 << 20);
    for sql in insatiable() {
        let short = &sql[..sql.len().min(200)];
        let answered = match store.query(&sql, &limits, &Access::everything()).await {
            Ok(answer) => answer.write(Format::Jsonl, &mut std::io::sink()).await,
            Err(error) => Err(error.into()),
        };
        let refused = answered.expect_err(short).to_string();
        // An answer is bounded as well.
        let bounds = ["needs more than 134217728 bytes of memory", "the answer is larger than"];
        assert!(bounds.iter().any(|bound| refused.contains(bound)), "{short}: {refused}");
        println!("refused: {short}");
        if let (Some(before), Some(after)) = (before, peak()) {
            let taken = (after - before) >> 20;
            assert!(taken < 1024, "{taken} MiB: {short}");
        }
    }
}

/// On one thread: a question that keeps it to itself would never end.
#[tokio::test]
async fn a_question_without_end_lets_others_run_and_is_refused_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(900)).await;
    for sql in [
        "SELECT count(*) FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d",
        "SELECT count(a.text || b.text) FROM events a CROSS JOIN events b CROSS JOIN events c \
         WHERE a.text || c.text <> b.text",
    ] {
        let limits = Limits::default().time(Duration::from_secs(2));
        let asked = async {
            let answer = store.query(sql, &limits, &Access::everything()).await?;
            answer.begun().await.map(drop)
        };
        let mut turns = 0;
        let others = async {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                turns += 1;
            }
        };
        let refused =
            tokio::select! { asked = asked => asked.unwrap_err(), () = others => unreachable!() };
        assert!(refused.to_string().contains("took longer than 2 seconds"), "{refused}");
        assert!(turns > 0, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_at_its_first_row_is_refused_before_anything_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(10)).await;
    for (sql, why) in [
        ("SELECT 1/(record_id - record_id) FROM events", "Divide by zero"),
        ("SELECT abs(-9223372036854775808)", "overflow on abs"),
        ("SELECT CAST(host AS int) FROM events", "Cannot cast string"),
    ] {
        let begun = match store.query(sql, &limits(), &Access::everything()).await {
            Ok(answer) => answer.begun().await,
            Err(error) => Err(error),
        };
        let refused = begun.expect_err(sql).to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    // What came first is part of the answer.
    let answer = store.query("SELECT host FROM events", &limits(), &Access::everything()).await;
    let mut out = Vec::new();
    answer.unwrap().begun().await.unwrap().write(Format::Jsonl, &mut out).await.unwrap();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_no_calendar_has_is_an_error_and_no_text_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(9)).await;
    let everything = Access::everything();
    for sql in [
        "SELECT from_unixtime(9223372036854775807) AS x",
        "SELECT time, from_unixtime(-9223372036854775807) AS x FROM events",
    ] {
        let refused = rows(&store, sql, &everything).await.unwrap_err();
        assert!(refused.contains("Failed to convert"), "{refused}");
    }
    assert!(
        rows(&store, "SELECT from_unixtime(0) AS x", &everything).await.unwrap().contains("1970")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_without_the_engine_s_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(3)).await;
    for (sql, said) in [
        ("SELECT * FROM event", "there is no table event; there are: events, notices"),
        ("SELECT 1; SELECT 2", "one statement is answered at a time"),
    ] {
        let refused = rows(&store, sql, &Access::everything()).await.unwrap_err();
        assert!(refused.contains(said), "{sql}: {refused}");
    }
    let refused =
        rows(&store, "SELECT Host2 FROM events", &Access::everything()).await.unwrap_err();
    assert!(refused.contains("host2") && !refused.contains("datafusion."), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_in_each_other_are_answered_up_to_sixteen() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(9)).await;
    let deep = |times| nested("SELECT host AS x FROM events", "x", times);
    let everything = Access::everything();
    assert!(rows(&store, &deep(14), &everything).await.is_ok());
    let refused = rows(&store, &deep(15), &everything).await.unwrap_err().to_string();
    assert!(refused.contains("queries in each other more than 16 deep"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_are_put_together_are_what_they_would_be_without_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(90);
    let store = filled(folder.path(), &stock).await;
    let everything = Access::everything();
    let long = "z".repeat(30_000);
    // What makes much is made in pieces of a batch.
    let sql = format!(
        "SELECT text, host || '/' || log AS place, concat(host, NULL, log_record) AS joined, \
         host || NULL AS nothing, level || 'x' AS number, concat_ws('-', host, log) AS between, \
         replace(text, 'user', 'person') AS replaced, upper(host) || replace(host, 'h', '') AS more, \
         length(regexp_replace(text, '[0-9]+', '{long}')) AS matched, \
         array_to_string(make_array(host, log), '+') AS list, \
         length(regexp_replace(text, '^.*$', '{long}')) AS whole \
         FROM events ORDER BY log_record"
    );
    let answered = rows(&store, &sql, &everything).await.unwrap();
    let mut seen = 0;
    for (line, one) in answered.lines().zip(&stock) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (host, log) = (&one.host, one.log);
        let text = row["text"].as_str().unwrap_or_default();
        assert_eq!(row["place"], format!("{host}/{log}"), "{line}");
        assert_eq!(row["joined"], format!("{host}{}", one.record));
        assert!(row["nothing"].is_null(), "{line}");
        assert_eq!(row["between"], format!("{host}-{log}"));
        assert_eq!(row["list"], format!("{host}+{log}"));
        assert_eq!(row["more"], format!("{}{}", host.to_uppercase(), &host.replace('h', "")));
        if let Some(number) = row["number"].as_str() {
            assert!(number.ends_with('x') && number.len() > 1, "{line}");
        }
        if !row["text"].is_null() {
            assert_eq!(row["replaced"], text.replace("user", "person"));
            let digits = |c: char| c.is_ascii_digit();
            let found = text
                .find(digits)
                .map_or(0, |at| text[at..].find(|c| !digits(c)).unwrap_or(text.len() - at));
            let length = text.chars().count() as u64;
            let expected = if found > 0 { length - found as u64 + 30_000 } else { length };
            assert_eq!(row["matched"], expected, "{text}");
            seen += usize::from(found > 0);
        }
    }
    assert_eq!(answered.lines().count(), 90);
    assert!(seen > 10, "{seen}");
    let grouped = "SELECT host || log, count(*) AS n FROM events GROUP BY host || log \
                   HAVING count(*) > 0 ORDER BY host || log";
    assert!(rows(&store, grouped, &everything).await.unwrap().lines().count() > 1);
    let windows = "SELECT max(n) AS n FROM (SELECT count(*) OVER () AS n, text FROM events)";
    assert_eq!(rows(&store, windows, &everything).await.unwrap(), "{\"n\":90}\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_thousands_of_parts_is_answered() {
    use quarry_event::filter::{Glob, Ids, Pattern};
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stock(60)).await;
    let all = store.count(&ask(Filter::default())).await.unwrap();
    let mut many = ask(Filter::default());
    many.hosts = Some((0..5000).map(|n| format!("host{n}")).collect());
    assert_eq!(store.count(&many).await.unwrap(), all);
    let mut ids = String::from("0-65535");
    let of = |ids: &str| Filter { ids: Some(Ids::parse(ids).unwrap()), ..Filter::default() };
    let wanted = store.count(&ask(of(&ids))).await.unwrap();
    assert!(wanted > 0);
    let pairs = |from: u64| (from..65_536).step_by(4).map(|n| format!("{n}-{}", n + 1));
    let mut sum = 0;
    for from in [0, 2] {
        ids = pairs(from).collect::<Vec<_>>().join(",");
        sum += store.count(&ask(of(&ids))).await.unwrap();
    }
    assert_eq!(sum, wanted);
    let glob = |n: usize| Glob::parse(&format!("user{n}")).unwrap();
    let users = Filter { users: (0..3000).map(glob).collect(), ..Filter::default() };
    store.count(&ask(users)).await.unwrap();
    let grep = Filter { grep: vec![Pattern::parse("a").unwrap(); 3000], ..Filter::default() };
    let once = Filter { grep: vec![Pattern::parse("a").unwrap()], ..Filter::default() };
    let (many, once) = (store.count(&ask(grep)).await, store.count(&ask(once)).await);
    assert_eq!(many.unwrap(), once.unwrap());
}
