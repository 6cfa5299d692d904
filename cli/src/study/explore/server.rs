//! The server on loopback: the page, and an answer for every question that it asks.
//!
//! It binds 127.0.0.1 alone and answers only requests that name it as their `Host`, so that no page from elsewhere can reach it
//! under a name of its own (DNS rebinding). It changes nothing and reads no files.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::answer::Answer;
use super::page;
use super::question::Question;
use crate::error::{Failure, Result};
use crate::study::args::ExploreArgs;

/// What browsers are told: load nothing from elsewhere, be framed by nobody, keep nothing.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Serves until the process is ended.
pub fn run(args: &ExploreArgs, start: &Question, out: &mut dyn Write) -> Result<()> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listen = |error| Failure::Listen(wanted, error);
    let listener = TcpListener::bind(wanted).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let query = start.query();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(listen)?;

    let url = format!("http://{address}/#{query}");
    writeln!(out, "{url}\nCtrl-C ends it.")?;
    out.flush()?;
    if args.open
        && let Err(error) = open::that_detached(&url)
    {
        // The page can still be opened by hand.
        writeln!(out, "No browser could be opened: {error}")?;
        out.flush()?;
    }
    runtime
        .block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router(address.port(), &query)).await
        })
        .map_err(listen)
}

/// Everything that is served on a port.
fn router(port: u16, start: &str) -> Router {
    let html = page::served(start);
    let page = move || {
        let html = html.clone();
        async move { typed("text/html; charset=utf-8", html) }
    };
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(async || typed("text/css; charset=utf-8", page::STYLE)))
        .route("/script.js", get(async || typed("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/api/geometry", get(async |RawQuery(query): RawQuery| geometry(&query.unwrap_or_default())))
        .route("/api/weights", get(async |RawQuery(query): RawQuery| weights(&query.unwrap_or_default())))
        .layer(middleware::from_fn_with_state(port, guard))
}

/// The answer, or `{"error": …}`: to the page, a layer that cannot be is an answer like any other.
fn geometry(query: &str) -> Response {
    let text = match Question::parse(query).and_then(|question| Answer::to(&question)) {
        Ok(Answer { operator, counterpart }) => {
            serde_json::to_string(&Answer { operator: operator.shortened(), counterpart })
        }
        Err(failure) => serde_json::to_string(&Refusal::new(&failure)),
    };
    match text {
        Ok(text) => typed("application/json", text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// All weights of a layer as f64, little-endian.
fn weights(query: &str) -> Response {
    match Question::parse(query).and_then(|question| Answer::to(&question)) {
        Ok(answer) => {
            let weights = answer.operator.w.unwrap_or_default();
            let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.0.to_le_bytes()).collect();
            typed("application/octet-stream", bytes)
        }
        Err(failure) => (StatusCode::BAD_REQUEST, failure.to_string()).into_response(),
    }
}

/// Why there is no answer.
#[derive(Serialize)]
pub struct Refusal {
    error: String,
}

impl Refusal {
    pub fn new(failure: &Failure) -> Self {
        Self { error: failure.to_string() }
    }
}

fn typed(kind: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Refuses foreign hosts, and adds the headers to everything else.
async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = if host.is_some_and(|host| is_own(host, port)) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this server answers on loopback only").into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// Whether a `Host` header names this server.
fn is_own(host: &str, port: u16) -> bool {
    ["127.0.0.1", "localhost"].iter().any(|name| {
        let rest = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name)).map(|_| &host[name.len()..]);
        // Clients leave out the default port.
        rest.is_some_and(|rest| {
            rest.strip_prefix(':').map_or(port == 80 && rest.is_empty(), |given| given == port.to_string())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_hosts_are_answered() {
        for host in ["127.0.0.1:8000", "localhost:8000", "LocalHost:8000"] {
            assert!(is_own(host, 8000), "{host}");
        }
        assert!(is_own("localhost", 80) && is_own("127.0.0.1:80", 80));
        for host in [
            "",
            "localhost",
            "127.0.0.1",
            "localhost:80",
            "localhost:08000",
            "127.0.0.1:8000.evil.example",
            "evil.example:8000",
            "localhost.evil.example:8000",
            "127.0.0.2:8000",
            "[::1]:8000",
            "0.0.0.0:8000",
            "localhost:8000:8000",
            "é:8000",
            "12€",
            " localhost:8000",
        ] {
            assert!(!is_own(host, 8000), "{host}");
        }
    }
}
