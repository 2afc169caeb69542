//! Whoever is told how a run goes.

use std::cell::RefCell;

use quarry_collect::{Notice, Observer, Source, Summary};

use super::*;

/// What an observer and a sink hear, in the order in which they do.
#[derive(Default)]
struct Heard(RefCell<Vec<(&'static str, String)>>);

impl Heard {
    fn add(&self, who: &'static str, what: String) {
        self.0.borrow_mut().push((who, what));
    }

    fn delivery<O>(&self, who: &'static str, delivery: &Delivery<O>) {
        let name = Path::new(&delivery.source.name).file_stem().unwrap().display();
        self.add(who, format!("{} records of {name}", delivery.records));
    }

    fn notice(&self, who: &'static str, source: &Source, notice: &Notice) {
        let name = Path::new(&source.name).file_stem().unwrap().display().to_string();
        self.add(who, format!("{name}: {notice:?}"));
    }
}

/// With the records that were read so far.
struct Observing<'h>(&'h Heard, u64);

impl Observer for Observing<'_> {
    fn delivery<O>(&mut self, delivery: &Delivery<O>) {
        self.0.delivery("observer", delivery);
    }

    fn notice(&mut self, source: &Source, notice: &Notice) {
        self.0.notice("observer", source, notice);
    }

    fn progress(&mut self, summary: &Summary) {
        self.1 = summary.records;
        self.0.add("observer", "tick".to_owned());
    }
}

struct Taking<'h>(&'h Heard);

impl Sink for Taking<'_> {
    type Output = Made;
    type Error = ();

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, ()> {
        self.0.delivery("sink", delivery);
        Ok(Next::Go)
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), ()> {
        self.0.notice("sink", source, &notice);
        Ok(())
    }

    fn tick(&mut self, _: bool) -> Result<(), ()> {
        self.0.add("sink", "tick".to_owned());
        Ok(())
    }
}

#[test]
fn an_observer_hears_all_that_the_sink_does_and_each_before_it() {
    let (folder, mut paths) = files();
    paths.push(folder.path().join("missing.evtx"));
    let heard = Heard::default();
    let pipeline = Pipeline::scan(inputs(&paths, Selection::default()));
    // The one that is given last.
    let ignored = Heard::default();
    let mut observing = Observing(&heard, 0);
    let pipeline = pipeline.observer(Observing(&ignored, 0)).observer(&mut observing).stage(());
    pipeline.run(&Places, &mut Taking(&heard), None).1.unwrap();
    assert_eq!(observing.1, 500);
    assert!(ignored.0.take().is_empty());

    let heard = heard.0.take();
    let (pairs, rest) = heard.as_chunks::<2>();
    assert!(rest.is_empty());
    for [(observer, first), (sink, second)] in pairs {
        assert_eq!((*observer, *sink, first), ("observer", "sink", second));
    }
    let has = |what: &str| pairs.iter().any(|[(_, heard), _]| heard == what);
    for what in ["a: Opened", "a: Ended", "b: Opened", "b: Ended", "c: Ended", "tick"] {
        assert!(has(what), "{what}: {pairs:?}");
    }
    let failed = "missing: FileFailed";
    assert!(pairs.iter().any(|[(_, heard), _]| heard.starts_with(failed)), "{pairs:?}");
}
