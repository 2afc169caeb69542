//! The box, and the words of a question one by one, each with what it is without it.

use maud::{Markup, html};

use super::text::marked;
use crate::view::{View, ViewError};

/// The box for words, in a form that works without scripts. `typed` is what stands in it, where it
/// is not the view's words.
pub(crate) fn form(
    view: &View,
    page: &str,
    typed: Option<&str>,
    error: Option<&ViewError>,
) -> Markup {
    let words = view.words.to_string();
    let text = typed.unwrap_or(&words);
    html! {
        form.search role="search" action=(page) method="get" {
            label.hidden for="q" { "Words of the question" }
            input #q type="search" name="q" value=(text) autocomplete="off" spellcheck="false"
                placeholder="on:@dcs log:Security id:4625 since:8h  (empty: everything)"
                aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "wrong")];
            @for (name, value) in view.page_pairs() {
                @if name != "after" && name != "before" {
                    input type="hidden" name=(name) value=(value);
                }
            }
            button type="submit" { "Search" }
        }
        @if let Some(error) = error {
            div.problem #wrong role="alert" {
                p { (marked(&error.to_string())) }
                @if let Some(error) = error.filter_error() {
                    pre { (marked(&error.place.snippet())) }
                }
                p { a href="/help" { "the words there are" } }
            }
        }
    }
}

/// The words, each a link to the question without it.
pub(crate) fn pills(view: &View, page: &str) -> Markup {
    if view.words.is_empty() {
        return html! {};
    }
    html! {
        ul.pills aria-label="Words" {
            @for word in view.words.iter() {
                @let text = word.to_string();
                li {
                    bdi { (marked(&text)) }
                    a href=(view.without(word).address(page)) aria-label={"without " (marked(&text))} { "\u{d7}" }
                }
            }
            li.all { a href=(view.with_words(Default::default()).address(page)) { "clear all" } }
        }
    }
}
