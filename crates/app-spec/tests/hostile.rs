//! Texts made to use much memory or time are refused at the limits.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Code};

fn refused_as(text: &str) -> Code {
    AppSpec::from_yaml(text).expect_err("hostile").first_error().unwrap().code
}

#[test]
fn each_limit_refuses_a_text_beyond_it() {
    let nested = |depth: usize| format!("name: shop\nx-deep: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    let aliases = |n: usize| format!("x-a: &a 1\nx-b: [{}]\nname: shop\n", "*a, ".repeat(n));
    let items = |n: usize| format!("name: shop\nx-list: [{}]\n", "1, ".repeat(n));
    let long = |bytes: usize| format!("name: shop\nx-text: '{}'\n", "x".repeat(bytes));
    let repeated = |bytes: usize| format!("x-a: &a '{}'\nx-b: [*a, *a, *a]\nname: shop\n", "x".repeat(bytes));
    let marks = |n: usize| format!("name: shop\nx-text: [[{}]]\n", "[], ".repeat(n / 3));
    let cases = [
        (marks(15_900), marks(16_100)),
        (nested(30), nested(32)),
        (aliases(50), aliases(51)),
        (items(9_990), items(10_000)),
        (long(200_000), long(270_000)),
        (repeated(100_000), repeated(200_000)),
    ];
    for (within, beyond) in cases {
        assert!(AppSpec::from_yaml(&within).is_ok(), "{}", &within[..40]);
        assert_eq!(refused_as(&beyond), Code::TooLarge, "{}", &beyond[..40]);
    }
}

#[test]
fn alias_bombs_are_refused_before_they_expand() {
    let mut bomb = String::from("x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..9 {
        let uses = vec![format!("*a{}", i - 1); 5].join(", ");
        bomb.push_str(&format!("x-{i}: &a{i} [{uses}]\n"));
    }
    assert_eq!(refused_as(&bomb), Code::TooLarge);
    let mut merges = String::from("x-0: &a0 {k0: 1}\n");
    for i in 1..50 {
        merges.push_str(&format!("x-{i}: &a{i} {{<<: *a{}, k{i}: 1}}\n", i - 1));
    }
    assert!(AppSpec::from_yaml(&format!("{merges}name: shop\n")).is_ok());
    let mut deep = String::from("x-0: &a0 [1]\n");
    for i in 1..40 {
        deep.push_str(&format!("x-{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert_eq!(refused_as(&deep), Code::TooLarge);
}

#[test]
fn unclosed_and_endless_texts_are_refused() {
    for unit in
        ["[", "{", "- ", "? ", "a: ", "&a ", "!t ", "'", "\"", "[a, ", "{a: ", "|\n ", "%A\n", "*a ", "\t", "{{"]
    {
        let text = unit.repeat(200_000 / unit.len());
        assert!(AppSpec::from_yaml(&text).is_err(), "{unit:?}");
    }
}

#[test]
fn json_from_clients_has_the_same_limits() {
    let mut deep = serde_json::json!(1);
    for _ in 0..40 {
        deep = serde_json::json!([deep]);
    }
    let spec = serde_json::json!({"name": "shop", "x-deep": deep});
    assert_eq!(AppSpec::from_json(&spec).unwrap_err()[0].code, Code::TooLarge);
    let many = serde_json::json!({"name": "shop", "x-many": vec![1; 10_001]});
    assert_eq!(AppSpec::from_json(&many).unwrap_err()[0].code, Code::TooLarge);
    let long = serde_json::json!({"name": "shop", "x-long": "x".repeat(600_000)});
    assert_eq!(AppSpec::from_json(&long).unwrap_err()[0].code, Code::TooLarge);
}

#[test]
fn a_text_full_of_mistakes_reports_only_the_limit_of_problems() {
    let unknown: String = (0..4_900).map(|i| format!("k{i}: 1\n")).collect();
    let words = format!("name: shop\nenvs: [{}]\n", "{key: A, scope: x}, ".repeat(1_800));
    let rules = format!("name: shop\ningress: {{rules: [{}]}}\n", "{component: {name: xy}}, ".repeat(1_600));
    let references = format!("name: shop\nenvs: [{}]\n", "{key: AB, value: '${CD}${CE}${CF}${CG}'}, ".repeat(1_100));
    for text in [unknown, words, rules] {
        let problems = AppSpec::from_yaml(&text).unwrap_err();
        assert_eq!(problems.len(), app_spec::Diagnostics::LIMIT);
    }
    let parsed = AppSpec::from_yaml(&references).unwrap();
    assert_eq!(parsed.warnings.len(), app_spec::Diagnostics::LIMIT);
}
