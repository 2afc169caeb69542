//! Saved views: an address with a name. Nothing else is saved, and they are gone when the program
//! ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::html;
use sha2::{Digest as _, Sha256};

use super::{response, wrong};
use crate::access::{Person, Visit};
use crate::app::App;
use crate::parts::layout::page;
use crate::parts::text::marked;
use crate::problem::Problem;
use crate::view::View;

/// The most views of a person, and the longest name in characters.
const MOST: usize = 200;
const NAME: usize = 60;

/// The longest query that an address has, in bytes: proxies and chat programs cut longer ones.
pub(crate) const LONG: usize = 6000;
/// The most views that are kept since their addresses are too long. Each is as long as a request's
/// head at most.
const KEPT: usize = 500;

/// Views by who saved them and what they are called.
#[derive(Debug, Default)]
pub(crate) struct Views {
    saved: Mutex<BTreeMap<(String, String), View>>,
    /// Views by the hash of their query, the last one used last.
    kept: Mutex<Vec<(String, View)>>,
}

impl Views {
    /// Keeps a view whose address is too long; gives the one it has instead. Who has that may look at
    /// the view too, as with any other address.
    pub(crate) fn keep(&self, view: &View) -> String {
        let digest = Sha256::digest(view.query().as_bytes());
        let hash: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != hash);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((hash.clone(), view.clone()));
        format!("/v/~{hash}")
    }

    fn kept(&self, hash: &str) -> Option<View> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == hash)?;
        let entry = kept.remove(at);
        let view = entry.1.clone();
        kept.push(entry);
        Some(view)
    }

    pub(crate) fn of(&self, person: &Person) -> Vec<(String, View)> {
        let all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = all.iter().filter(|((owner, _), _)| owner == person.name());
        mine.map(|((_, name), view)| (name.clone(), view.clone())).collect()
    }

    fn get(&self, person: &Person, name: &str) -> Option<View> {
        let all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(person.name().to_owned(), name.to_owned())).cloned()
    }

    fn save(&self, person: &Person, name: &str, view: View) -> Result<(), Problem> {
        let wrong = |what| Err(Problem::new(StatusCode::BAD_REQUEST, "the view isn't saved", what));
        if name.trim_start().starts_with('~') {
            return wrong("a name doesn't begin with ~: addresses that are too long do");
        }
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME || name.contains(char::is_control) {
            return wrong("a name has 1 to 60 characters");
        }
        let mut all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if all.keys().filter(|(owner, _)| owner == person.name()).count() >= MOST {
            return wrong("200 views are saved; remove one first");
        }
        all.insert((person.name().to_owned(), name.to_owned()), view);
        Ok(())
    }

    fn remove(&self, person: &Person, name: &str) {
        let mut all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(person.name().to_owned(), name.to_owned()));
    }
}

/// Where a view's own address is.
fn address(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v/{}", name.replace('+', "%20"))
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    person: Person,
    RawQuery(query): RawQuery,
) -> Response {
    // A page that is to be saved says so in the address.
    let given = View::parse(&query.unwrap_or_default()).unwrap_or_default();
    let views = app.views.of(&person);
    let content = html! {
        h1 { "Views" }
        p { "A view is an address with a name. Views are yours, and are kept while this program runs." }
        @if views.is_empty() { p { "None is saved yet." } } @else {
            div.wide tabindex="0" role="region" aria-label="Views" {
                table.views {
                    thead { tr { th scope="col" { "name" } th scope="col" { "words" } th scope="col" { "" } } }
                    tbody {
                        @for (name, view) in &views {
                            tr {
                                th scope="row" { a href=(address(name)) { bdi { (marked(name)) } } }
                                td { code { (marked(&view.words.to_string())) } }
                                td {
                                    form method="post" action="/views" {
                                        input type="hidden" name="remove" value=(name);
                                        button type="submit" aria-label={"remove " (marked(name))} { "remove" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Save a view" }
        form.save method="post" action="/views" {
            label for="name" { "name" } input #name name="name" required maxlength=(NAME);
            label for="words" { "words" } input #words name="q" size="50" value=(given.words.to_string())
                placeholder="on:@dcs level:error since:8h";
            @for (name, value) in given.page_pairs() { input type="hidden" name=(name) value=(value); }
            button type="submit" { "Save" }
        }
    };
    response(page("Views", "/views", &person, content))
}

pub(crate) async fn post(State(app): State<Arc<App>>, person: Person, body: Bytes) -> Response {
    let (mut name, mut query, mut remove) = (String::new(), Vec::new(), None);
    for (key, value) in form_urlencoded::parse(&body) {
        match &*key {
            "name" => name = value.into_owned(),
            "remove" => remove = Some(value.into_owned()),
            _ => query.push((key.into_owned(), value.into_owned())),
        }
    }
    let saved = match remove {
        Some(name) => {
            app.views.remove(&person, &name);
            Ok(())
        }
        None => {
            let query =
                form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            View::parse(&query)
                .map_err(|error| Problem::of_view(&error))
                .and_then(|view| app.views.save(&person, &name, view))
        }
    };
    match saved {
        Ok(()) => (StatusCode::SEE_OTHER, [(LOCATION, "/views")]).into_response(),
        Err(problem) => wrong(&person, &problem),
    }
}

pub(crate) async fn go(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    let person = visit.person();
    if let Some(hash) = name.strip_prefix('~') {
        return match app.views.kept(hash) {
            Some(view) => super::events::show(app, visit, view),
            None => {
                let what = "this address was kept by a program that has ended, or so many others came \
                            after it that it is gone: ask anew";
                wrong(person, &Problem::not_found(what))
            }
        };
    }
    match app.views.get(person, &name) {
        Some(view) => (StatusCode::FOUND, [(LOCATION, view.address("/events"))]).into_response(),
        None => wrong(person, &Problem::not_found("no view of yours is called so")),
    }
}
