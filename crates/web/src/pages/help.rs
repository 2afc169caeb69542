//! `GET /help`: the words of a question.

use axum::response::Response;
use maud::html;

use crate::access::Person;
use crate::pages::response;
use crate::parts::layout::page;

/// The keys that scripts add.
const KEYS: [(&str, &str); 13] = [
    ("/", "the box"),
    ("j k, arrows", "the next row, the one before"),
    ("\u{2190} \u{2192}", "which value of the row i and x are about"),
    ("i  x", "only events with this value, only those without it"),
    ("Enter", "open the event"),
    ("Esc", "back"),
    ("[  ]", "older, newer"),
    ("-  +", "a wider time, a narrower one"),
    (".", "show the rows that wait"),
    ("space", "pause the tail, or go on"),
    ("c", "copy as a command"),
    ("y", "copy the link"),
    ("?", "this page"),
];

/// What is typed into the box, what it is in an address, what on the command line, and what it
/// asks for.
const WORDS: [(&str, &str, &str, &str); 12] = [
    ("on:@dcs", "on=@dcs", "@dcs", "servers, ranges, globs, groups and files"),
    ("log:Security", "log=Security", "-l Security", "a log, as a glob"),
    ("since:8h  until:1h", "since=8h&until=1h", "-S 8h -U 1h", "the first and the last time"),
    ("id:4624,!4634", "id=4624,!4634", "-i 4624,!4634", "event ids, lists and ranges"),
    ("level:warning..error", "level=warning..error", "-p warning..error", "levels and audits"),
    ("provider:Foo*", "provider=Foo*", "--provider 'Foo*'", "a provider, as a glob"),
    (
        "computer:dc*  event-user:ann",
        "computer=dc*&event-user=ann",
        "--computer, --event-user",
        "what the event names",
    ),
    (
        "rule:*mimikatz*",
        "rule=*mimikatz*",
        "--rule '*mimikatz*' (detect)",
        "a detection rule that a stored event matches",
    ),
    (
        "data.IpAddress=10.*",
        "data=IpAddress=10.*",
        "--data 'IpAddress=10.*'",
        "a value; ~= takes an expression",
    ),
    ("\"logon failure\"  /regex/", "grep=...", "-g ...", "text, or an expression, anywhere"),
    ("*[System[EventID=4625]]", "xpath=...", "--xpath ...", "an event query, pasted as it is"),
    ("-provider:Foo*", "not=provider:Foo*", "--not 'provider:Foo*'", "what does not pass the test"),
];

pub(crate) async fn get(person: Person) -> Response {
    response(page(
        "Help",
        "/help",
        &person,
        html! {
            h1 { "Words" }
            p {
                "A question is words. They are written alike in the box, in the address and on the "
                "command line; a command line, an XPath query or a "
                code { "<QueryList>" } " can be pasted into the box."
            }
            div.wide tabindex="0" role="region" aria-label="Words" {
                table.help {
                    thead { tr { th { "box" } th { "address" } th { "command line" } th { "asks for" } } }
                    tbody {
                        @for (typed, address, option, meaning) in WORDS {
                            tr {
                                td { code { (typed) } }
                                td { code { (address) } }
                                td { code { (option) } }
                                td { (meaning) }
                            }
                        }
                    }
                }
            }
            h2 { "Keys" }
            p { "They act where no field has the focus. Tab and Enter reach everything without them." }
            div #keys {}
            div.wide tabindex="0" role="region" aria-label="Keys" {
                table {
                    thead { tr { th { "key" } th { "does" } } }
                    tbody { @for (key, what) in KEYS { tr { td { kbd { (key) } } td { (what) } } } }
                }
            }
        },
    ))
}
