//! What all requests share, and the routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;

use crate::access::audit::Act;
use crate::access::limits::QUESTION_TIME;
use crate::access::{Question, Visit};
use crate::keeper::Keeper;
use crate::problem::Problem;
use crate::sources::Sources;
use crate::stream::going::Goings;
use crate::stream::hub::Hubs;
use crate::view::View;
use crate::{api, assets, pages, stream};

/// What all requests share.
pub struct App {
    pub(crate) started: Instant,
    pub(crate) sources: Sources,
    pub(crate) views: pages::views::Views,
    pub(crate) hubs: Hubs,
    /// Questions that go on after their page.
    pub(crate) going: Goings,
    /// The program, where it keeps events.
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
    /// Questions that were begun.
    pub(crate) questions: AtomicU64,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl App {
    /// The page over some sources.
    pub fn new(sources: Sources) -> Self {
        App {
            started: Instant::now(),
            sources,
            views: pages::views::Views::default(),
            hubs: Hubs::default(),
            going: Goings::default(),
            keeper: None,
            questions: AtomicU64::new(0),
        }
    }

    /// The same, in a program that keeps events.
    #[must_use]
    pub fn keeping(self, keeper: Arc<dyn Keeper>) -> Self {
        App { keeper: Some(keeper), ..self }
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
        self.begin_within(visit, act, view, QUESTION_TIME).await
    }

    /// The same, where its turn to ask servers has to come within a time.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(crate) async fn begin_within(
        &self,
        visit: &Visit,
        act: Act,
        view: &View,
        most: Duration,
    ) -> Result<Question, Problem> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let chosen = self.sources.choose(&view.words, view.from)?;
        let names = self.sources.names(&chosen);
        let question = visit.question(act, &view.words.to_string(), &names).await?;
        // A tail has bounds of its own, and who streams tells the place in the queue.
        if self.sources.servers(&chosen) > 0 && !matches!(act, Act::Tail | Act::Ask) {
            self.turn(&question, most).await?;
        }
        Ok(question)
    }

    /// Waits until a question may ask servers.
    ///
    /// # Errors
    /// 429 with the place in the queue, where its turn doesn't come in time.
    pub(crate) async fn turn(&self, question: &Question, most: Duration) -> Result<(), Problem> {
        let mut place = 0;
        let turn = question.turn(|at| place = at);
        match tokio::time::timeout(most, turn).await {
            Ok(()) => Ok(()),
            Err(_) => Err(waits(place)),
        }
    }

    /// Ends what is followed, so that streams end: before the page stops being served.
    pub fn stop(&self) {
        self.hubs.stop();
    }
}

/// A question whose turn doesn't come.
pub(crate) fn waits(place: usize) -> Problem {
    let detail = format!(
        "others are asking servers just now: this question is at place {place} of those that wait; \
         ask again in a moment"
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "servers are busy with others", detail)
        .with("place", place)
}

/// The routes of programs, which `/openapi.json` describes.
#[cfg(test)]
pub(crate) const API: [&str; 14] = [
    "/api/v1/ask",
    "/api/v1/count",
    "/api/v1/event",
    "/api/v1/events",
    "/api/v1/facets",
    "/api/v1/histogram",
    "/api/v1/logs",
    "/api/v1/neighbours",
    "/api/v1/servers",
    "/api/v1/sql",
    "/api/v1/tail",
    "/api/v1/views",
    "/healthz",
    "/metrics",
];

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
        .route("/status", get(pages::status::get).post(pages::status::post))
        .route("/help", get(pages::help::get))
        .route("/api/v1/events", get(api::events::get))
        .route("/api/v1/count", get(api::counts::count))
        .route("/api/v1/histogram", get(api::counts::histogram))
        .route("/api/v1/facets", get(api::counts::facets))
        .route("/api/v1/event", get(api::events::one))
        .route("/api/v1/servers", get(api::servers::get))
        .route("/api/v1/ask", get(stream::ask::get))
        .route("/api/v1/tail", get(stream::tail::get))
        .route("/api/v1/neighbours", get(api::neighbours::get))
        .route("/api/v1/logs", get(api::logs::get))
        .route("/api/v1/views", get(api::views::get))
        .route("/api/v1/sql", post(api::sql::post))
        .route("/openapi.json", get(api::openapi::get))
        .route("/api/v1", get(|| async { Redirect::to("/openapi.json") }))
        .route("/metrics", get(api::metrics::get))
        .route("/status/audit", get(pages::audit::get))
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
        let request = |page: &str| Request::get(page).body(Body::empty()).unwrap();
        let pages = [
            "/",
            "/events",
            "/event",
            "/tail",
            "/views",
            "/v/x",
            "/status",
            "/status/audit",
            "/help",
            "/server/x",
            "/openapi.json",
        ];
        let asked = |route: &&&str| !["/healthz", "/api/v1/sql"].contains(*route);
        let api = API.iter().filter(asked);
        for page in pages.iter().chain(api) {
            let answer = router.clone().oneshot(request(page)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{page}");
        }
        let sql = Request::post("/api/v1/sql").body(Body::from("SELECT 1")).unwrap();
        let answer = router.clone().oneshot(sql).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let signed_in = router.layer(axum::Extension(Person::owner("ann")));
        let answer = signed_in.oneshot(request("/help")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
