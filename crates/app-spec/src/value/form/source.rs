//! Forms of sources: repositories, images, and paths inside repositories.

use super::{check, unsubstituted};
use crate::address::RepoAddress;
use crate::diagnostic::Code;
use crate::value::rule::Complaint;

/// An image tag.
pub(crate) const TAG: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";

/// An image tag, as in [`TAG`].
pub(crate) fn tag(text: &str) -> Result<(), Complaint> {
    let fault = "is not an image tag: letters, digits, `_`, `.`, `-`, at most 128";
    check(is_tag(text), Code::BadFormat, text, fault)
}

/// The version of a database, which becomes the tag of its image.
pub(crate) fn database_version(text: &str) -> Result<(), Complaint> {
    let fault = "cannot be a version: letters, digits, `_`, `.`, `-`, at most 128";
    check(is_tag(text), Code::BadFormat, text, fault)
}

fn is_tag(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    text.len() <= 128 && text.bytes().all(is_inner) && !text.starts_with(['.', '-'])
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<(), Complaint> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let fault = "is not an image digest: `sha256:` and 64 lower-case hexadecimal digits";
    check(is_digest, Code::BadFormat, text, fault)
}

/// See [`repository`].
pub(crate) const REPOSITORY: &str = "^[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*$";

/// A part of an image name: segments separated by `/`, with an optional port in the first. Upper case is accepted,
/// because people write owners that way. Engines accept only lower case, so [`crate::image_reference`] converts the
/// name.
pub(crate) fn repository(text: &str) -> Result<(), Complaint> {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
    let is_part = text.bytes().all(is_inner) && !text.split('/').any(str::is_empty);
    let fault = "cannot be part of an image's name: letters, digits, `.`, `_`, `-`, `/`, and `:` before a port";
    check(is_part, Code::BadFormat, text, fault)
}

/// See [`owner_and_repo`].
pub(crate) const OWNER_AND_REPO: &str = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$";

/// A repository address. Messages never repeat it, because it may hold a token.
pub(crate) fn clone_address(text: &str) -> Result<(), Complaint> {
    let Err(error) = RepoAddress::parse(text) else { return Ok(()) };
    if !may_hold_login(text) {
        unsubstituted(text)?;
    }
    let complaint = Complaint::new(Code::BadFormat, error.to_string());
    Err(match error.help() {
        Some(help) => complaint.help(help),
        None => complaint,
    })
}

/// Whether a text that is not a valid address may contain a login or a token.
pub(crate) fn may_hold_login(text: &str) -> bool {
    text.contains(['@', ':', '?', '=', '#'])
}

/// `owner/repo`, with more segments for groups.
pub(crate) fn owner_and_repo(text: &str) -> Result<(), Complaint> {
    let parts: Vec<&str> = text.split('/').collect();
    if text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/") {
        let complaint = Complaint::new(Code::BadFormat, "expected `owner/repo`, not an address");
        return Err(match path_of_address(text) {
            Some(path) => complaint.meant(path),
            None => complaint,
        });
    }
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_valid = |part: &&str| !part.is_empty() && part.chars().all(is_inner) && !matches!(*part, "." | "..");
    let is_repo = parts.len() >= 2 && parts.iter().all(is_valid);
    if !is_repo && may_hold_login(text) {
        return Err(Complaint::new(Code::BadFormat, "expected `owner/repo`, without a login or a host"));
    }
    check(is_repo, Code::BadFormat, text, "is not `owner/repo`")
}

/// `https://github.com/a/b/tree/main` becomes `a/b`. On other hosts the path may have more segments for groups.
fn path_of_address(text: &str) -> Option<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.find('/').unwrap_or(rest.len());
    // The text before the host may be a password.
    let rest = rest[..authority].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    let (host, path) = rest.split_once(['/', ':'])?;
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').take_while(|part| !matches!(*part, "-" | "tree" | "blob" | "src")).collect();
    let parts = if host.ends_with("github.com") { parts.get(..2)? } else { &parts[..] };
    let path = parts.join("/");
    let path = path.trim_end_matches(".git");
    (parts.len() >= 2 && parts.iter().all(|part| !part.is_empty())).then(|| path.to_owned())
}

/// A path inside the repository: `/`, `.`, `app`, `/app`, `./app`. It must not leave the repository.
pub(crate) fn inside_repository(text: &str) -> Result<(), Complaint> {
    unsubstituted(text)?;
    let is_outside = text.split('/').any(|part| part == "..");
    check(!is_outside, Code::BadFormat, text, "leads out of the repository")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::form::tests::refusal;

    #[test]
    fn a_repository_has_two_parts_and_an_address_is_converted_to_them() {
        assert!(owner_and_repo("digitalocean/sample-golang").is_ok());
        for address in
            ["https://github.com/a/b.git", "git@github.com:a/b", "github.com/a/b", "https://u:p@github.com/a/b"]
        {
            assert_eq!(
                refusal(owner_and_repo(address)),
                (Code::BadFormat, Some("did you mean `a/b`?".into())),
                "{address}"
            );
        }
        for bad in ["a", "a/", "../b", "a/b c"] {
            assert_eq!(refusal(owner_and_repo(bad)).0, Code::BadFormat, "{bad}");
        }
    }

    #[test]
    fn image_names_tags_and_digests_must_have_the_right_form() {
        assert!(tag("1.27-alpine").is_ok() && tag("latest").is_ok() && tag("_x").is_ok());
        assert_eq!(refusal(tag("${TAG}")).0, Code::Unsubstituted);
        assert_eq!(refusal(tag("a b")).0, Code::BadFormat);
        assert!(digest(&format!("sha256:{}", "0a".repeat(32))).is_ok());
        assert_eq!(refusal(digest("sha256:12")).0, Code::BadFormat);
        assert!(repository("library/nginx").is_ok());
        assert!(repository("Acme/Web").is_ok());
        for bad in ["a b", "/web", "a//b", "${X}"] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        for good in ["/", ".", "app", "/app", "./app", "a/..b"] {
            assert!(inside_repository(good).is_ok(), "{good}");
        }
        for bad in ["..", "../x", "a/../../b"] {
            assert!(inside_repository(bad).is_err(), "{bad}");
        }
    }
}
