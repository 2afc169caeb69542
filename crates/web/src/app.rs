//! What all requests share, and the routes.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use crate::{api, assets, pages};

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) started: Instant,
}

impl App {
    /// The page, without sources.
    pub fn new() -> Self {
        App { started: Instant::now() }
    }
}

impl Default for App {
    fn default() -> Self {
        App::new()
    }
}

/// The routes. Whoever mounts them puts an [`access::Person`](crate::access::Person) into the
/// extensions of each request that is let in; without one, pages answer 401.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/help", get(pages::help::get))
        .route("/healthz", get(api::health::get))
        .route("/assets/{name}", get(assets::get))
        .layer(CompressionLayer::new())
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;
    use crate::access::Person;

    #[tokio::test]
    async fn nobody_gets_a_page_without_being_a_person() {
        let router = router(Arc::new(App::new()));
        let request = || Request::get("/help").body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let answer =
            router.layer(axum::Extension(Person::owner("ann"))).oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
