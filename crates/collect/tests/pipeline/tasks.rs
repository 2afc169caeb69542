//! The pipeline in a program of tasks: many runs at once, each with a channel that holds it back.

use tokio::sync::mpsc;

use super::*;

/// Sends what comes to a task.
struct Channel(mpsc::Sender<Vec<(String, u64)>>);

impl Sink for Channel {
    type Output = Made;
    /// Nobody receives any more.
    type Error = ();

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, ()> {
        let places = std::mem::take(&mut delivery.output.places);
        self.0.blocking_send(places).map_err(|_| ())?;
        Ok(Next::Go)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_by_a_channel_and_reading_stands_still_while_nobody_receives() {
    let (_folder, paths) = files();
    let mut askers = Vec::new();
    for _ in 0..8 {
        let (sender, mut receiver) = mpsc::channel(1);
        let pipeline = Pipeline::scan(inputs(&paths, Selection::default()));
        let pipeline = pipeline.threads(threads(1)).output_bytes(0);
        let run =
            tokio::task::spawn_blocking(move || pipeline.run(&Places, &mut Channel(sender), None));
        askers.push(async move {
            // Nothing goes on without the receiver.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            assert!(!run.is_finished());
            let mut places = Vec::new();
            while let Some(mut more) = receiver.recv().await {
                places.append(&mut more);
            }
            let (summary, result) = run.await.unwrap();
            result.unwrap();
            assert_eq!((places.len(), summary.matched), (500, 500));
        });
    }
    for asker in askers {
        asker.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_when_its_receiver_is_gone_or_it_is_stopped_from_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    for is_dropped in [true, false] {
        write(&path, 50, 10);
        let (sender, mut receiver) = mpsc::channel(4);
        let stop = Stop::default();
        let (handle, stopped) = (tokio::runtime::Handle::current(), stop.clone());
        let sources = vec![Followed::input(&path, Selection::default())];
        let run = tokio::task::spawn_blocking(move || {
            let options = quarry_fleet::FollowOptions::default();
            let pipeline = Pipeline::follow(&handle, sources, 50, options).stop(stopped);
            pipeline.run(&Places, &mut Channel(sender), None)
        });
        assert_eq!(receiver.recv().await.unwrap().first(), Some(&("a".to_owned(), 1)));
        match is_dropped {
            true => {
                drop(receiver);
                // The next record to come ends it.
                write(&path, 60, 10);
            }
            false => assert!(stop.set()),
        }
        let (_, result) = run.await.unwrap();
        assert_eq!(result.is_err(), is_dropped);
    }
}
