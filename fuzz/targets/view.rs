//! Addresses from anyone: any query is refused, or is a view whose own address is canonical and is read
//! as the same view.

use quarry_web::view::View;

pub(crate) fn run(query: &str) {
    let view = match View::parse(query) {
        Ok(view) => view,
        Err(error) => {
            assert!(error.to_string().len() < 4000);
            return;
        }
    };
    let address = view.query();
    let read = View::parse(&address);
    assert_eq!(read.as_ref(), Ok(&view), "{address}");
    assert_eq!(read.map(|view| view.query()).as_deref(), Ok(&*address));
}
