//! What all requests share, and the routes.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use crate::access::audit::Act;
use crate::access::{Question, Visit};
use crate::problem::Problem;
use crate::sources::Sources;
use crate::stream::hub::Hubs;
use crate::view::View;
use crate::{api, assets, pages, stream};

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) started: Instant,
    pub(crate) sources: Sources,
    pub(crate) views: pages::views::Views,
    pub(crate) hubs: Hubs,
}

impl App {
    /// The page over some sources.
    pub fn new(sources: Sources) -> Self {
        App {
            started: Instant::now(),
            sources,
            views: pages::views::Views::default(),
            hubs: Hubs::default(),
        }
    }

    /// Begins a question: nothing may be read before it is written down.
    ///
    /// # Errors
    /// What the words say can't be asked, the person has too many questions, or the audit fails.
    pub(crate) async fn begin(
        &self,
        visit: &Visit,
        act: Act,
        view: &View,
    ) -> Result<Question, Problem> {
        let chosen = self.sources.choose(&view.words, view.from)?;
        let names = self.sources.names(&chosen);
        visit.question(act, &view.words.to_string(), &names).await
    }

    /// Ends what is followed, so that streams end: before the page stops being served.
    pub fn stop(&self) {
        self.hubs.stop();
    }
}

/// The routes. Whoever mounts them puts an [`access::Person`](crate::access::Person) into the
/// extensions of each request that is let in; without one, pages answer 401.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(pages::fleet::get))
        .route("/server/{name}", get(pages::server::get))
        .route("/events", get(pages::events::get))
        .route("/event", get(pages::event::get))
        .route("/tail", get(pages::tail::get))
        .route("/views", get(pages::views::get).post(pages::views::post))
        .route("/v/{name}", get(pages::views::go))
        .route("/status", get(pages::status::get))
        .route("/help", get(pages::help::get))
        .route("/api/v1/events", get(api::events::get))
        .route("/api/v1/count", get(api::counts::count))
        .route("/api/v1/histogram", get(api::counts::histogram))
        .route("/api/v1/facets", get(api::counts::facets))
        .route("/api/v1/event", get(api::events::one))
        .route("/api/v1/servers", get(api::servers::get))
        .route("/api/v1/ask", get(stream::ask::get))
        .route("/api/v1/tail", get(stream::tail::get))
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
        let router = router(Arc::new(App::new(Sources::new())));
        let request = |page| Request::get(page).body(Body::empty()).unwrap();
        for page in [
            "/",
            "/events",
            "/event",
            "/views",
            "/status",
            "/help",
            "/server/x",
            "/v/x",
            "/api/v1/events",
            "/api/v1/count",
            "/api/v1/facets",
            "/api/v1/histogram",
            "/api/v1/event",
            "/api/v1/servers",
        ] {
            let answer = router.clone().oneshot(request(page)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{page}");
        }
        let signed_in = router.layer(axum::Extension(Person::owner("ann")));
        let answer = signed_in.oneshot(request("/help")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
