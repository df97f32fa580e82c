//! Drawings of problems: the line, the caret and the other place. A drawing never shows a secret or an overlong line.
#![allow(clippy::unwrap_used)]

mod support;

use support::{problems, service};

#[test]
fn a_problem_is_drawn_with_its_line_a_caret_and_the_other_place() {
    let text = "name: shop\r\nservices:\r\n- name: wéb\r\n  git: {repo_clone_url: /x}\r\nname: again\r\n";
    let once = text.replace("wéb", "web");
    let wanted = "\
warning[duplicate_key]: name: `name` is given twice, first in line 1; the last one applies
 --> app.yaml:5:1
  |
5 | name: again
  | ^^^^
  |
  = note: first given here (app.yaml:1:1)
  = help: keep one of them

0 errors, 1 warning
";
    assert_eq!(problems(&once).render("app.yaml", &once), wanted);
    let text = text.replace("name: again\r\n", "");
    let wanted = "\
error[bad_name]: services[0].name: `wéb` is not a name: 2 to 32 lower-case letters, digits and hyphens, a letter first, no hyphen last
 --> app.yaml:3:9
  |
3 | - name: wéb
  |         ^^^
  |
  = help: did you mean `w-b`?

1 error, 0 warnings
";
    assert_eq!(problems(&text).render("app.yaml", &text), wanted);
}

#[test]
fn a_drawing_never_shows_a_secret() {
    let text = service(
        "  envs: [{key: A, value: 123456789, type: SECRET, scpoe: x}]\n  image: {registry_type: GHCR, \
                        repository: x, registry_credentials: 'u:hunter2', bogus: 1}\n",
    );
    let problems = problems(&text);
    assert!(problems.has_errors());
    let drawn = problems.render("app.yaml", &text);
    assert!(drawn.contains("value: *********, type: SECRET"), "{drawn}");
    let everything = format!("{drawn}{problems}{problems:?}{}", serde_json::to_string(&problems).unwrap());
    for secret in ["123456789", "hunter2"] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = service(&format!("  envs: [{{key: A, value: {}, bogus: 1}}]\n", "x".repeat(5000)));
    let drawn = problems(&text).render("app.yaml", &text);
    assert!(drawn.lines().all(|line| line.chars().count() < 140), "{drawn}");
    let caret = drawn.lines().position(|line| line.contains('^')).unwrap();
    let lines: Vec<&str> = drawn.lines().collect();
    let column = lines[caret].find('^').unwrap();
    let marked: String = lines[caret - 1].chars().skip(column).take(5).collect();
    assert_eq!(marked, "bogus", "{drawn}");
}

#[test]
fn carets_are_below_the_right_text_whatever_comes_before() {
    let under = |text: &str| {
        let drawn = problems(text).render("app.yaml", text);
        let lines: Vec<&str> = drawn.lines().collect();
        let caret = lines.iter().position(|line| line.contains('^')).unwrap();
        (lines[caret - 1].to_owned(), lines[caret].to_owned())
    };
    let wide = "name: shop\nenvs: [{key: A, value: 日本}, {key: B, scop: x}]\n";
    assert_eq!(under(wide).1, "  |                                        ^^^^");
    let marked = "\u{feff}nmae: shop\n";
    assert_eq!(under(marked), ("1 | nmae: shop".to_owned(), "  | ^^^^".to_owned()));
    let combined = "name: shop\nregion: e\u{301}\nenvs: [{key: A, value: e\u{301}}, {key: B, scop: x}]\n";
    assert_eq!(under(combined).1, "  |                                     ^^^^");
}
