//! Image references: splits `registry/name:tag@digest` without asking a registry.

/// Splits a reference into repository and tag; the default tag is `latest`. A digest stays with the repository, without
/// a tag.
///
/// ```
/// use engine::reference::split;
/// assert_eq!(split("localhost:5000/shop"), ("localhost:5000/shop", Some("latest")));
/// assert_eq!(split("shop:1.2"), ("shop", Some("1.2")));
/// assert_eq!(split("shop@sha256:ab"), ("shop@sha256:ab", None));
/// ```
pub fn split(reference: &str) -> (&str, Option<&str>) {
    if reference.contains('@') {
        return (reference, None);
    }
    // A colon before the last slash belongs to a registry's port.
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, Some("latest")),
    }
}
