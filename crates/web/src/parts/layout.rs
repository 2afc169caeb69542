//! What every page has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::access::Person;
use crate::assets;

/// The pages that the head of every page leads to.
const PLACES: [(&str, &str); 6] = [
    ("/", "Fleet"),
    ("/events", "Events"),
    ("/tail", "Tail"),
    ("/views", "Views"),
    ("/status", "Status"),
    ("/help", "Help"),
];

/// Where the content of a page stands between its halves.
const MIDDLE: &str = "<!--content-->";

/// A page.
pub(crate) fn page(title: &str, here: &str, person: &Person, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - Quarry" }
                link rel="stylesheet" href=(assets::address("style.css"));
                link rel="icon" href=(assets::address("icon.svg"));
                @for script in assets::scripts() { script type="module" src=(script) {} }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { "quarry" }
                    nav aria-label="Pages" {
                        @for (address, name) in PLACES {
                            a href=(address) aria-current=[(address == here).then_some("page")] { (name) }
                        }
                    }
                    span.person {
                        bdi { (person.name()) }
                        form method="post" action="/sign-out" { button type="submit" { "Sign out" } }
                    }
                }
                main #main { (content) }
            }
        }
    }
}

/// What stands before and after the content of a page that is sent in parts.
pub(crate) fn halves(title: &str, here: &str, person: &Person) -> (String, String) {
    let whole = page(title, here, person, PreEscaped(MIDDLE.to_owned())).into_string();
    match whole.rsplit_once(MIDDLE) {
        Some((before, after)) => (before.to_owned(), after.to_owned()),
        None => (whole, String::new()),
    }
}
