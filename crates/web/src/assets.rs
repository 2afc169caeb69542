//! Style and scripts, compressed when the crate was built and named by their hash, so that a browser
//! may keep them for ever.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, VARY,
};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file that is served.
pub(crate) struct Asset {
    /// The file's name in `assets`.
    name: &'static str,
    /// Its name in an address.
    served: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// The address of a file in `assets`.
pub(crate) fn address(name: &str) -> String {
    let served = ASSETS.iter().find(|asset| asset.name == name).map_or(name, |asset| asset.served);
    format!("/assets/{served}")
}

/// The addresses of the scripts that every page has.
pub(crate) fn scripts() -> impl Iterator<Item = String> {
    let entry = ASSETS.iter().filter(|asset| asset.name == "core.js");
    entry.map(|asset| format!("/assets/{}", asset.served))
}

/// `GET /assets/NAME`.
pub(crate) async fn get(Path(served): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.served == served) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kept = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (VARY, "accept-encoding"),
    ];
    match takes_gzip(&headers) {
        true => (kept, [(CONTENT_ENCODING, "gzip")], asset.gzip).into_response(),
        false => (kept, asset.plain).into_response(),
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().trim_start_matches("q=").parse() == Ok(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]))
        };
        assert!(takes("br, gzip;q=0.5"));
        assert!(!takes("gzip;q=0, br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_served_unpacks_to_the_same() {
        for asset in ASSETS {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(asset.gzip);
            std::io::Read::read_to_end(&mut decoder, &mut plain).unwrap();
            assert_eq!(plain, asset.plain, "{}", asset.name);
        }
    }
}
