//! Events by time: bars that are links to their spans, and the same as a table.

use maud::{Markup, html};
use quarry_event::EventTime;
use quarry_event::words::{Key, Word};

use super::text::{clock, grouped, marked, span};
use crate::sources::Histogram;
use crate::view::View;

/// The most bars.
const BARS: u64 = 80;
/// The picture's width and height, in its own units.
const WIDTH: u64 = 800;
const HEIGHT: u64 = 60;

/// The view of a span of time: from a time on, before another.
pub(crate) fn between(view: &View, from: EventTime, to: EventTime) -> View {
    let last = EventTime::from_filetime(to.as_filetime().saturating_sub(1));
    view.and(Word::new(Key::Since, from.to_string())).and(Word::new(Key::Until, last.to_string()))
}

/// The bars, with links to what is earlier, later and around.
pub(crate) fn histogram(view: &View, histogram: &Histogram) -> Markup {
    let (seconds, bars) = histogram.bars(BARS);
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return html! {} };
    let width = EventTime::from_filetime(seconds * EventTime::SECOND);
    let end = |time: EventTime| {
        EventTime::from_filetime(time.as_filetime().saturating_add(width.as_filetime()))
    };
    let most = bars.iter().map(|(_, bar)| bar.iter().sum::<u64>()).max().unwrap_or(1).max(1);
    let zone = view.time_zone();
    let step = WIDTH / BARS.min(bars.len() as u64).max(1);
    let (begins, ends) = (first.0, end(last.0));
    let range = ends.as_filetime() - begins.as_filetime();
    let earlier =
        |time: EventTime| EventTime::from_filetime(time.as_filetime().saturating_sub(range / 2));
    let later =
        |time: EventTime| EventTime::from_filetime(time.as_filetime().saturating_add(range / 2));
    html! {
        figure.histogram {
            svg viewBox={"0 0 " (WIDTH) " " (HEIGHT)} preserveAspectRatio="none" role="group"
                aria-label={"events by time, " (span(seconds)) " a bar"}
                data-from=(begins) data-to=(ends) data-bars=(bars.len()) {
                @for (n, (time, bar)) in bars.iter().enumerate() {
                    @let sum = bar.iter().sum::<u64>();
                    @if sum > 0 {
                        a href=(between(view, *time, end(*time)).address("/events"))
                            aria-label={(clock(*time, &zone)) ", " (grouped(sum)) " events"} {
                            title { (clock(*time, &zone)) " " (grouped(sum)) }
                            rect.hit x=(n as u64 * step) y="0" width=(step) height=(HEIGHT) {}
                            @for part in parts(bar, most, histogram) {
                                rect.{"bar " (part.kind)} x=(n as u64 * step) y=(part.y) width=(step.max(2) - 1) height=(part.height) {}
                            }
                        }
                    }
                }
            }
            figcaption {
                span { (whole(&clock(begins, &zone))) }
                span.legend {
                    (span(seconds)) " a bar: "
                    @for kind in &ordered(histogram) { span.kind { span.{"swatch " (class(kind, histogram))} {} (marked(kind)) } }
                }
                span { (whole(&clock(ends, &zone))) }
            }
            nav.times aria-label="Times" {
                a href=(between(view, earlier(begins), earlier(ends)).address("/events")) { "\u{2039} earlier" }
                a href=(between(view, earlier(begins), later(ends)).address("/events")) { "out" }
                a href=(between(view, later(begins), later(ends)).address("/events")) { "later \u{203a}" }
            }
            details {
                summary { "as a table" }
                div.wide tabindex="0" role="region" aria-label="events by time" {
                    table {
                        thead { tr { th scope="col" { "from" } @for kind in &histogram.series { th scope="col" { (marked(kind)) } } } }
                        tbody {
                            @for (time, bar) in bars.iter().filter(|(_, bar)| bar.iter().any(|n| *n > 0)) {
                                tr {
                                    th scope="row" { a href=(between(view, *time, end(*time)).address("/events")) { (clock(*time, &zone)) } }
                                    @for events in bar { td.number { (grouped(*events)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A time without the fraction of its second, which bars don't have.
fn whole(time: &str) -> &str {
    time.strip_suffix(".000").unwrap_or(time)
}

/// The kinds, the worst level first.
fn ordered(histogram: &Histogram) -> Vec<&str> {
    let mut kinds: Vec<&str> = histogram.series.iter().map(|kind| &**kind).collect();
    kinds.sort_by_key(|kind| rank(kind));
    kinds
}

struct Part {
    kind: &'static str,
    y: u64,
    height: u64,
}

/// The parts of a bar, the worst at its bottom. Each that has events is seen.
fn parts(bar: &[u64], most: u64, histogram: &Histogram) -> Vec<Part> {
    let mut order: Vec<usize> = (0..bar.len()).filter(|&n| bar[n] > 0).collect();
    order.sort_by_key(|&n| rank(&histogram.series[n]));
    let mut y = HEIGHT;
    let mut parts = Vec::new();
    for n in order {
        let height = (bar[n] * (HEIGHT - 4) / most).max(1).min(y);
        y -= height;
        parts.push(Part { kind: class(&histogram.series[n], histogram), y, height });
    }
    parts
}

const LEVELS: [&str; 7] =
    ["critical", "error", "warning", "audit-failure", "audit-success", "information", "verbose"];
const KINDS: [&str; 10] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"];

fn rank(kind: &str) -> usize {
    LEVELS.iter().position(|level| *level == kind).unwrap_or(LEVELS.len())
}

/// The class that a kind has its colour by.
fn class(kind: &str, histogram: &Histogram) -> &'static str {
    match LEVELS.iter().find(|level| **level == kind) {
        Some(level) => level,
        None => {
            let place = histogram.series.iter().position(|known| **known == *kind);
            KINDS[place.unwrap_or_default() % KINDS.len()]
        }
    }
}
