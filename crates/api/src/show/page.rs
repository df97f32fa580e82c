//! Pages of a list with the addresses of the others (contract 2.4). doctl takes the number of pages from `last`.

use controller::view::PageQuery;
use serde_json::{Map, Value, json};

/// `{ KEY: items, links, meta }`. `url` is the list's own address without query; `extra` stays in every link.
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
    fn the_last_page_is_named_wherever_there_is_a_next_one() {
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
    fn a_page_beyond_the_end_leads_back() {
        assert_eq!(links(9, 41)["prev"], "http://h/v2/apps?page=3&per_page=20");
    }
}
