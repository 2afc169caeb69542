//! What every page has around it.

use maud::{DOCTYPE, Markup, html};

use crate::access::Person;
use crate::assets;

/// The pages that the head of every page leads to.
const PLACES: [(&str, &str); 1] = [("/help", "Help")];

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
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    span.brand { "quarry" }
                    nav aria-label="Pages" {
                        @for (address, name) in PLACES {
                            a href=(address) aria-current=[(address == here).then_some("page")] { (name) }
                        }
                    }
                    span.person { (person.name()) }
                }
                main #main { (content) }
            }
        }
    }
}
