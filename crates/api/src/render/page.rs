//! A page of a list, with links to the other pages. doctl reads the number of pages from the `last` link.

use controller::view::PageQuery;
use serde_json::{Map, Value, json};

/// `{ KEY: items, links, meta }`. `url` is the address of the list without a query. `extra` is appended to every link.
pub(crate) fn paged(key: &str, items: Vec<Value>, total: u64, query: PageQuery, url: &str, extra: &str) -> Value {
    let last = total.div_ceil(query.per_page).max(1);
    let link = |page: u64| Value::from(format!("{url}?page={page}&per_page={}{extra}", query.per_page));
    let mut pages = Map::new();
    if query.page > 1 {
        pages.insert("first".into(), link(1));
        pages.insert("prev".into(), link((query.page - 1).min(last)));
    }
    if query.page < last {
        pages.insert("next".into(), link(query.page + 1));
        pages.insert("last".into(), link(last));
    }
    json!({ key: items, "links": { "pages": pages }, "meta": { "total": total } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(page: u64, total: u64) -> Value {
        let query = PageQuery { page, per_page: 20 };
        paged("apps", vec![], total, query, "http://h/v2/apps", "")["links"]["pages"].take()
    }

    #[test]
    fn a_single_page_has_no_links() {
        assert_eq!(links(1, 20), json!({}));
        assert_eq!(links(1, 0), json!({}));
    }

    #[test]
    fn every_page_except_the_last_links_to_the_last() {
        assert_eq!(
            links(1, 41),
            json!({ "next": "http://h/v2/apps?page=2&per_page=20", "last": "http://h/v2/apps?page=3&per_page=20" })
        );
        assert_eq!(
            links(3, 41),
            json!({ "first": "http://h/v2/apps?page=1&per_page=20", "prev": "http://h/v2/apps?page=2&per_page=20" })
        );
    }

    #[test]
    fn a_page_beyond_the_end_links_to_the_last() {
        assert_eq!(links(9, 41)["prev"], "http://h/v2/apps?page=3&per_page=20");
    }
}
