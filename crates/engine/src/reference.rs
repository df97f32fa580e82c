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

/// The repository without tag, digest and what Docker Hub's names may leave out.
///
/// ```
/// use engine::reference::short_repository;
/// assert_eq!(short_repository("docker.io/library/redis:7"), "redis");
/// assert_eq!(short_repository("redis@sha256:ab"), "redis");
/// assert_eq!(short_repository("ghcr.io/acme/shop:1"), "ghcr.io/acme/shop");
/// ```
pub fn short_repository(reference: &str) -> &str {
    let repository = split(reference).0;
    let repository = repository.split_once('@').map_or(repository, |(repository, _)| repository);
    let repository = repository.strip_prefix("docker.io/").unwrap_or(repository);
    repository.strip_prefix("library/").unwrap_or(repository)
}

/// The host of the registry that has the image: `docker.io` for Docker Hub.
///
/// ```
/// use engine::reference::host;
/// assert_eq!(host("redis:7"), "docker.io");
/// assert_eq!(host("acme/shop"), "docker.io");
/// assert_eq!(host("ghcr.io/acme/shop:1"), "ghcr.io");
/// assert_eq!(host("ghcr.io:443/acme/shop"), "ghcr.io");
/// assert_eq!(host("localhost:5000/shop@sha256:ab"), "localhost:5000");
/// ```
pub fn host(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => without_usual_port(first),
        _ => "docker.io",
    }
}

/// The host of a registry without the port that it has anyway, 443. A name without a dot needs a port to be a host.
pub fn without_usual_port(host: &str) -> &str {
    host.strip_suffix(":443").filter(|name| name.contains('.')).unwrap_or(host)
}
