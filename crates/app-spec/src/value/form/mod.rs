//! The required forms of text. Names are in this file; `source`, `web` and `time` hold the forms of their fields. Each
//! constant is a form as a regular expression for editors. It may accept more than the function, never less.

mod source;
mod time;
mod web;

pub(crate) use source::{
    OWNER_AND_REPO, REPOSITORY, TAG, clone_address, database_version, digest, inside_repository, owner_and_repo,
    repository, tag,
};
pub(crate) use time::{DURATION, cron, duration, seconds, time_zone};
pub(crate) use web::{
    DOMAIN, HEADER_NAME, HTTPS_URL, TLS_VERSIONS, domain, header_name, header_value, https_url, one_line, request_path,
    request_target, tls_version,
};

use super::rule::Complaint;
use crate::diagnostic::Code;
use crate::suggest::shown;

/// Returns `Ok` if `is_valid`. Otherwise refuses the text as a placeholder, or with `fault`, which follows the text in
/// the message.
fn check(is_valid: bool, code: Code, text: &str, fault: &str) -> Result<(), Complaint> {
    if is_valid {
        return Ok(());
    }
    unsubstituted(text)?;
    Err(Complaint::new(code, format!("`{}` {fault}", shown(text))))
}

/// A name of an app, component or database: `^[a-z][a-z0-9-]{0,30}[a-z0-9]$`.
pub(crate) fn name(text: &str) -> Result<(), Complaint> {
    let fault = "is not a name: 2 to 32 lower-case letters, digits and hyphens, a letter first, no hyphen last";
    check(is_name(text), Code::BadName, text, fault).map_err(|complaint| {
        let candidate = nearest_name(text);
        // Suggests no name for an address, because the name would contain the address's password.
        let is_meant = is_name(&candidate) && !text.contains(['@', '=']) && !text.contains("://");
        if is_meant { complaint.meant(candidate) } else { complaint }
    })
}

pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (2..=32).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(inner)
        && bytes.last() != Some(&b'-')
}

/// Converts a text to the nearest name that an app or a component can have: `My App` becomes `my-app`. The result is too short
/// if the text has fewer than two usable characters.
pub fn nearest_name(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let hyphened: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let start = hyphened.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    start.chars().take(32).collect::<String>().trim_end_matches('-').to_owned()
}

/// A name of an environment variable: `^[_A-Za-z][_A-Za-z0-9]*$`.
pub(crate) fn env_key(text: &str) -> Result<(), Complaint> {
    let is_inner = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
    let is_key = text.bytes().all(is_inner) && !text.starts_with(|c: char| c.is_ascii_digit());
    check(is_key, Code::BadName, text, "is not the name of a variable: letters, digits and `_`, no digit first")
}

/// Refuses placeholders that a deploy tool should have replaced: `${NAME}`, `$NAME`, `{{ name }}`, `<name>`.
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

    /// The code and the advice of a refusal.
    pub(super) fn refusal(outcome: Result<(), Complaint>) -> (Code, Option<String>) {
        outcome.err().map(|c| (c.code, c.help)).expect("refused")
    }

    #[test]
    fn names_follow_the_rule_and_the_nearest_valid_name_is_suggested() {
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
            assert_eq!(refusal(name(text)), (Code::BadName, help), "{text}");
        }
        assert_eq!(refusal(name("${APP_NAME}")).0, Code::Unsubstituted);
        assert_eq!(refusal(name("app-{{env}}")).0, Code::Unsubstituted);
    }
}
