//! A spec written anew: fields in the order of the reference, two spaces, quotes where any reader needs them; comments
//! and empty lines stay with the fields that they stand by.

use crate::comments::Comments;
use crate::diagnostic::Diagnostics;
use crate::spec::{AppSpec, unwrapped};
use crate::tree::{self, Kind};

/// A spec written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// The text. It holds the secrets that the given text holds.
    pub text: String,
    /// Keys beginning with `x-`. What their anchors stood for is written out where it was used, and they are left out.
    pub extensions: Vec<String>,
}

/// Writes a spec anew. The new text means the same, and formatting it again changes nothing.
///
/// Errors: those of [`AppSpec::from_yaml`]; a text that is wrong is not touched.
pub fn format_yaml(text: &str) -> Result<Formatted, Diagnostics> {
    let parsed = AppSpec::from_yaml(text)?;
    let out = parsed.spec.to_out(&|_, secret| secret.expose().to_owned());
    // A JSON text that YAML cannot read has no comments.
    let Ok((root, _)) = tree::parse(text) else {
        return Ok(Formatted { text: crate::yaml::write(&out), extensions: Vec::new() });
    };
    let comments = Comments::of(text, &root, parsed.places(), &out);
    let text = crate::yaml::write_with(&out, &comments);
    let mut extensions = Vec::new();
    for mapping in [&root, unwrapped(&root)] {
        if let Kind::Mapping(entries) = &mapping.kind {
            extensions.extend(entries.iter().map(|e| e.key.to_string()).filter(|key| key.starts_with("x-")));
        }
    }
    extensions.sort();
    extensions.dedup();
    Ok(Formatted { text, extensions })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comments_and_empty_lines_stay_with_their_fields() {
        let text = "# Our shop.
# Second line.

spec:
  region: nyc   # near us

  # What people see.
  services:     # one
    # The web.
    - http_port: 8080
      # its name
      name: web # not '# www'
      run_command: |  # start
        # in the script
        go run '#'

      image: {registry_type: docr, registry: a, repository: 'b' , tag: '1'} # pinned
      envs: [] # none yet
      # at the end of web
  name: shop
# the end
";
        let wanted = "# Our shop.
# Second line.

name: shop
region: nyc # near us

# What people see.
services: # one
# The web.
# its name
- name: web # not '# www'

  image:
    registry_type: DOCR
    registry: a
    repository: b
    tag: \"1\" # pinned
  # none yet
  # at the end of web
  run_command: | # start
    # in the script
    go run '#'
  http_port: 8080
# the end
";
        let formatted = format_yaml(text).unwrap().text;
        assert_eq!(formatted, wanted);
    }

    #[test]
    fn extensions_are_named_and_what_their_anchors_stood_for_is_written_out() {
        let text =
            "x-repo: &r {repo_clone_url: x}\nname: shop\nservices:\n- {name: web, git: *r}\n- {name: api, git: *r}\n";
        let formatted = format_yaml(text).unwrap();
        assert_eq!(formatted.extensions, ["x-repo"]);
        assert_eq!(formatted.text.matches("repo_clone_url: x").count(), 2, "{}", formatted.text);
    }

    #[test]
    fn a_wrong_text_is_refused_and_json_becomes_yaml() {
        assert!(format_yaml("name: shop\nbogus: 1\n").is_err());
        let json =
            r#"{"databases": [{"name": "db"}], "name": "shop", "envs": [{"key": "A", "value": "\ud83d\ude00"}]}"#;
        assert_eq!(
            format_yaml(json).unwrap().text,
            "name: shop\nenvs:\n- key: A\n  value: \"😀\"\ndatabases:\n- name: db\n"
        );
    }
}
