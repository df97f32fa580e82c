//! The most expensive texts of 256 KiB. A separate process reads each text and must not use more than 16 MiB for it.
//! The test prints times but does not assert them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::Instant;

use app_spec::AppSpec;

const LARGEST: usize = 256 * 1024;
const MEMORY: u64 = 16 * 1024;
const MARKS: usize = 16_000;
/// The environment variable that passes the name of the case to the child process.
const CASE: &str = "WORST_CASE";

const SOURCE: &str = "git: {repo_clone_url: /x}";

/// A text of at most `LARGEST` bytes: `head`, then `unit` as often as the limits allow, then `tail`. A number replaces
/// `§` in the unit. If the limit on marks leaves the text short, a comment before it fills the rest. With `,,` in the
/// unit, which stands for one comma, the limit on marks does not apply.
fn filled([head, unit, tail]: &[String; 3]) -> String {
    let is_unbound = unit.contains(",,");
    let unit = unit.replace(",,", ",");
    let (mut text, mut used) = (head.clone(), marks(head));
    for i in 0.. {
        let next = unit.replace('§', &i.to_string());
        if text.len() + next.len() + tail.len() > LARGEST || (!is_unbound && used + marks(&next) + marks(tail) > MARKS)
        {
            break;
        }
        text.push_str(&next);
        used += marks(&next);
    }
    text += tail;
    let left = LARGEST - text.len();
    if left < 1000 { text } else { format!("#{}\n{text}", "x".repeat(left - 2)) }
}

/// The number of YAML marks in a text. The reader refuses a text with more than `MARKS` before it parses the text.
fn marks(text: &str) -> usize {
    text.bytes().filter(|byte| b"[]{},:?!&*".contains(byte)).count()
}

/// The cases: a name, and the head, the unit and the tail of the text.
fn cases() -> Vec<(String, [String; 3])> {
    let envs = "name: shop\nenvs:\n";
    let services = "name: shop\nservices:\n";
    let rules = format!("name: shop\nservices: [{{name: web, {SOURCE}}}]\ningress:\n  rules:\n");
    // The deepest nesting that a spec may have.
    let deep: String = (0..30).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect();
    let (pad, blanks) = ("x".repeat(120), " ".repeat(70));
    let mutual_references = format!(
        "- {{name: w§, {SOURCE}, envs: [{{key: A, value: '{pad}${{w1.PUBLIC_URL}}${{w§9.PRIVATE_URL}}{pad}{pad}'}}]}}\n"
    );
    let case =
        |name: &str, head: &str, unit: &str, tail: &str| (name.to_owned(), [head, unit, tail].map(str::to_owned));
    vec![
        case("one long text", "name: shop\nregion: '", "x", "'\n"),
        case("one long line of words", "name: shop\nregion: ", "word ", "\n"),
        case("empty lines", "name: shop\n", "\n", "databases: [{name: db}]\n"),
        case("comments", "name: shop\n", "# c\n", "databases: [{name: db}]\n"),
        case("open brackets", "", "[", ""),
        case("open braces", "", "{", ""),
        case("open quotes", "a: ", "'\" ", ""),
        case("empty mappings", "name: shop\nservices: [", "{},", "]\n"),
        case("empty keys", "", "? \n", ""),
        case("unknown fields", "name: shop\n", "k§: 1\n", ""),
        case("long unknown fields", "name: shop\n", "a-field-with-a-name-as-long-as-this-§: 1\n", ""),
        case("duplicate keys", "", "name: shop\n", ""),
        case("templates", envs, "- {key: A§, value: {{ x }}}\n", ""),
        case("variables", envs, "- {key: A§, value: b}\n", ""),
        case("references to nothing", envs, "- {key: A§, value: '${B}${c.D}'}\n", ""),
        case("one value full of references", &format!("{envs}- key: A\n  value: '"), "${B}", "'\n"),
        case("a chain of variables", envs, "- {key: A§, value: '${A§1}'}\n", ""),
        case("one circle", envs, "- {key: A§, value: '${A0}'}\n", ""),
        case("services", services, &format!("- {{name: w§, {SOURCE}}}\n"), ""),
        case("services of one name", services, &format!("- {{name: web, {SOURCE}}}\n"), ""),
        case("routes", &format!("{services}- name: web\n  {SOURCE}\n  routes:\n"), "  - {path: /a§}\n", ""),
        case("rules for no component", &rules, "  - {component: {name: w§}}\n", ""),
        case("rules for one path", &rules, "  - {component: {name: web}}\n", ""),
        case("misspelt words", "name: shop\nalerts:\n", "- {rule: CPU_UTILISATION}\n", ""),
        case("aliases of a list", "x-a: &a [1,2,3,4,5,6,7,8]\nx-b: [", "*a,", "]\nname: shop\n"),
        case("merge keys", "x-a: &a {k: 1}\nname: shop\nx-b: [", "{<<: *a},", "]\n"),
        // Just below the limit on values, so that the reader reads and checks everything.
        case("long variables in a chain", envs, &format!("- {{key: A§, value: '{pad}${{A§1}}'}}\n"), ""),
        case("long variables in circles", envs, &format!("- {{key: A§, value: '{pad}${{A0}}${{A1}}${{A9}}'}}\n"), ""),
        case("services that refer to each other", services, &mutual_references, ""),
        case(
            "rules of long paths",
            &rules,
            &format!("  - {{match: {{path: {{prefix: /{pad}{pad}§}}}}, component: {{name: web}}}}\n"),
            "",
        ),
        case("tabs after colons", envs, "- key:\ta\n  value:\tb\n", ""),
        case("tabs at the end", &format!("{envs}{}", "- key: a\n".repeat(9_000)), "- key:\ta\n", "name:\tagain\n"),
        case("carriage returns", "name: shop\n", "\r", ""),
        case("a long line of brackets", "name: shop\nx-a: [", &format!("[ 1 ] ,{blanks}"), "]\n"),
        case("empty lines at the end of much", &format!("{deep}{blanks}v\n"), "\n", "name: shop\n"),
        case("comments at the end of much", &format!("{deep}{blanks}v\n"), "#\n", "name: shop\n"),
        case("comments at the beginning of much", &deep, "#\n", &format!("{blanks}v\n")),
        case("text over many lines", "name: shop\nx-a: a\n", " b\n", ""),
        case("fields with comments", "name: shop\n", &format!("k§: v # {pad}\n# c\n"), ""),
        case(
            "anchors in many mappings",
            &format!("x-a: &a 1\nx-b: [{}1]\nservices:\n", "*a, ".repeat(49)),
            &format!("- {{protocol: HTTP, name: web{blanks}{blanks}}}\n"),
            "",
        ),
        // Texts with many warnings and masked ranges.
        case("anchors of nothing", "name: shop\nx-a: [", "&a ,", "]\n"),
        case("anchors of nothing under many keys", "name: shop\nx-a: [", "{abcdef: &a },", "]\n"),
        // The parser looks ahead to the end of two open brackets and stores every event on the way.
        case("values in two brackets", "name: shop\nx-a: [[", "a,", "]]\n"),
        case("pairs in two brackets", "name: shop\nx-a: [[", "a: b,", "]]\n"),
        case("far more values in two brackets", "name: shop\nx-a: [[", "a,,", "]]\n"),
        case("values after an empty block", "x: |\n? [[", "a,,", "]]\n"),
        case("values after a block", "x: |\n  ,\n? [[", "a,,", "]]\n"),
        case("values after a quote", "x: \"a\" [[", "a,,", "]]\n"),
        case("values after a quoted key", "\"a\": [[", "a,,", "]]\n"),
        case("values after quoted quotes", "x: 'a''' [[", "a,,", "]]\n"),
        case("values after empty items", "- |\n- - >\n- [[", "a,,", "]]\n"),
        case("values after a mark in a comment", "x: # |\n [[", "a,,", "]]\n"),
        case("values after nothing", "x:\n? |\n? [[", "a,,", "]]\n"),
        case("JSON in a block", "name: shop\nenvs:\n- key: A\n  value: |\n    ", "{\"a\":1},,", "\n"),
        case("JSON in quotes", "name: shop\nenvs:\n- key: A\n  value: '", "{\"a\":1},,", "'\n"),
        case("pairs in JSON", "{\"name\": [{", "\"a§\":\"b\",", "]}\n"),
        case("keys in two brackets", "name: shop\nx-a: [[", "? a,", "]]\n"),
        case("lists without commas", "name: shop\nx-a: [", "[a]", "]\n"),
        case("mappings without commas", "name: shop\nx-a: [", "{a: b, c: d}", "]\n"),
        case("braces in text", "name: shop\nx-a: [", "${A}", "]\n"),
        case("tags without commas", "name: shop\nx-a: [", "!t ", "]\n"),
        case("aliases without commas", "name: shop\nx-a: [", "*a ", "]\n"),
        case("options with secrets", "name: shop\nregion: '", "--token \" ", "'\n"),
        case("secrets in one line", "name: shop\nenvs: [", "{key: A§, type: SECRET, value: ' #b'},", "]\n"),
        case("headers", "name: shop\nx-a: {headers: [", "{key§: A, val: b},", "]}\n"),
        case("values without a space", "", "a:b\n", "a: b\n"),
        case(
            "secrets full of references",
            &format!("{envs}- key: A\n  type: SECRET\n  value: '"),
            "${B}",
            "'\n- {key: TOKEN, value: '${A}x${c.D}'}\n",
        ),
        case("a key of many bytes", "? ", "é", ""),
        case("many bytes to a character", "name: shop\nregion: '", "🌍", "'\n"),
    ]
}

/// Text heads, each in a different YAML context.
#[rustfmt::skip]
const HEADS: [&str; 17] = [
    "", "x: ", "x: [", "x: {", "x: [[", "{\"a\": [{", "[", "x: {a: [", "- ", "x:\n  ", "x: |\n ", "x: >\n ", "x: \"",
    "x: '", "name: shop\nenvs:\n", "? ", "x: &a ",
];
/// The units that follow the head.
#[rustfmt::skip]
const UNITS: [&str; 57] = [
    "a ", "a: ", "a: b ", "{a: b} ", "{a: b}\n", "[a]", "[a] ", "\"a\" ", "\"a\": ", "\"a\":b ", "'a' 'b' ", "? ",
    "? a ", "&a ", "&a§ ", "!t ", "!<t> ", "*a ", "- ", "-\n", "a\n", "a:\n", ": ", ":\n", "''", "\"\"", "{", "[",
    "}", "]", ",", "a,", "a: b, ", "{a: b, c: d}", "a: b\n ", "k§: v§ ", "k§: v§\n", "k§: v§, ", "#", "# ", "\n",
    "\n\n ", "\t", "\\n", "\\x41", "é", "🌍 ", "%", "---\n", "...\n", "- - ", "  - a\n", "|\n", "${A}", "{{ a }} ",
    "<<: *a\n", "key: A val: b ",
];

/// Every head with every unit, with and without a final line end.
fn combinations() -> Vec<(String, [String; 3])> {
    let units = HEADS.iter().flat_map(|head| UNITS.iter().map(move |unit| (head, unit)));
    let texts = units.flat_map(|(head, unit)| ["", "\n"].map(|tail| [*head, *unit, tail]));
    texts.map(|parts| (format!("{parts:?}"), parts.map(str::to_owned))).collect()
}

/// The cost of reading one text in a separate process.
struct Cost {
    name: String,
    read_ms: u64,
    memory: u64,
    /// Whether the text was read without errors.
    was_read: String,
}

fn cost(name: String) -> Cost {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_text_is_read", "--nocapture"])
        .env(CASE, &name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("measured ")).map(|(_, it)| it.to_owned());
    let Some(line) = line.filter(|_| child.status.success()) else { panic!("{name}: {said}") };
    let mut cells = line.splitn(3, ' ');
    let mut number = || cells.next().unwrap().parse().unwrap();
    let (read_ms, memory) = (number(), number());
    Cost { name, read_ms, memory, was_read: cells.next().unwrap().to_owned() }
}

fn print(costs: &[Cost]) {
    println!("{:<40}{:>8}{:>10}  read", "text of 256 KiB", "ms", "KiB");
    for cost in costs {
        println!("{:<40}{:>8}{:>10}  {}", cost.name, cost.read_ms, cost.memory, cost.was_read);
    }
}

fn assert_little_memory(costs: &[Cost]) {
    let is_wrong = |it: &&Cost| it.memory > MEMORY;
    let wrong: Vec<_> = costs.iter().filter(is_wrong).map(|it| format!("{}: {} KiB", it.name, it.memory)).collect();
    assert!(wrong.is_empty(), "more than {MEMORY} KiB: {wrong:#?}");
}

#[test]
fn the_worst_texts_need_little_memory() {
    let costs: Vec<_> = cases().into_iter().map(|(name, _)| cost(name)).collect();
    print(&costs);
    assert_little_memory(&costs);
}

#[test]
#[ignore = "two thousand texts: make fuzz"]
fn no_unit_needs_much_memory_in_any_context() {
    let mut costs: Vec<_> = combinations().into_iter().map(|(name, _)| cost(name)).collect();
    assert_little_memory(&costs);
    for worst in [|it: &Cost| it.memory, |it: &Cost| it.read_ms] {
        costs.sort_by_key(|it| std::cmp::Reverse(worst(it)));
        print(&costs[..5]);
    }
}

/// Runs in the child process. Does nothing unless a test above starts it.
#[test]
fn one_text_is_read() {
    let Some(name) = std::env::var(CASE).ok() else { return };
    let (_, parts) = cases().into_iter().chain(combinations()).find(|(case, _)| *case == name).unwrap();
    let text = filled(&parts);
    assert!(text.len() > LARGEST - 1000, "{} bytes", text.len());
    let (before, start) = (memory("VmRSS:"), Instant::now());
    let read = AppSpec::from_yaml(&text);
    if let Err(problems) = &read {
        assert!(problems.render("app.yaml", &text).len() < LARGEST);
    }
    let took = start.elapsed().as_millis();
    println!("measured {took} {} {}", memory("VmHWM:") - before, read.is_ok());
}

/// Memory of this process in KiB. `VmRSS:` is the current use, `VmHWM:` the peak.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
