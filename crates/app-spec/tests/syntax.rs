//! Texts that are no YAML: what is said about them, and that it is said where the mistake is.
#![allow(clippy::unwrap_used)]

use app_spec::AppSpec;

const WEB: &str = "name: shop\nservices:\n- name: web\n";

/// `line:column message | help`, one line per problem.
fn said(text: &str) -> Vec<String> {
    let problems = AppSpec::from_yaml(text).map(|_| ()).unwrap_err();
    let line = |d: &app_spec::Diagnostic| {
        let help = d.help.as_ref().map_or_else(String::new, |help| format!(" | {help}"));
        format!("{}:{} {}{help}", d.line().unwrap(), d.column().unwrap(), d.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn the_culprit_is_named_where_it_stands() {
    let put_it = "put it below the first letter of the field beside it";
    let cases = [
        ("\t image: x\n", "4:1 a tab indents this line | indent with spaces".to_owned()),
        ("  envs:\n  - key: A\n\tvalue: b\n", "6:1 a tab indents this line | indent with spaces".to_owned()),
        ("   http_port: 80\n", format!("4:4 this line is indented further than the line above allows | {put_it}")),
        (" http_port: 80\n", format!("4:2 the indentation of this line fits none of the lines above it | {put_it}")),
        ("  run_command: a: b\n", "4:17 a second `: ` stands in this line | quote text that holds `: `".to_owned()),
        ("  image:{a: b, c: d}\n", "4:8 a space is missing after this `:`".to_owned()),
        (
            "  http_port 80\n  a: b\n",
            "4:3 a `:` is missing after `http_port` | a field is written `name: value`".to_owned(),
        ),
        (
            "  hunter2 x\n  a: b\n",
            "4:3 this line is neither a field nor an item of a list | a field is written `name: value`".to_owned(),
        ),
        ("  run_command: @x\n", "4:16 no text begins with `@` | put the text in quotes".to_owned()),
        ("  run_command: `x`\n", "4:16 no text begins with a backtick | put the text in quotes".to_owned()),
        (
            "  run_command: *x\n",
            "4:16 `*` names an anchor, and there is none of that name | quote text that begins with `*`".to_owned(),
        ),
        ("  run_command: \"x\n  a: b\n", "4:16 this quote is not closed".to_owned()),
        ("  envs: [{key: A, value: b}\n  a: b\n", "4:9 this `[` is not closed".to_owned()),
        ("  envs: [{key: A]\n", "4:17 a `}` is missing before this `]`".to_owned()),
        (
            "{{ if .X }}\n  a: b\n",
            "4:1 this line is of a template that nothing has rendered | \
             render the template before the spec is applied"
                .to_owned(),
        ),
        ("```\n", "4:1 this line is Markdown | leave out the lines that begin with three backticks".to_owned()),
        (
            "=======\n",
            "4:1 a merge was not finished: here begins what the two sides disagree on | \
             keep one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`"
                .to_owned(),
        ),
        (
            "\u{a0} http_port: 80\n",
            "4:1 the character U+00A0 indents this line: it only looks like a space | indent with spaces".to_owned(),
        ),
    ];
    for (more, wanted) in cases {
        assert_eq!(said(&format!("{WEB}{more}")), [wanted], "{more}");
    }
}

#[test]
fn a_dash_without_a_space_is_told_at_the_dash() {
    assert_eq!(said("name: shop\nservices:\n-name: web\n  a: b\n"), ["3:1 a space is missing after this `-`"]);
}

#[test]
fn a_value_glued_to_its_colon_is_told_at_the_colon() {
    let cases = [
        ("name: shop\nservices:\n- name: web\n  http_port:80\n  instance_count: 1\n", "4:12"),
        ("name: shop\nservices:\n- name: web\n  http_port:80\n", "4:12"),
        ("name: shop\nservices:\n- name: web\n  http_port:80\n  instance_count:1\n  a: b\n", "4:12"),
        ("name: shop\nservices:\n- name: web\n  envs:\n  - key: A\n    value:b\n  - key: B\n", "6:10"),
        ("name: shop\nregion:nyc\n\n# all\nservices: []\n", "2:7"),
        ("name:shop\nregion:nyc\nservices: []\n", "1:5"),
        ("name: shop\nservices:\n- name:web\n  http_port: 80\n", "3:7"),
    ];
    for (text, place) in cases {
        assert_eq!(said(text), [format!("{place} a space is missing after this `:`")], "{text}");
    }
    let text = "name: shop\nservices:\n- name: web\n  build_command: a\n    b:c\n    d: 1\n";
    assert!(said(text)[0].starts_with("6:5 this line is indented further"), "{:?}", said(text));
    let address = "name: shop\nservices:\n- name: web\n  http://x\n  a: b\n";
    let neither = "4:3 this line is neither a field nor an item of a list | a field is written `name: value`";
    assert_eq!(said(address), [neither]);
}

#[test]
fn a_comma_that_is_missing_is_told_where_it_belongs() {
    let cases = [
        ("{\"name\": \"web\"\n\"services\": []}\n", "2:1"),
        ("{\n  \"name\": \"web\"\n  \"services\": []\n}\n", "3:3"),
        ("{\n name: web # mine\n services: []\n}\n", "3:2"),
        ("{\"name\": \"shop\", \"services\": [{\"name\": \"a\"} {\"name\": \"b\"}]}\n", "1:45"),
        ("name: shop\nservices:\n- {name: web, image: {registry: a repository: b}}\n", "3:35"),
    ];
    for (text, place) in cases {
        assert_eq!(said(text), [format!("{place} a `,` is missing before this")], "{text}");
    }
    assert_eq!(said("{\n name: web\n services: []\n")[0], "1:1 this `{` is not closed");
    let comment = "1:16 JSON has no comments, and here one begins | leave the comments out, or begin each with `#`";
    assert_eq!(said("{\"name\":\"web\", // c\n\"services\":[]}\n"), [comment]);
}

#[test]
fn text_that_needs_quotes_or_has_too_many_is_told_so() {
    let cases = [
        (
            "'it's'",
            "4:20 more text stands behind the quote that ends this value | inside single quotes write `''` for each `'`",
        ),
        (
            "\"echo \"hi\"\"",
            "4:23 more text stands behind the quote that ends this value | inside double quotes write `\\\"` for each `\"`",
        ),
        ("\"x\",", "4:19 a `,` stands behind this value | leave it out"),
        (
            "\"C:\\Users\"",
            "4:16 in this text a `\\` begins an escape, and there is none of that form | \
             in double quotes write `\\` twice, or use single quotes",
        ),
        (
            "- x",
            "4:16 a list does not begin in the line of its field | \
             put the item in the next line, or quote text that begins with `- `",
        ),
        ("> 5", "4:16 behind this mark, text begins in the next line | quote text that begins with `|` or `>`"),
        ("| x", "4:16 behind this mark, text begins in the next line | quote text that begins with `|` or `>`"),
    ];
    for (value, wanted) in cases {
        assert_eq!(said(&format!("{WEB}  run_command: {value}\n")), [wanted], "{value}");
    }
}

#[test]
fn tabs_between_a_field_and_its_value_are_allowed() {
    let text = "name:\tshop\ndatabases:\t# all\n- name:\t\tdb\n  engine:\tPG\n";
    let parsed = AppSpec::from_yaml(text).unwrap();
    assert_eq!(parsed.spec.databases[0].name, "db");
    let long = "name: shop\nenvs:\n".to_owned() + &"- key:\ta\n".repeat(20_000);
    assert!(AppSpec::from_yaml(&long).is_err());
}

#[test]
fn what_is_no_text_cannot_be_a_key_and_the_rest_is_read() {
    assert_eq!(said("[a]: z\nname: Shop\n")[0], "1:1 a list cannot be a key");
    assert_eq!(said("[a]: z\nname: Shop\n").len(), 2);
}

#[test]
fn text_of_several_lines_is_not_taken_for_the_culprit() {
    let script = "  run_command: |\n    {{ not ours }}\n    =======\n    more\n    more\n    more\n  a: b: c\n";
    let text = format!("{WEB}{script}");
    assert_eq!(said(&text), ["10:7 a second `: ` stands in this line | quote text that holds `: `"]);
}

/// Each once broke a reading off.
#[test]
fn texts_that_were_found_by_chance_are_read_to_their_end() {
    for text in ["-\u{16f00} :", "- é: é\n-é a: 1\n", "\u{feff}-\u{16f00}: [\n"] {
        assert!(AppSpec::from_yaml(text).is_err(), "{text:?}");
    }
}
