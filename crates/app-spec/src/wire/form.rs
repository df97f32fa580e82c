//! The forms of text that a spec knows: names, variable names, tags, digests, paths.

use super::rule::Complaint;
use crate::diagnostic::Code;
use crate::suggest::shown;

/// `^[a-z][a-z0-9-]{0,30}[a-z0-9]$`: apps, components, databases.
pub(crate) fn name(text: &str) -> Result<(), Complaint> {
    if is_name(text) {
        return Ok(());
    }
    unsubstituted(text)?;
    let rule = "2 to 32 lower-case letters, digits and hyphens, a letter first, no hyphen last";
    let complaint = Complaint::new(Code::BadName, format!("`{}` is not a name: {rule}", shown(text)));
    let candidate = as_name(text);
    Err(if is_name(&candidate) { complaint.help(format!("did you mean `{candidate}`?")) } else { complaint })
}

pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (2..=32).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(inner)
        && bytes.last() != Some(&b'-')
}

/// The nearest name to any text: `My App` → `my-app`.
fn as_name(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let hyphened: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let start = hyphened.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    start.chars().take(32).collect::<String>().trim_end_matches('-').to_owned()
}

/// `^[_A-Za-z][_A-Za-z0-9]*$`: environment variables.
pub(crate) fn env_key(text: &str) -> Result<(), Complaint> {
    let inner = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    if text.bytes().all(inner) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    unsubstituted(text)?;
    let rule = "letters, digits and `_`, no digit first";
    Err(Complaint::new(Code::BadName, format!("`{}` is not the name of a variable: {rule}", shown(text))))
}

/// `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`: an image tag.
pub(crate) fn tag(text: &str) -> Result<(), Complaint> {
    let inner = |b: u8| b == b'_' || b == b'.' || b == b'-' || b.is_ascii_alphanumeric();
    if text.len() <= 128 && text.bytes().all(inner) && !text.starts_with(['.', '-']) {
        return Ok(());
    }
    unsubstituted(text)?;
    let rule = "letters, digits, `_`, `.`, `-`, at most 128";
    Err(Complaint::new(Code::BadFormat, format!("`{}` is not an image tag: {rule}", shown(text))))
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(text: &str) -> Result<(), Complaint> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(());
    }
    unsubstituted(text)?;
    let rule = "`sha256:` and 64 lower-case hexadecimal digits";
    Err(Complaint::new(Code::BadFormat, format!("`{}` is not an image digest: {rule}", shown(text))))
}

/// A path of an image's name: lower-case parts separated by `/`, a port allowed in the first.
pub(crate) fn repository(text: &str) -> Result<(), Complaint> {
    let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/:".contains(&b);
    if text.bytes().all(part) && !text.split('/').any(str::is_empty) {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(
        Code::BadFormat,
        format!("`{}` cannot be part of an image's name: lower-case letters, digits, `.`, `_`, `-`, `/`", shown(text)),
    );
    let lower = text.to_ascii_lowercase();
    Err(if lower != text && repository(&lower).is_ok() {
        complaint.help(format!("did you mean `{}`?", shown(&lower)))
    } else {
        complaint
    })
}

/// `owner/repo`, or deeper where groups are.
pub(crate) fn owner_and_repo(text: &str) -> Result<(), Complaint> {
    let parts: Vec<&str> = text.split('/').collect();
    if text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/") {
        let owner_repo = text.trim_end_matches(".git").rsplit(['/', ':']).take(2).collect::<Vec<_>>();
        let complaint = Complaint::new(Code::BadFormat, "a repository here is `owner/repo`, not an address");
        return Err(match owner_repo[..] {
            [repo, owner] => complaint.help(format!("did you mean `{}`?", shown(&format!("{owner}/{repo}")))),
            _ => complaint,
        });
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let valid = |part: &&str| !part.is_empty() && part.chars().all(inner) && !matches!(*part, "." | "..");
    if parts.len() >= 2 && parts.iter().all(valid) {
        return Ok(());
    }
    unsubstituted(text)?;
    Err(Complaint::new(Code::BadFormat, format!("`{}` is not `owner/repo`", shown(text))))
}

/// A path of requests: begins with `/`. Empty text stands for everything.
pub(crate) fn request_path(text: &str) -> Result<(), Complaint> {
    if text.is_empty() || text.starts_with('/') {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(Code::BadFormat, format!("the path `{}` does not begin with `/`", shown(text)));
    Err(complaint.help(format!("did you mean `/{}`?", shown(text))))
}

/// A path inside the repository: `/`, `.`, `app`, `/app`, `./app`; never out of it.
pub(crate) fn inside_repository(text: &str) -> Result<(), Complaint> {
    match text.split('/').any(|part| part == "..") {
        false => Ok(()),
        true => Err(Complaint::new(Code::BadFormat, format!("`{}` leads out of the repository", shown(text)))),
    }
}

/// A host name: labels of letters, digits and inner hyphens; 4 to 253 characters, a final dot allowed.
pub(crate) fn domain(text: &str) -> Result<(), Complaint> {
    let labels = text.strip_suffix('.').unwrap_or(text);
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if (4..=253).contains(&text.len()) && labels.contains('.') && labels.split('.').all(label) {
        return Ok(());
    }
    unsubstituted(text)?;
    let complaint = Complaint::new(Code::BadFormat, format!("`{}` is not a host name", shown(text)));
    Err(if text.contains("://") { complaint.help("leave the scheme and the path out") } else { complaint })
}

/// Refuses what a deploy tool should have replaced: `${NAME}`, `$NAME`, `{{ name }}`, `<name>`.
pub(crate) fn unsubstituted(text: &str) -> Result<(), Complaint> {
    let variable = text.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    let bracketed = text.starts_with('<') && text.ends_with('>');
    let template = variable || bracketed || text.contains("${") || text.contains("{{");
    if !template {
        return Ok(());
    }
    let message = format!("`{}` is a placeholder that nothing has replaced", shown(text));
    Err(Complaint::new(Code::Unsubstituted, message).help("replace it before the spec is applied"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(outcome: Result<(), Complaint>) -> (Code, Option<String>) {
        outcome.err().map(|c| (c.code, c.help)).expect("refused")
    }

    #[test]
    fn names_follow_the_rule_and_the_nearest_one_is_offered() {
        for good in ["ab", "web", "a-1", "a1234567890123456789012345678901"] {
            assert!(name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        let cases = [
            ("SkyHelperAPI", Some("skyhelperapi")),
            ("harry.com", Some("harry-com")),
            ("My App", Some("my-app")),
            ("216labs", Some("labs")),
            ("web-", Some("web")),
            ("a", None),
            (long.as_str(), Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
        ];
        for (text, offered) in cases {
            let help = offered.map(|o| format!("did you mean `{o}`?"));
            assert_eq!(says(name(text)), (Code::BadName, help), "{text}");
        }
        assert_eq!(says(name("${APP_NAME}")).0, Code::Unsubstituted);
        assert_eq!(says(name("app-{{env}}")).0, Code::Unsubstituted);
    }

    #[test]
    fn a_repository_is_two_parts_and_an_address_is_turned_into_them() {
        assert!(owner_and_repo("digitalocean/sample-golang").is_ok());
        for address in ["https://github.com/a/b.git", "git@github.com:a/b", "github.com/a/b"] {
            assert_eq!(
                says(owner_and_repo(address)),
                (Code::BadFormat, Some("did you mean `a/b`?".into())),
                "{address}"
            );
        }
        for bad in ["a", "a/", "../b", "a/b c"] {
            assert_eq!(says(owner_and_repo(bad)).0, Code::BadFormat, "{bad}");
        }
    }

    #[test]
    fn image_parts_tags_and_digests_have_their_forms() {
        assert!(tag("1.27-alpine").is_ok() && tag("latest").is_ok() && tag("_x").is_ok());
        assert_eq!(says(tag("${TAG}")).0, Code::Unsubstituted);
        assert_eq!(says(tag("a b")).0, Code::BadFormat);
        assert!(digest(&format!("sha256:{}", "0a".repeat(32))).is_ok());
        assert_eq!(says(digest("sha256:12")).0, Code::BadFormat);
        assert!(repository("library/nginx").is_ok());
        assert_eq!(says(repository("Acme/Web")).1.as_deref(), Some("did you mean `acme/web`?"));
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

    #[test]
    fn domains_are_host_names_without_scheme() {
        for good in ["example.com", "xn--bcher-kva.example", "a.b.c."] {
            assert!(domain(good).is_ok(), "{good}");
        }
        assert_eq!(says(domain("https://example.com")).1.as_deref(), Some("leave the scheme and the path out"));
        for bad in ["localhost", "a..b", "-a.com", "a b.com"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}
