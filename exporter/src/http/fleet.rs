//! `/fleet`: the series of every target.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use probity_driver::FleetQuery;

use super::query::Params;
use super::{Wanted, plain, stream};
use crate::app::App;
use crate::exposition::Format;
use crate::render;

pub(super) async fn all(
    State(app): State<Arc<App>>,
    query: Params,
    headers: HeaderMap,
) -> Response {
    if let Err(sentence) = query.only(&["job", "page", "pages"]) {
        return plain(StatusCode::BAD_REQUEST, sentence + "\n");
    }
    let wanted = Wanted::by(&headers, Format::ALL);
    // Scrapes that do not fit wait for nobody: Prometheus tries again.
    let Ok(permit) = Arc::clone(&app.scrapes).try_acquire_owned() else {
        let mut busy = plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many scrapes of the fleet at once\n",
        );
        busy.headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return busy;
    };
    let running = app.running();
    let page = match page(query.get("page"), query.get("pages")) {
        Ok(page) => page,
        Err(sentence) => return plain(StatusCode::BAD_REQUEST, sentence),
    };
    let groups = match query.get("job") {
        None => None,
        Some(job) => match running.group(job) {
            Some(group) => Some(vec![group]),
            None => {
                let sentence = format!("there is no job {job:?}\n");
                return plain(StatusCode::NOT_FOUND, sentence);
            }
        },
    };
    let asked = FleetQuery {
        groups,
        page,
        ids: None,
    };
    let fleet = match app.bridge.fleet(asked).await {
        Ok(fleet) => fleet,
        Err(error) => return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    stream(wanted, move |encoder| {
        let _permit = permit;
        render::fleet::write(encoder, &running.index, &fleet.rows)
    })
}

/// `page=0&pages=4`: the quarter of the fleet whose ids leave remainder 0.
fn page(page: Option<&str>, pages: Option<&str>) -> Result<Option<(u32, u32)>, String> {
    let number = |name: &str, text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("{name}: expected a number, found {text:?}\n"))
    };
    match (page, pages) {
        (None, None) => Ok(None),
        (Some(page), Some(pages)) => {
            let (page, pages) = (number("page", page)?, number("pages", pages)?);
            if page < pages {
                Ok(Some((page, pages)))
            } else {
                Err(format!(
                    "page: expected a number below pages ({pages}), found {page}\n"
                ))
            }
        }
        _ => Err("page and pages go together: /fleet?page=0&pages=4\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_are_numbered_from_zero() {
        assert_eq!(page(None, None), Ok(None));
        assert_eq!(page(Some("3"), Some("4")), Ok(Some((3, 4))));
        for (at, of) in [
            (Some("4"), Some("4")),
            (Some("0"), Some("0")),
            (Some("x"), Some("4")),
            (Some("-1"), Some("4")),
            (Some("1"), None),
            (None, Some("4")),
        ] {
            assert!(page(at, of).is_err(), "{at:?} {of:?}");
        }
    }
}
