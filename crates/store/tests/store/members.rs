//! Who shares a table.

use quarry_store::{Options, Writers};

use crate::support::open;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_belongs_to_one_member_and_goes_to_another_when_that_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::default().writers(Writers::Several);
    let (one, two) = (open(folder.path(), options()).await, open(folder.path(), options()).await);
    let mut first = one.join("first").await.unwrap();
    assert!((0..50).all(|n| first.owns(&format!("srv{n}"))), "alone it has all");
    let mut second = two.join("second").await.unwrap();
    first.renew().await.unwrap();
    let names: Vec<&str> = first.members().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"first") && names.contains(&"second"));
    let mut theirs = 0;
    for n in 0..50 {
        let source = format!("srv{n}");
        assert!(first.owns(&source) != second.owns(&source), "{source} has one owner");
        theirs += usize::from(second.owns(&source));
    }
    assert!(theirs > 0 && theirs < 50);
    first.leave().await.unwrap();
    second.renew().await.unwrap();
    assert!((0..50).all(|n| second.owns(&format!("srv{n}"))));
    assert_eq!(two.members().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_not_renewed_for_half_a_minute_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let mut alive = one.join("alive").await.unwrap();
    let dead = one.join("dead").await.unwrap();
    alive.renew().await.unwrap();
    assert_eq!(alive.members().len(), 2);
    let file = folder.path().join("_quarry/members").join(dead.id());
    let then = std::time::SystemTime::now() - (quarry_store::DEAD + quarry_store::RENEW);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    alive.renew().await.unwrap();
    assert_eq!(alive.members().len(), 1);
    assert_eq!(alive.members()[0].id, alive.id());
}
